"""The models, by name."""

from .base import CompressionModel
from .registry import create, load, names
from .vbr import MeanScaleHyperprior

__all__ = ["CompressionModel", "MeanScaleHyperprior", "create", "load", "names"]
