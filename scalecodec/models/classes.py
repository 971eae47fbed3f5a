"""Names to model classes."""

from __future__ import annotations

from .autoregressive import JointAutoregressive
from .base import CompressionModel
from .denoise import DenoisingModel
from .denoise_fine import FineDenoisingModel
from .disentangled import DisentangledModel
from .frequency import FrequencyModel
from .scalable import ScalableModel
from .vbr import MeanScaleHyperprior, ScaleHyperprior

MODELS: dict[str, type[CompressionModel]] = {
    "vbr-mean": MeanScaleHyperprior,
    "vbr-scale": ScaleHyperprior,
    "vbr-autoregressive": JointAutoregressive,
    "frequency": FrequencyModel,
    "denoise": DenoisingModel,
    "denoise-fine": FineDenoisingModel,
    "scalable": ScalableModel,
    "disentangled": DisentangledModel,
}


def names() -> tuple[str, ...]:
    """Names that :func:`create` knows."""
    return tuple(MODELS)


def create(name: str, **config: int) -> CompressionModel:
    """An untrained model; ``config`` as the class's constructor takes it.

    Raises
    ------
    ValueError
        No model has this name.
    """
    return class_of(name)(**config)


def class_of(name: str) -> type[CompressionModel]:
    """The class that :func:`create` makes; ValueError where no model has this name."""
    if name not in MODELS:
        raise ValueError(f"no model named {name!r}; there are {', '.join(MODELS)}")
    return MODELS[name]


def name_of(model: CompressionModel) -> str:
    """The name under which :func:`create` knows the model's class; ValueError where there is none."""
    for name, model_class in MODELS.items():
        if type(model) is model_class:
            return name
    raise ValueError(f"{type(model).__name__} is none of the classes of {', '.join(MODELS)}")
