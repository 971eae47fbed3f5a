"""One coder on several inputs of one kind: checked before it is timed, and timed in samples with others in between."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from scalecodec.errors import ScalecodecError

from .rivals import Coder
from .workloads import Latents

_SAMPLE_SECONDS = 6e-3  # a sample repeats short calls up to this
_WARM_SECONDS = 2e-3  # and others before them, untimed: what ran in between has emptied the caches
MIN_ITEMS = 2  # sets, where there are so many, however slow the coder
_SLOW_SECONDS = 2e-2  # a call as long as this has warmed up by itself


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
        encode_seconds = decode_seconds = math.inf
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
                encode_seconds = min(encode_seconds, encoded - started)
                decode_seconds = min(decode_seconds, decoded - encoded)
                if len(self.items) >= MIN_ITEMS and decoded > end:
                    break
        self._encode_calls, self._decode_calls = _Calls(encode_seconds), _Calls(decode_seconds)
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
        for seconds, calls, call in (
            (self.encode_seconds, self._encode_calls, lambda item: coder.encode(item.prepared)),
            (self.decode_seconds, self._decode_calls, lambda item: coder.decode(item.data, item.prepared)),
        ):
            for _ in range(calls.to_warm_up()):
                call(self.next())
            items = [self.next() for _ in range(calls.to_time())]
            start = clock()
            for item in items:
                call(item)
            seconds.append((clock() - start) / len(items))
            calls.expected = min(calls.expected, seconds[-1])

    def encode_ns(self) -> float:
        """Median over the samples, in nanoseconds a symbol."""
        return median(self.encode_seconds) / self.num_symbols * 1e9

    def decode_ns(self) -> float:
        """Median over the samples, in nanoseconds a symbol."""
        return median(self.decode_seconds) / self.num_symbols * 1e9


@dataclass
class _Calls:
    """How many calls a sample takes, by the seconds that one is expected to last."""

    expected: float  # the shortest seen: others may have held up the rest

    def to_warm_up(self) -> int:
        return 0 if self.expected >= _SLOW_SECONDS else self._lasting(_WARM_SECONDS)

    def to_time(self) -> int:
        return self._lasting(_SAMPLE_SECONDS)

    def _lasting(self, seconds: float) -> int:
        return max(1, math.ceil(seconds / max(self.expected, 1e-7)))


def require_same_streams(trials: Sequence[Trial]) -> None:
    """WrongResultError unless trials on the same sets wrote the same bytes wherever they write the same stream."""
    first: dict[str, Trial] = {}
    for trial in trials:
        other = first.setdefault(trial.coder.stream, trial)
        for ours, theirs in zip(trial.items, other.items, strict=False):
            if ours.data != theirs.data:
                raise WrongResultError(f"{trial.coder.label} and {other.coder.label} write different bytes")
