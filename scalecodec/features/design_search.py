"""The search behind a quantizer's design: starts, clip ranges, lagrangians."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache, cached_property
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import clip_range
from .cells import Cells
from .clip_range import Distribution
from .histogram import Histogram
from .quantizer import Quantizer

TOLERANCE = 1e-9  # of the cost, at which an iteration is the last
MAX_ITERATIONS = 1000
_CELLS = 1 << 12  # of a model's density
_LEAST_MASS = 1e-13  # of a cell: less is what sums near 1 round off
_RANGES = np.geomspace(0.3, 3.0, 13)  # over that of a uniform quantizer
_LAGRANGIANS = np.geomspace(1e-3, 1.0, 8)  # over the variance, which a bit is worth at most
_COUNTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128)  # of levels that a target in bits is tried with
_CLOSE = 1e-3  # to the least that is enough
_LARGEST = float(np.finfo(np.float32).max)

Floats = NDArray[np.float64]


class Problem:
    """What to design for, and in which range; an end that is None is searched for.

    Raises
    ------
    ValueError
        The range is empty or not finite, or there are no activations.
    """

    def __init__(self, source: Distribution, levels: int, c_min: float | None, c_max: float | None) -> None:
        if not all(end is None or math.isfinite(end) for end in (c_min, c_max)):
            raise ValueError(f"the ends of a clip range must be finite, got {c_min} and {c_max}")
        self.levels, self.c_max, self.cells = levels, c_max, cells_of(source)
        self.c_min = lower_end(self.cells, levels, c_max) if c_min is None else c_min
        if c_max is not None:
            clip_range.check_range(self.c_min, c_max)

    def within(self, target_bits: float) -> Quantizer:
        """Of the least distortion among those found that keep to ``target_bits``, with as many levels or fewer.

        A lagrangian alone reaches only the lower hull of rate and distortion, and may leap from many bits to one level.
        So there are other candidates: fewer levels, and ranges widened until the bits suffice.
        """

        def enough(quantizer: Quantizer) -> bool:
            return quantizer.bits(self.cells) <= target_bits

        if enough(best := self.solve(0.0)):
            return best
        found = [self.solve(_least_enough(lambda x: enough(self.solve(x)), self._spread))]
        for count in (self.levels, *(count for count in _COUNTS if count < self.levels)):
            problem = self if count == self.levels else Problem(self.cells, count, self.c_min, self.c_max)
            found += problem._candidates(enough)
        return min(filter(enough, found), key=lambda one: one.distortion(self.cells))

    def solve(self, lagrangian: float) -> Quantizer:
        """In the range that was given, or else in that of least cost."""
        if self.c_max is not None:
            return self._in_range(self.c_max, lagrangian)

        def cost(c_max: float) -> float:
            return self._cost(self._in_range(c_max, lagrangian), lagrangian)

        tops = self.c_min + self._uniform_width * _RANGES
        best = int(np.argmin([cost(top) for top in tops]))
        around = tops[max(best - 1, 0)], tops[min(best + 1, len(tops) - 1)]
        return self._in_range(clip_range.golden(cost, *around), lagrangian)

    def _candidates(self, enough: Callable[[Quantizer], bool]) -> list[Quantizer]:
        """Without a lagrangian, and in wider ranges with several."""
        if self.c_max is not None:
            least = _least_enough(lambda x: enough(self.solve(x)), self._spread)
            return [self.solve(0.0), self.solve(least)]
        return [self._widened(lagrangian, enough) for lagrangian in (0.0, *self._spread * _LAGRANGIANS)]

    def _widened(self, lagrangian: float, enough: Callable[[Quantizer], bool]) -> Quantizer:
        """In about the least range that makes the bits suffice."""

        def of_width(width: float) -> Quantizer:
            return self._in_range(self.c_min + width, lagrangian)

        return of_width(_least_enough(lambda width: enough(of_width(width)), self._uniform_width))

    def _cost(self, quantizer: Quantizer, lagrangian: float) -> float:
        return quantizer.distortion(self.cells) + lagrangian * quantizer.bits(self.cells)

    @cached_property
    def _mean(self) -> float:
        return float(self.cells.moments(-np.inf, np.inf, 0.0)[1])

    @cached_property
    def _spread(self) -> float:
        """Variance of the activations, the scale of lagrangians."""
        return max(float(self.cells.moments(-np.inf, np.inf, self._mean)[2]), np.finfo(np.float64).tiny)

    @cached_property
    def _uniform_width(self) -> float:
        return clip_range.search_c_max(self.cells, self.levels, self.c_min) - self.c_min

    def _in_range(self, c_max: float, lagrangian: float) -> Quantizer:
        """The better of two starts: even levels serve most, but leave most bins empty where an outlier is kept."""
        c_max = min(c_max, _LARGEST)
        values = np.clip(self.cells.values, self.c_min, c_max)
        inner = self._companded[(self._companded > self.c_min) & (self._companded < c_max)]
        starts = np.linspace(self.c_min, c_max, self.levels), np.array([self.c_min, *inner, c_max])
        # About 0 none of the sums cancel that a kernel makes.
        middle = float(self.cells.weights @ values)
        found = []
        for start in starts:
            design = _kernel().design(
                values - middle, self.cells.weights, start - middle, lagrangian, TOLERANCE, MAX_ITERATIONS
            )
            alone = len(design[0]) == 1  # then the mean of all is best, whatever is clipped
            found.append(_rounded(np.array([self._mean]) if alone else design[0] + middle, design[1] + middle))
        return min(found, key=lambda one: self._cost(one, lagrangian))

    @cached_property
    def _companded(self) -> Floats:
        """Inner levels, as dense as the cube root of the density: the best where they are many (Panter, Dite 1951)."""
        above = self.cells.values >= self.c_min
        values, weights = self.cells.values[above], self.cells.weights[above]
        if self.levels == 2 or len(values) < 2:
            return np.zeros(0)
        gaps = np.maximum(np.gradient(values), np.finfo(np.float64).tiny)
        place = np.cumsum(np.cbrt(weights / gaps) * gaps)
        return np.unique(np.interp(np.linspace(place[0], place[-1], self.levels)[1:-1], place, values))


def _rounded(levels: Floats, thresholds: Floats) -> Quantizer:
    """As float32, what then is equal made one."""
    narrow = [np.clip(one, -_LARGEST, _LARGEST).astype(np.float32) for one in (levels, thresholds)]
    kept: list[np.float32] = [narrow[0][0]]
    between: list[np.float32] = []
    for level, threshold in zip(narrow[0][1:], narrow[1], strict=True):
        if level > kept[-1] and (not between or threshold > between[-1]):
            kept.append(level)
            between.append(threshold)
    return Quantizer(np.array(kept), np.array(between, np.float32))


def _least_enough(enough: Callable[[float], bool], guess: float) -> float:
    """About the least number that is ``enough``, where all above it are so too; some such number where they are not."""
    low, high = 0.0, guess
    while not enough(high):
        low, high = high, 2 * high
        if not math.isfinite(high):
            return low
    while high - low > _CLOSE * high and high > 1e-9 * guess:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def lower_end(source: Distribution, levels: int, c_max: float | None) -> float:
    """That of the best uniform quantizer."""
    if c_max is None:
        return clip_range.search_range(source, levels)[0]
    lowest = source.span()[0]
    if lowest >= c_max:
        raise ValueError(f"nothing lies below c_max = {c_max}, so there is no range")
    return clip_range.golden(lambda c_min: clip_range.distortion(source, c_min, c_max, levels), lowest, c_max)


def cells_of(source: Distribution) -> Cells:
    """What stands for the distribution: a histogram's bins, or fine cells of a density."""
    lowest, highest = source.span()
    if isinstance(source, Cells | Histogram):
        return source if isinstance(source, Cells) else source.cells
    inner = np.unique(np.append(np.linspace(lowest, highest, _CELLS), 0.0))
    low, high = clip_range.edges(inner)
    centres = np.concatenate([inner[:1], inner])
    moments = np.stack(source.moments(low, high, centres))
    filled = moments[0] > _LEAST_MASS
    return Cells(centres[filled], moments[:, filled] / moments[0, filled].sum())


@cache
def design_kernel() -> str:
    """What designs quantizers here: "numba", or "numpy" where that is missing or switched off (NUMBA_DISABLE_JIT=1)."""
    try:
        import numba
    except ImportError:
        return "numpy"
    return "numpy" if numba.config.DISABLE_JIT else "numba"  # type: ignore[attr-defined]


@cache
def _kernel() -> Any:
    name = {"numba": "ecsq_numba", "numpy": "ecsq_ref"}[design_kernel()]
    return import_module(f"scalecodec.kernels.{name}")
