"""Entropy-constrained scalar quantizer with pinned ends, the definition: NumPy, slow and obvious.

Chou, Lookabaugh and Gray 1989 (IEEE Trans. ASSP 37(1)), as modified for clipped activations by Cohen, Choi and Bajic
2021 (arXiv:2105.06002, 2105.07102): the outer levels stay at the ends of the clip range, as centroids of clipped
values would pull them inside. What the papers leave open is our choice: code lengths are -log2 of the probabilities,
begun as truncated unary ones; a level that no value takes, or whose thresholds cross, is deleted; an end that goes
leaves its place to its neighbour.

Shapes, float64: values [B], ascending, within the range; weights [B], positive, summing to 1; levels [N].
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def design(
    values: Floats, weights: Floats, levels: Floats, lagrangian: float, tolerance: float, max_iterations: int
) -> tuple[Floats, Floats, Floats]:
    """Levels [n], thresholds [n - 1] and probabilities [n] of a quantizer of n <= N levels.

    Each iteration makes bins of least D + lagrangian * R, then levels, then lengths; it ends when that sum changes by
    less than ``tolerance`` of itself. A value belongs to bin n where thresholds n - 1 < value <= n.
    """
    lengths = truncated_unary(len(levels))
    before, iterations = np.inf, 0
    while True:
        levels, lengths, thresholds = without_crossing(levels, lengths, lagrangian)
        bins = np.searchsorted(thresholds, values, "left")
        mass = np.array([weights[bins == n].sum() for n in range(len(levels))])
        sums = np.array([(weights * values)[bins == n].sum() for n in range(len(levels))])
        alive = mass > 0
        ends = levels[0], levels[-1]
        # A mean lies among what it is of, whatever rounding does to sums.
        least = np.array([values[bins == n].min(initial=np.inf) for n in range(len(levels))])
        most = np.array([values[bins == n].max(initial=-np.inf) for n in range(len(levels))])
        levels, mass = np.clip(sums[alive] / mass[alive], least[alive], most[alive]), mass[alive]
        if len(levels) > 1:  # where one is left, it is the mean of all
            levels[0], levels[-1] = ends
        lengths = -np.log2(mass)
        if not alive.all():
            before = np.inf
            continue
        cost = (weights * (values - levels[bins]) ** 2).sum() + lagrangian * (mass * lengths).sum()
        iterations += 1
        if before - cost <= tolerance * cost or iterations == max_iterations:
            return levels, thresholds, mass
        before = cost


def truncated_unary(count: int) -> Floats:
    """Code lengths 1, 2, ..., N - 1, N - 1 bits."""
    return np.minimum(np.arange(1, count + 1), max(count - 1, 1)).astype(np.float64)


def thresholds_between(levels: Floats, lengths: Floats, lagrangian: float) -> Floats:
    """Where a value costs the same, squared error and bits, at either neighbour."""
    middle = (levels[1:] + levels[:-1]) / 2
    return middle + lagrangian * (lengths[1:] - lengths[:-1]) / (2 * (levels[1:] - levels[:-1]))


def without_crossing(levels: Floats, lengths: Floats, lagrangian: float) -> tuple[Floats, Floats, Floats]:
    """Levels and lengths without those that nowhere cost least, and the thresholds between the rest."""
    while True:
        thresholds = thresholds_between(levels, lengths, lagrangian)
        crossed = np.flatnonzero(thresholds[1:] <= thresholds[:-1])
        if not len(crossed):
            return levels, lengths, thresholds
        levels, lengths = np.delete(levels, crossed[0] + 1), np.delete(lengths, crossed[0] + 1)
