"""Network building blocks; names and state_dict keys follow CompressAI wherever a twin exists there."""

from .conv import conv, deconv
from .gdn import GDN
from .lower_bound import LowerBound

__all__ = ["GDN", "LowerBound", "conv", "deconv"]
