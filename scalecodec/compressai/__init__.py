"""Under CompressAI: the same bytes from the compiled core, for one model (`accelerate`) or for all (`patch`).

CompressAI is imported only when one of the two is called; `ans` has its coder's classes without it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import ans
    from .acceleration import accelerate
    from .patching import patch, unpatch
    from .report import Report

_ROOMS = {"Report": "report", "accelerate": "acceleration", "patch": "patching", "unpatch": "patching"}

__all__ = ["Report", "accelerate", "ans", "patch", "unpatch"]


def __getattr__(name: str) -> Any:
    if name == "ans":
        return import_module(".ans", __name__)
    if name in _ROOMS:
        return getattr(import_module(f".{_ROOMS[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
