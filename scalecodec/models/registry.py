"""Names to models, and weight files to models."""

from __future__ import annotations

from .base import CompressionModel
from .vbr import MeanScaleHyperprior

_MODELS: dict[str, type[CompressionModel]] = {"vbr-mean": MeanScaleHyperprior}


def names() -> tuple[str, ...]:
    """Names that :func:`create` knows."""
    return tuple(_MODELS)


def create(name: str, **config: int) -> CompressionModel:
    """An untrained model.

    Raises
    ------
    ValueError
        No model has this name.
    """
    if name not in _MODELS:
        raise ValueError(f"no model named {name!r}; there are {', '.join(_MODELS)}")
    return _MODELS[name](**config)


def load(name):
    raise NotImplementedError
