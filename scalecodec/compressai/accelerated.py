"""Instances that change their class to an accelerated one, and back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar
from weakref import WeakKeyDictionary

from torch import nn

from .settings import Settings


class Accelerated:
    """Mixed into subclasses of a host's modules that add methods, and no constructor.

    What they need besides stands in attributes named ``_scalecodec_*``. Copies and pickles take these along, and so
    stay accelerated. A subclass says which methods it brings, what a report says of them, which modules it does not
    suit, and which attributes it needs.
    """

    _scalecodec_settings: Settings = Settings()
    _scalecodec_parts: tuple[type, ...]
    _scalecodec_methods: ClassVar[tuple[str, ...]]
    _scalecodec_text: ClassVar[str]
    _scalecodec_wraps: ClassVar[bool] = False  # whether the methods come before the host's and call them

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._scalecodec_parts = (cls,)

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """With what its methods need: a host's ``from_state_dict``, say, makes instances of the class it is given."""
        instance = super().__new__(cls)
        vars(instance).update(cls._scalecodec_attributes())
        return instance

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


@dataclass(eq=False)
class _Guise:
    """A class that a module has had, with the attributes that it needs."""

    cls: type
    attributes: dict[str, Any]

    def put_on(self, module: nn.Module) -> None:
        module.__class__ = self.cls
        for name in _own_attributes(module):
            del vars(module)[name]
        vars(module).update(self.attributes)


# What each changed module was at first, and its changes since, the last in force: undone in any order.
_guises: WeakKeyDictionary[nn.Module, list[_Guise]] = WeakKeyDictionary()


def _own_attributes(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if name.startswith("_scalecodec_")}


def method_of(module: Any, name: str) -> Any:
    """The function that a call of this method runs: the instance's own, or its class's."""
    return vars(module).get(name, getattr(type(module), name))


def change_class(module: nn.Module, fast: Any, settings: Settings, **attributes: Any) -> Callable[[], None]:
    """Give ``module`` the methods of ``fast``, its own with None, and attributes; returns what takes that back."""
    guises = _guises.setdefault(module, [_Guise(type(module), _own_attributes(module))])
    host = host_class(type(module))
    guise = _Guise(host, {})
    if fast is not None:
        guise.cls = accelerated_class(host, fast)
        guise.attributes = {"_scalecodec_settings": settings} | fast._scalecodec_attributes() | attributes
    guises.append(guise)
    guise.put_on(module)

    def undo() -> None:
        guises.remove(guise)
        guises[-1].put_on(module)
        if len(guises) == 1:
            del _guises[module]

    return undo
