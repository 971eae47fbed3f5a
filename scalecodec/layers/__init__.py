"""Network building blocks; names and state_dict keys follow CompressAI wherever a twin exists there."""

from .conv import conv, deconv
from .gdn import GDN
from .lower_bound import LowerBound, lower_bound
from .masked_conv import MaskedConv2d
from .rate import HyperStepNetwork, OffsetNetwork
from .transforms import (
    analysis,
    direct_feature_synthesis,
    feature_synthesis,
    hyper_analysis,
    hyper_synthesis,
    synthesis,
)
from .wavelet import Wavelet

__all__ = [
    "GDN",
    "HyperStepNetwork",
    "LowerBound",
    "MaskedConv2d",
    "OffsetNetwork",
    "Wavelet",
    "analysis",
    "conv",
    "deconv",
    "direct_feature_synthesis",
    "feature_synthesis",
    "hyper_analysis",
    "hyper_synthesis",
    "lower_bound",
    "synthesis",
]
