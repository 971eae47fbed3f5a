"""One coder on several inputs of one kind: checked before it is timed, and timed in samples with others in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from itertools import cycle
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from scalecodec.errors import ScalecodecError

from .rivals import Coder
from .workloads import Latents

_SAMPLE_SECONDS = 2e-3  # a sample repeats short calls up to this
MIN_ITEMS = 2  # sets, where there are so many, however slow the coder
_SLOW_SECONDS = 2e-2  # a call as long as this needs no warming up


class WrongResultError(ScalecodecError):
    """A coder did not decode what it encoded, or coders of one stream wrote different bytes: no time of it counts."""


class Item(NamedTuple):
    """One input: the arguments as the coder takes them, the stream it made of them, and what that must decode to."""

    prepared: Any
    data: bytes
    latents: Latents


class Trial:
    """``coder`` on as many of ``sets``, two at least, as it can code there and back in ``seconds``.

    Raises
    ------
    WrongResultError
        What it decodes is not what it encoded.
    """

    def __init__(self, coder: Coder, sets: Sequence[Latents], seconds: float = 0.2) -> None:
        self.coder = coder
        self.items: list[Item] = []
        self.encode_seconds: list[float] = []  # a call; one entry a sample
        self.decode_seconds: list[float] = []
        end = time.perf_counter() + seconds
        with coder.running():
            for latents in sets:
                prepared = coder.prepare(latents)
                started = time.perf_counter()
                data = coder.encode(prepared)
                encoded = time.perf_counter()
                symbols = coder.decode(data, prepared)
                decoded = time.perf_counter()
                self.require(symbols, latents)
                self.items.append(Item(prepared, data, latents))
                # of the last one, which is not the first: nothing is cold any more
                self._expected = encoded - started, decoded - encoded
                if len(self.items) >= MIN_ITEMS and decoded > end:
                    break
        self._turn = cycle(self.items)

    def require(self, symbols: Any, latents: Latents) -> None:
        """WrongResultError unless ``symbols`` are those of ``latents``."""
        if not np.array_equal(np.asarray(symbols), latents.symbols):
            raise WrongResultError(f"{self.coder.label}: what it decodes is not what it encoded")

    @property
    def num_symbols(self) -> int:
        return len(self.items[0].latents.symbols)

    def next(self) -> Item:
        """The inputs in turn, so that no predictor learns one by heart."""
        return next(self._turn)

    def sample(self, clock: Callable[[], float]) -> None:
        """Time one sample of encoding and one of decoding by ``clock``; only inside of ``coder.running()``."""
        coder = self.coder
        encode, decode = self._expected
        self.encode_seconds.append(self._time(lambda item: coder.encode(item.prepared), encode, clock))
        self.decode_seconds.append(self._time(lambda item: coder.decode(item.data, item.prepared), decode, clock))

    def _time(self, call: Callable[[Item], object], expected: float, clock: Callable[[], float]) -> float:
        if expected < _SLOW_SECONDS:
            call(self.next())  # what ran before has emptied the caches
        items = [self.next() for _ in range(max(1, math.ceil(_SAMPLE_SECONDS / max(expected, 1e-7))))]
        start = clock()
        for item in items:
            call(item)
        return (clock() - start) / len(items)

    def encode_ns(self) -> float:
        """Median over the samples, in nanoseconds a symbol."""
        return median(self.encode_seconds) / self.num_symbols * 1e9

    def decode_ns(self) -> float:
        """Median over the samples, in nanoseconds a symbol."""
        return median(self.decode_seconds) / self.num_symbols * 1e9


def require_same_streams(trials: Sequence[Trial]) -> None:
    """WrongResultError unless trials on the same sets wrote the same bytes wherever they write the same stream."""
    first: dict[str, Trial] = {}
    for trial in trials:
        other = first.setdefault(trial.coder.stream, trial)
        for ours, theirs in zip(trial.items, other.items, strict=False):
            if ours.data != theirs.data:
                raise WrongResultError(f"{trial.coder.label} and {other.coder.label} write different bytes")
