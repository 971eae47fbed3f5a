"""The models: by name untrained, by name or file trained."""

from .autoregressive import JointAutoregressive
from .base import CompressionModel
from .classes import create, names
from .denoise import DenoisingModel
from .denoise_fine import FineDenoisingModel
from .disentangled import DisentangledModel
from .frequency import FrequencyModel
from .layered import LayeredModel
from .registry import load, name_of_id, zoo
from .scalable import ScalableModel
from .vbr import MeanScaleHyperprior, ScaleHyperprior
from .weights import freeze, save_weights

__all__ = [
    "CompressionModel",
    "DenoisingModel",
    "DisentangledModel",
    "FineDenoisingModel",
    "FrequencyModel",
    "JointAutoregressive",
    "LayeredModel",
    "MeanScaleHyperprior",
    "ScalableModel",
    "ScaleHyperprior",
    "create",
    "freeze",
    "load",
    "name_of_id",
    "names",
    "save_weights",
    "zoo",
]
