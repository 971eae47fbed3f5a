"""Network building blocks; names and state_dict keys follow CompressAI wherever a twin exists there."""

from .conv import conv, deconv
from .gdn import GDN
from .lower_bound import LowerBound, lower_bound
from .masked_conv import MaskedConv2d
from .rate import HyperStepNetwork, OffsetNetwork

__all__ = ["GDN", "HyperStepNetwork", "LowerBound", "MaskedConv2d", "OffsetNetwork", "conv", "deconv", "lower_bound"]
