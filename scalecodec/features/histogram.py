"""Counts of activations, gathered batch by batch: no range need be known before, and no sample is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .samples import FloatArray, as_samples

NUM_BINS = 1 << 15  # at most; outliers leave few of them to the bulk
_FINEST = -140  # exponent of the narrowest bin: float32 has no finer values


class Histogram:
    """Bins ``[k, k + 1) * width``, the width a power of two that doubles whenever more than 32768 would be wanted.

    A bin holds how many values fell into it and their sum, so what is computed takes every value for its bin's mean.

    Attributes
    ----------
    count : int
    lowest, highest : float, of all values
    """

    def __init__(self, activations: FloatArray | Iterable[FloatArray] = ()) -> None:
        self.count = 0
        self.lowest, self.highest = math.inf, -math.inf
        self._exponent = _FINEST
        self._first = 0  # which bin the arrays begin with
        self._counts = np.zeros(0, np.int64)
        self._sums = np.zeros(0)
        self._squares = 0.0  # of all values, for the variance
        for batch in _batches(activations):
            self.update(batch)

    def update(self, batch: FloatArray) -> Histogram:
        """Count the values of a batch, of any shape; returns self. Errors as of :func:`~.samples.as_samples`."""
        values = as_samples(batch).ravel()
        if not len(values):
            return self
        self._reach(float(values.min()), float(values.max()))
        places = np.floor(np.ldexp(values, -self._exponent)).astype(np.int64) - self._first
        wide = values.astype(np.float64)
        self._counts += np.bincount(places, minlength=len(self._counts))
        self._sums += np.bincount(places, weights=wide, minlength=len(self._sums))
        self._squares += float(wide @ wide)
        self.count += len(values)
        self.__dict__.pop("_cumulative", None)
        return self

    @property
    def mean(self) -> float:
        """Of all values; 0 of none."""
        return float(self._sums.sum() / max(self.count, 1))

    @property
    def variance(self) -> float:
        """Of all values; 0 of none."""
        return max(0.0, self._squares / max(self.count, 1) - self.mean**2)

    @property
    def values(self) -> NDArray[np.float64]:
        """Means of the bins that hold anything, ascending."""
        filled = self._counts > 0
        return self._sums[filled] / self._counts[filled]

    @property
    def weights(self) -> NDArray[np.float64]:
        """Share of all values in each of these bins."""
        return self._counts[self._counts > 0] / self.count

    def moments(
        self, low: ArrayLike, high: ArrayLike, centre: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mass, and first and second moments about ``centre``, of the intervals (low, high]."""
        centre = np.asarray(centre, np.float64)
        values, sums = self._cumulative
        first, last = np.searchsorted(values, low, "right"), np.searchsorted(values, high, "right")
        mass, total, squares = sums[:, last] - sums[:, first]
        return mass, total - centre * mass, squares - 2 * centre * total + centre**2 * mass

    def span(self) -> tuple[float, float]:
        """The lowest and the highest value.

        Raises
        ------
        ValueError
            There are none.
        """
        if not self.count:
            raise ValueError("a histogram of no activations has no span")
        return self.lowest, self.highest

    @cached_property
    def _cumulative(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Bin means, and running sums [3, bins + 1] of weight, weighted value and weighted square."""
        values, weights = self.values, self.weights
        steps = np.stack([weights, weights * values, weights * values**2])
        return values, np.concatenate([np.zeros((3, 1)), np.cumsum(steps, axis=1)], axis=1)

    def _reach(self, low: float, high: float) -> None:
        """Make room for values from low to high, in wider bins where these are too many."""
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        exponent = self._exponent
        while (
            math.floor(math.ldexp(self.highest, -exponent)) - math.floor(math.ldexp(self.lowest, -exponent)) >= NUM_BINS
        ):
            exponent += 1
        first = math.floor(math.ldexp(self.lowest, -exponent))
        last = math.floor(math.ldexp(self.highest, -exponent))
        counts, sums = np.zeros(last - first + 1, np.int64), np.zeros(last - first + 1)
        if len(self._counts):
            places = ((self._first + np.arange(len(self._counts))) >> (exponent - self._exponent)) - first
            np.add.at(counts, places, self._counts)
            np.add.at(sums, places, self._sums)
        self._exponent, self._first, self._counts, self._sums = exponent, first, counts, sums


def _batches(activations: FloatArray | Iterable[FloatArray]) -> Iterable[FloatArray]:
    """An array or tensor is one batch; anything else that can be walked is several."""
    if isinstance(activations, np.ndarray) or hasattr(activations, "is_floating_point"):
        return [activations]
    return activations
