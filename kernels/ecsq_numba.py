"""Entropy-constrained scalar quantizer with pinned ends, compiled: :mod:`.ecsq_ref` on running sums.

A bin's mass, centroid and squared error are differences of running sums at two places, which a binary search finds: an
iteration costs the number of levels times the logarithm of the number of values. Sums are added up in another order
than the definition's, so results agree to rounding, not to the bit. The GIL is released; the first call compiles, and
the result is kept on disk where there is room for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    try:
        return njit(cache=True, nogil=True)(function)
    except RuntimeError:  # numba finds no folder that it may write to
        return njit(nogil=True)(function)


@_compiled
def _drop(array, at, count):  # type: ignore[no-untyped-def]
    """Close the gap at ``at`` among the first ``count``."""
    for i in range(at, count - 1):
        array[i] = array[i + 1]


@_compiled
def _make_thresholds(levels, lengths, thresholds, count, lagrangian):  # type: ignore[no-untyped-def]
    """Thresholds between the levels that cost least somewhere; returns how many levels these are."""
    while True:
        crossed = 0
        for n in range(1, count):
            gap = levels[n] - levels[n - 1]
            thresholds[n - 1] = (levels[n] + levels[n - 1]) / 2 + lagrangian * (lengths[n] - lengths[n - 1]) / (2 * gap)
            if n > 1 and thresholds[n - 1] <= thresholds[n - 2]:
                crossed = n - 1
                break
        if crossed == 0:
            return count
        _drop(levels, crossed, count)
        _drop(lengths, crossed, count)
        count -= 1


@_compiled
def _count_up_to(values, threshold):  # type: ignore[no-untyped-def]
    """How many of the ascending ``values`` are at most ``threshold``."""
    low, high = 0, len(values)
    while low < high:
        middle = (low + high) // 2
        if values[middle] <= threshold:
            low = middle + 1
        else:
            high = middle
    return low


@_compiled
def _make_levels(values, sums, levels, thresholds, mass, bins, count):  # type: ignore[no-untyped-def]
    """Levels and masses of the bins that hold anything; returns how many these are, and the squared error."""
    low, high = levels[0], levels[count - 1]
    kept, begin = 0, 0
    for n in range(count):
        end = _count_up_to(values, thresholds[n]) if n < count - 1 else len(values)
        if end > begin and sums[0, end] > sums[0, begin]:
            for k in range(3):
                bins[k, kept] = sums[k, end] - sums[k, begin]
            # A mean lies among what it is of, whatever rounding does to sums.
            mean = min(max(bins[1, kept] / bins[0, kept], values[begin]), values[end - 1])
            mass[kept], levels[kept] = bins[0, kept], mean
            begin = end
            kept += 1
    if kept > 1:
        levels[0], levels[kept - 1] = low, high
    error = 0.0
    for n in range(kept):
        error += bins[2, n] - 2 * levels[n] * bins[1, n] + levels[n] ** 2 * bins[0, n]
    return kept, error


@_compiled
def _running_sums(values, weights):  # type: ignore[no-untyped-def]
    """[3, len + 1]: of weights, and of these times values and squares, before each place."""
    sums = np.zeros((3, len(values) + 1))
    mass, first, second = 0.0, 0.0, 0.0
    for i in range(len(values)):
        mass += weights[i]
        first += weights[i] * values[i]
        second += weights[i] * values[i] ** 2
        sums[0, i + 1], sums[1, i + 1], sums[2, i + 1] = mass, first, second
    return sums


@_compiled
def _iterate(values, weights, levels, lagrangian, tolerance, max_iterations):  # type: ignore[no-untyped-def]
    """Levels, thresholds and masses in arrays for all N; returns these and how many are left."""
    sums, count = _running_sums(values, weights), len(levels)
    thresholds, mass, lengths, bins = np.empty(count), np.empty(count), np.empty(count), np.empty((3, count))
    for n in range(count):
        lengths[n] = max(1, min(n + 1, count - 1))
    before, iterations = np.inf, 0
    while True:
        count = _make_thresholds(levels, lengths, thresholds, count, lagrangian)
        kept, cost = _make_levels(values, sums, levels, thresholds, mass, bins, count)
        for n in range(kept if lagrangian > 0 else 0):  # else no length counts
            lengths[n] = -np.log2(mass[n])
            cost += lagrangian * mass[n] * lengths[n]
        if kept < count:
            count, before = kept, np.inf
            continue
        iterations += 1
        if before - cost <= tolerance * cost or iterations == max_iterations:
            return levels, thresholds, mass, count
        before = cost


def design(
    values: Floats, weights: Floats, levels: Floats, lagrangian: float, tolerance: float, max_iterations: int
) -> tuple[Floats, Floats, Floats]:
    """As :func:`.ecsq_ref.design`."""
    levels, thresholds, mass, count = _iterate(values, weights, levels.copy(), lagrangian, tolerance, max_iterations)
    return levels[:count], thresholds[: count - 1], mass[:count]
