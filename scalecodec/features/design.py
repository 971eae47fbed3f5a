"""Entropy-constrained quantizers for clipped activations: from a model, from samples or from counts.

Cohen, Choi and Bajic 2021 (arXiv:2105.06002, arXiv:2105.07102): squared error plus ``lagrangian`` times the bits, made
least by turns, with the outer levels pinned to the clip range (:mod:`scalecodec.kernels.ecsq_ref` has the algorithm).
Distortions are those of the activations themselves, clipping included; that, and a search for the range that suits the
lagrangian, are ours: with an entropy constraint the best range is not that of a uniform quantizer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, cached_property
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from . import clip_range
from .activation import ActivationModel
from .clip_range import Distribution
from .histogram import Histogram
from .quantizer import Quantizer
from .samples import FloatArray

Source: TypeAlias = "ActivationModel | Histogram | FloatArray"

TOLERANCE = 1e-9  # of the cost, at which an iteration is the last
MAX_ITERATIONS = 1000
_CELLS = 1 << 14  # of a model's density
_RANGES = np.geomspace(0.3, 3.0, 13)  # over that of a uniform quantizer
_LAGRANGIANS = np.geomspace(1e-3, 1.0, 10)  # over the variance, which a bit is worth at most


def design(
    source: Source,
    levels: int = 4,
    lagrangian: float = 0.0,
    c_min: float | None = 0.0,
    c_max: float | None = None,
    *,
    target_bits: float | None = None,
) -> Quantizer:
    """The quantizer of least ``distortion + lagrangian * bits``.

    Parameters
    ----------
    source : ActivationModel, Histogram, or floats of any shape (counted as :class:`Histogram` does)
    levels : 2 to 256 at first; those that the lagrangian leaves without a use are deleted
    lagrangian : squared error that a bit may cost, in the squared unit of the activations; not negative
    c_min, c_max : the clip range, where the outer levels stay; None: searched for
    target_bits : bits an element (zero-order entropy) to stay within at the least distortion: lagrangian and c_max are
        then searched for, and no lagrangian may be given

    Returns
    -------
    Quantizer
        Of at most ``levels`` levels.

    Raises
    ------
    ValueError
        A number is out of its range, the range is empty, or there are no activations.
    """
    problem = _Problem(as_distribution(source), clip_range.check_levels(levels), c_min, c_max)
    if target_bits is None:
        return problem.solve(_check_lagrangian(lagrangian))
    if lagrangian:
        raise ValueError("give a lagrangian or target_bits, not both")
    if not target_bits > 0:
        raise ValueError(f"target_bits must be positive, got {target_bits}")
    return problem.within(target_bits)


def design_many(sources: Sequence[Source], levels: int = 4, *, threads: int = 1, **options: Any) -> list[Quantizer]:
    """:func:`design` for each of several tensors or channels, ``threads`` at a time; the same quantizers."""
    if threads < 1:
        raise ValueError(f"threads must be positive, got {threads}")
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda source: design(source, levels, **options), sources))


def as_distribution(source: Source) -> Distribution:
    """The model or histogram itself; samples are counted."""
    return source if isinstance(source, ActivationModel | Histogram) else Histogram(source)


def _check_lagrangian(lagrangian: float) -> float:
    if not (math.isfinite(lagrangian) and lagrangian >= 0):
        raise ValueError(f"lagrangian must be finite and not negative, got {lagrangian}")
    return float(lagrangian)


class _Problem:
    """What to design for, and in which range; an end that is None is searched for."""

    def __init__(self, source: Distribution, levels: int, c_min: float | None, c_max: float | None) -> None:
        self.source, self.levels, self.c_max = source, levels, c_max
        self.values, self.weights = _cells(source)
        self.c_min = _lower_end(source, levels, c_max) if c_min is None else c_min
        if c_max is not None:
            clip_range.check_range(self.c_min, c_max)
        elif not math.isfinite(self.c_min):
            raise ValueError(f"c_min must be finite, got {c_min}")

    def within(self, target_bits: float) -> Quantizer:
        """Of least distortion among those found that keep to ``target_bits``.

        A lagrangian alone reaches only the lower hull of rate and distortion, and may leap from many bits to one level;
        so where the range is free, it is widened as well, for each of several lagrangians, until the bits suffice.
        """
        if (best := self.solve(0.0)).bits(self.source) <= target_bits:
            return best
        lagrangian = _least_enough(lambda x: self.solve(x).bits(self.source) <= target_bits, self._spread)
        found = [self.solve(lagrangian)]
        if self.c_max is None:
            found += [self._widened(one, target_bits) for one in (0.0, *self._spread * _LAGRANGIANS)]
        return min(found, key=lambda one: one.distortion(self.source))

    def _widened(self, lagrangian: float, target_bits: float) -> Quantizer:
        """In the least range that makes the bits suffice."""

        def enough(width: float) -> bool:
            return self._in_range(self.c_min + width, lagrangian).bits(self.source) <= target_bits

        return self._in_range(self.c_min + _least_enough(enough, self._uniform_width), lagrangian)

    def solve(self, lagrangian: float) -> Quantizer:
        """In the range that was given, or else in that of least cost."""
        if self.c_max is not None:
            return self._in_range(self.c_max, lagrangian)

        def cost(c_max: float) -> float:
            quantizer = self._in_range(c_max, lagrangian)
            return quantizer.distortion(self.source) + lagrangian * quantizer.bits(self.source)

        tops = self.c_min + self._uniform_width * _RANGES
        best = int(np.argmin([cost(top) for top in tops]))
        around = tops[max(best - 1, 0)], tops[min(best + 1, len(tops) - 1)]
        return self._in_range(clip_range.golden(cost, *around), lagrangian)

    @cached_property
    def _spread(self) -> float:
        """Variance of the activations, the scale of lagrangians."""
        mean = float(self.source.moments(-np.inf, np.inf, 0.0)[1])
        return float(self.source.moments(-np.inf, np.inf, mean)[2])

    @cached_property
    def _uniform_width(self) -> float:
        return clip_range.search_c_max(self.source, self.levels, self.c_min) - self.c_min

    def _in_range(self, c_max: float, lagrangian: float) -> Quantizer:
        start = np.linspace(self.c_min, c_max, self.levels)
        clipped = np.clip(self.values, self.c_min, c_max)
        found = _kernel().design(clipped, self.weights, start, lagrangian, TOLERANCE, MAX_ITERATIONS)
        return Quantizer(*found[:2])


def _least_enough(enough: Callable[[float], bool], guess: float) -> float:
    """The least positive number that is ``enough``, all above it being so too, to a ten-thousandth; or nearly 0."""
    low, high = 0.0, guess
    while not enough(high):
        low, high = high, 2 * high
    while high - low > 1e-4 * high and high > 1e-9 * guess:
        middle = (low + high) / 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _lower_end(source: Distribution, levels: int, c_max: float | None) -> float:
    """That of the best uniform quantizer."""
    if c_max is None:
        return clip_range.search_range(source, levels)[0]
    lowest = source.span()[0]
    if lowest >= c_max:
        raise ValueError(f"nothing lies below c_max = {c_max}, so there is no range")
    return clip_range.golden(lambda c_min: clip_range.distortion(source, c_min, c_max, levels), lowest, c_max)


def _cells(source: Distribution) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values and their weights, which stand for the distribution: a histogram's bins, or fine cells of a density."""
    if isinstance(source, Histogram):
        source.span()
        return source.values, source.weights
    lowest, highest = source.span()
    inner = np.unique(np.append(np.linspace(lowest, highest, _CELLS), 0.0))
    low, high = clip_range.edges(inner)
    centre = np.concatenate([inner[:1], inner])
    mass, moment, _ = source.moments(low, high, centre)
    filled = mass > 0
    return (centre[filled] + moment[filled] / mass[filled]), mass[filled] / mass.sum()


@cache
def _kernel() -> Any:
    """The compiled kernel, or the definition where numba is missing or switched off (NUMBA_DISABLE_JIT=1)."""
    try:
        import numba
    except ImportError:
        compiled = False
    else:
        compiled = not numba.config.DISABLE_JIT  # type: ignore[attr-defined]
    return import_module("scalecodec.kernels.ecsq_numba" if compiled else "scalecodec.kernels.ecsq_ref")
