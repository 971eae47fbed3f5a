"""Activations of split networks: their distribution, quantizers for them, and a codec of under a bit an element."""

from __future__ import annotations

from .activation import ActivationModel, fit_moments
from .client import Client
from .codec import FeatureCodec, decode
from .design import design, design_many
from .design_search import design_kernel
from .fit import RangeChoice, choose_range, fit
from .frames import Limits
from .histogram import Histogram
from .network import SplitNetwork, calibrate
from .quantizer import Quantizer
from .server import Server
from .split import split

__all__ = [
    "ActivationModel",
    "Client",
    "FeatureCodec",
    "Histogram",
    "Limits",
    "Quantizer",
    "RangeChoice",
    "Server",
    "SplitNetwork",
    "calibrate",
    "choose_range",
    "decode",
    "design",
    "design_kernel",
    "design_many",
    "fit",
    "fit_moments",
    "split",
]
