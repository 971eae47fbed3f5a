"""The models: by name untrained, by name or file trained."""

from .autoregressive import JointAutoregressive
from .base import CompressionModel
from .classes import create, names
from .registry import load, name_of_id, zoo
from .vbr import MeanScaleHyperprior, ScaleHyperprior
from .weights import freeze, save_weights

__all__ = [
    "CompressionModel",
    "JointAutoregressive",
    "MeanScaleHyperprior",
    "ScaleHyperprior",
    "create",
    "freeze",
    "load",
    "name_of_id",
    "names",
    "save_weights",
    "zoo",
]
