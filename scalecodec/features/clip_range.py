"""Where to clip before a uniform quantizer: its distortion, and the range that makes it least.

A uniform quantizer of N levels has its outer levels at the ends of the range, so its outer bins reach half a step
inside and everything outside (Cohen, Choi and Bajic 2021, arXiv:2105.07102 and 2105.06002).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_LEVELS = 256

_GOLDEN = (math.sqrt(5) - 1) / 2
_STEPS = 80  # of golden section at most
_TURNS = 60  # of the two ends at most
_TOLERANCE = 1e-8  # a minimum shows half the digits of a float


class Distribution(Protocol):
    """What is known of the activations: a model's density, or counts."""

    def moments(
        self, low: ArrayLike, high: ArrayLike, centre: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mass, and first and second moments about ``centre``, of the intervals (low, high]."""

    def span(self) -> tuple[float, float]:
        """Finite ends between which all of the mass lies, or all but a part of 1e-12."""


def check_levels(levels: int) -> int:
    """``levels``, an int in [2, 256]; TypeError or ValueError otherwise."""
    if isinstance(levels, bool) or not isinstance(levels, int | np.integer):
        raise TypeError(f"levels must be an int, got {levels!r}")
    if not 2 <= levels <= MAX_LEVELS:
        raise ValueError(f"levels must lie in [2, {MAX_LEVELS}], got {levels}")
    return int(levels)


def check_range(c_min: float, c_max: float) -> None:
    if not (math.isfinite(c_min) and math.isfinite(c_max) and c_min < c_max):
        raise ValueError(f"a clip range is finite, with c_min < c_max, got {c_min} and {c_max}")


def edges(thresholds: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lower and upper ends of the bins (low, high] that inner thresholds make of the whole line."""
    return np.concatenate([[-np.inf], thresholds]), np.concatenate([thresholds, [np.inf]])


def uniform(c_min: float, c_max: float, levels: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Levels [N] and inner thresholds [N - 1] of the uniform quantizer."""
    values = np.linspace(c_min, c_max, levels)
    return values, (values[1:] + values[:-1]) / 2


def distortion(source: Distribution, c_min: float, c_max: float, levels: int) -> float:
    """Mean squared error of uniform quantization to ``levels`` in [c_min, c_max], what is clipped included."""
    values, thresholds = uniform(c_min, c_max, levels)
    return float(source.moments(*edges(thresholds), values)[2].sum())


@lru_cache(maxsize=MAX_LEVELS)
def universal_range(levels: int) -> float:
    """u*(N): for an exponential tail of rate r above c_min = 0, c_max = u*(N) / r has the least distortion.

    The root of 1/h - coth h + 2(N - 1) / (exp(2(N - 1) h) - 1), u = 2(N - 1) h (our derivation: the derivative of
    2 - (2h / sinh h)(1 - exp(-u)) by h). It falls from N = 2's 2.0 without end, like 2 log N at first.
    """
    bins = 2 * (levels - 1)

    def slope(u: float) -> float:
        h = u / bins
        # 1/h - coth h by its series where it would cancel.
        curve = 1 / h - 1 / math.tanh(h) if h > 0.05 else -h / 3 + h**3 / 45 - 2 * h**5 / 945 + h**7 / 4725
        return curve + bins / math.expm1(u)

    low, high = 1e-3, 50.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) > 0 else (low, middle)
    return (low + high) / 2


def search_c_max(source: Distribution, levels: int, c_min: float) -> float:
    """The c_max of least distortion: a grid over all scales of the span, then golden section about its best."""
    top = source.span()[1] - c_min
    if top <= 0:
        raise ValueError(f"nothing lies above c_min = {c_min}, so there is no range")
    grid = (top * np.geomspace(1e-4, 1, 97)).tolist()
    best = int(np.argmin([distortion(source, c_min, c_min + width, levels) for width in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return c_min + golden(lambda width: distortion(source, c_min, c_min + width, levels), *around)


def search_range(source: Distribution, levels: int) -> tuple[float, float]:
    """(c_min, c_max) of least distortion: each end in turn, until neither moves."""
    lowest, highest = source.span()
    width = highest - lowest
    if width <= 0:
        raise ValueError(f"all activations are {lowest}: there is no range")
    # From 0 as well: where most of the mass is at 0, a valley may lie on either side.
    starts = [(end, search_c_max(source, levels, end)) for end in {lowest, 0.0 if highest > 0 else lowest}]
    return min(
        (_descend(source, levels, start) for start in starts),
        key=lambda ends: distortion(source, ends[0], ends[1], levels),
    )


def _descend(source: Distribution, levels: int, start: tuple[float, float]) -> tuple[float, float]:
    lowest, highest = source.span()
    c_min, c_max = start
    reach = (c_max - c_min) / 2
    for _ in range(_TURNS):
        ends = max(lowest, c_min - reach), min(c_max - reach * 1e-3, c_min + reach)
        lower = golden(partial(_of_lower, source, levels, c_max), *ends)
        ends = max(lower + reach * 1e-3, c_max - reach), min(highest, c_max + reach)
        upper = golden(partial(distortion, source, lower, levels=levels), *ends)
        moved = max(abs(lower - c_min), abs(upper - c_max))
        c_min, c_max = lower, upper
        if moved < 10 * _TOLERANCE * (c_max - c_min):
            break
        reach = max(reach / 2, 4 * moved)
    return c_min, c_max


def _of_lower(source: Distribution, levels: int, c_max: float, c_min: float) -> float:
    return distortion(source, c_min, c_max, levels)


def golden(cost: Callable[[float], float], low: float, high: float) -> float:
    """Where ``cost``, of one valley between low and high, is least."""
    a, b = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_a, at_b = cost(a), cost(b)
    for _ in range(_STEPS):
        if high - low <= _TOLERANCE * max(abs(low), abs(high)):
            break
        if at_a <= at_b:
            high, b, at_b = b, a, at_a
            a = high - _GOLDEN * (high - low)
            at_a = cost(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + _GOLDEN * (high - low)
            at_b = cost(b)
    return (low + high) / 2
