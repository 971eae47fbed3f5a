"""scalecodec: entropy coding and quantization core for learned compression, and the layered codecs built on it.

Importing this loads numpy and the compiled core only; everything that needs torch loads on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import backends, errors, rans, rans64
from .cdf import CdfTable, pmf_to_quantized_cdf

if TYPE_CHECKING:
    from . import codec, compressai, context, eval, features, image, metrics, models, quantize, train

__version__ = "0.1.0"

_LAZY = ("codec", "compressai", "context", "eval", "features", "image", "metrics", "models", "quantize", "train")

__all__ = [
    "CdfTable",
    "backends",
    "codec",
    "compressai",
    "context",
    "errors",
    "eval",
    "features",
    "image",
    "metrics",
    "models",
    "pmf_to_quantized_cdf",
    "quantize",
    "rans",
    "rans64",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
