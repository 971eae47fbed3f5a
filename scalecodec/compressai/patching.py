"""All of CompressAI in this process, at once and until told otherwise."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import WeakKeyDictionary

from scalecodec.errors import HostError

from . import ans, host
from .accelerated import host_of
from .acceleration import accelerated_classes
from .settings import Settings

CODER_CLASSES = ("RansEncoder", "BufferedRansEncoder", "RansDecoder")

_lock = threading.RLock()
_undo: list[Callable[[], None]] = []


def patch(*, force: bool = False) -> None:
    """Put the compiled core under CompressAI, for every model there is or will be: the same bytes, faster.

    Its coder's classes give way to ours in every module that holds them, and its entropy models' methods are ours.
    Streams stay CompressAI's; for another kind, or for one model only, there is :func:`accelerate`. Called again, it
    does nothing.

    Parameters
    ----------
    force : also where the installed version is not one that is known

    Raises
    ------
    HostError
        CompressAI is not installed, or its version is not known.
    """
    with _lock:
        if _undo:
            return
        compressai = host.load()
        if not (force or host.is_known(compressai)):
            raise HostError(f"{host.refusal(compressai)}; patch(force=True) takes it nevertheless")
        for holder, name, ours in (*_coder_classes(compressai.ans), *_methods(compressai)):
            _set(holder, name, ours)


def unpatch() -> None:
    """Give CompressAI back what :func:`patch` took. Called again, it does nothing."""
    with _lock:
        while _undo:
            _undo.pop()()


def _set(holder: Any, name: str, value: Any) -> None:
    missing = object()
    before = vars(holder).get(name, missing)
    setattr(holder, name, value)
    _undo.append(lambda: delattr(holder, name) if before is missing else setattr(holder, name, before))


def _coder_classes(theirs: Any) -> Iterator[tuple[Any, str, type]]:
    """Every name in every module that stands for one of the coder's classes."""
    ours = {id(getattr(theirs, name)): getattr(ans, name) for name in CODER_CLASSES}
    for module in list(sys.modules.values()):
        for name, value in list(getattr(module, "__dict__", {}).items()):
            if id(value) in ours:
                yield module, name, ours[id(value)]


def _methods(compressai: Any) -> Iterator[tuple[type, str, Any]]:
    """The accelerated classes' methods for the classes that they extend, and the attributes that the methods need."""
    for fast in accelerated_classes(compressai):
        extended = host_of(fast)
        yield extended, "_scalecodec_settings", Settings()
        for name, value in fast._scalecodec_attributes().items():
            yield extended, name, _of_each_instance(type(value))
        for name in fast._scalecodec_methods:
            if name in vars(fast):
                yield extended, name, vars(fast)[name]


def _of_each_instance(make: Callable[[], Any]) -> property:
    """An attribute that every instance has its own of, kept outside of it: unpatched ones are as they were."""
    kept: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def get(instance: Any) -> Any:
        with _lock:
            if instance not in kept:
                kept[instance] = make()
            return kept[instance]

    return property(get)
