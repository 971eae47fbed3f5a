"""Instances that change their class to an accelerated one, and back."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, ClassVar

from torch import nn

from .settings import Settings


class Accelerated:
    """Mixed into subclasses of a host's modules that add methods, and no constructor.

    What they need besides stands in attributes named ``_scalecodec_*``. Copies and pickles take these along, and so
    stay accelerated. A subclass says which methods it brings, what a report says of them, which modules it does not
    suit, and which attributes it needs.
    """

    _scalecodec_settings: Settings
    _scalecodec_parts: tuple[type, ...]
    _scalecodec_methods: ClassVar[tuple[str, ...]]
    _scalecodec_text: ClassVar[str]
    _scalecodec_wraps: ClassVar[bool] = False  # whether the methods come before the host's and call them

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._scalecodec_parts = (cls,)

    def __reduce__(self) -> tuple[Any, ...]:
        return _new, self._scalecodec_parts, self.__getstate__()

    @staticmethod
    def _scalecodec_misfit(module: Any) -> str:
        """Why ``module`` cannot be accelerated so; empty where it can."""
        return ""

    @staticmethod
    def _scalecodec_attributes() -> dict[str, Any]:
        """What an instance needs besides its settings, new."""
        return {}


def host_of(fast: type[Accelerated]) -> type:
    """The host's class that an accelerated one extends."""
    return next(base for base in fast.__bases__ if not issubclass(base, Accelerated))


@cache
def accelerated_class(host: Any, fast: Any) -> Any:
    """A class with the methods of ``fast`` behind those of ``host``, but before those that ``fast`` replaces."""
    if issubclass(fast, host):
        return fast
    bases = (fast, host) if fast._scalecodec_wraps else (host, fast)
    cls: Any = type(host.__name__, bases, {"__module__": host.__module__, "__doc__": host.__doc__})
    cls._scalecodec_parts = (host, fast)
    return cls


def host_class(cls: type) -> type:
    """The class that an accelerated one stands for; others are their own."""
    if not issubclass(cls, Accelerated):
        return cls
    host = cls._scalecodec_parts[0]
    return next(base for base in host.__mro__ if not issubclass(base, Accelerated))


def _new(host: Any, fast: Any = None) -> Any:
    cls = host if fast is None else accelerated_class(host, fast)
    return cls.__new__(cls)


def change_class(module: nn.Module, fast: Any, settings: Settings) -> Callable[[], None]:
    """Give ``module`` the methods of ``fast``; returns what takes them back."""
    before, state = type(module), {n: v for n, v in vars(module).items() if n.startswith("_scalecodec_")}
    added = {"_scalecodec_settings": settings} | fast._scalecodec_attributes()
    module.__class__ = accelerated_class(host_class(before), fast)
    vars(module).update(added)

    def undo() -> None:
        module.__class__ = before
        for name in added:
            vars(module).pop(name, None)
        vars(module).update(state)

    return undo
