"""Which kernel set of the compiled core runs: what there is, what is in use, and how to force one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from . import _core
from .errors import BackendError

ENVIRONMENT_VARIABLE = "SCALECODEC_BACKEND"


def available() -> tuple[str, ...]:
    """Names of the kernel sets that this machine can run, best first; ``"scalar"`` is always among them."""
    return tuple(_core.available_backends())


def active() -> str:
    """Name of the kernel set in use: the forced one, else the best."""
    return _core.active_backend()


def _force(name: str, asked_by: str) -> None:
    if not _core.force_backend(name):
        raise BackendError(f"{asked_by} asks for backend {name!r}, this machine has {', '.join(available())}")


_forced = ""


@contextmanager
def use(name: str) -> Iterator[None]:
    """Run everything inside the ``with`` block, in all threads, on the kernel set of this name.

    Raises
    ------
    BackendError
        No such set, or this machine cannot run it.
    """
    global _forced
    if not name:
        raise BackendError(f"backend must be one of {', '.join(available())}, got an empty name")
    _force(name, "the caller")
    before, _forced = _forced, name
    try:
        yield
    finally:
        _forced = before
        _core.force_backend(before)


if _forced := os.environ.get(ENVIRONMENT_VARIABLE, ""):
    _force(_forced, ENVIRONMENT_VARIABLE)
