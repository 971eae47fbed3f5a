"""Counts of activations, gathered batch by batch: no range need be known before, and no sample is kept."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .cells import Cells
from .samples import FloatArray, as_samples

NUM_BINS = 1 << 15  # at most; outliers leave few of them to the bulk
_FINEST = -149  # exponent of float32's least value
_FARTHEST = 1 << 40  # bins from 0, so that places are exact in float64


class Histogram:
    """Bins ``[k, k + 1) * width``, the width a power of two that doubles whenever more than 32768 would be wanted.

    A bin holds how many values fell into it, their sum and the sum of their squares, about its middle: of whole bins
    all moments are exact, and a bin is never cut.

    Attributes
    ----------
    count : int
    lowest, highest : float, of all values
    """

    def __init__(self, activations: FloatArray | Iterable[FloatArray] = ()) -> None:
        self.count = 0
        self.lowest, self.highest = math.inf, -math.inf
        self._exponent = _FINEST
        self._first = 0  # which bin the sums begin with
        self._sums = np.zeros((3, 0))  # of 1, of the distances from the middle, and of their squares, a column a bin
        for batch in _batches(activations):
            self.update(batch)

    def update(self, batch: FloatArray) -> Histogram:
        """Count the values of a batch, of any shape; returns self. Errors as of :func:`~.samples.as_samples`."""
        values = as_samples(batch).ravel().astype(np.float64)
        if not len(values):
            return self
        self._reach(float(values.min()), float(values.max()))
        bins = np.floor(np.ldexp(values, -self._exponent))
        places = bins.astype(np.int64) - self._first
        distances = values - np.ldexp(bins + 0.5, self._exponent)
        size = self._sums.shape[1]
        for row, weights in zip(self._sums, (None, distances, distances**2), strict=True):
            row += np.bincount(places, weights, size)
        self.count += len(values)
        self.__dict__.pop("cells", None)
        return self

    @property
    def mean(self) -> float:
        """Of all values; 0 of none."""
        return float((self._sums[0] * self._middles + self._sums[1]).sum() / max(self.count, 1))

    @property
    def variance(self) -> float:
        """Of all values; 0 of none."""
        return float(self.moments(-np.inf, np.inf, self.mean)[2]) if self.count else 0.0

    @property
    def values(self) -> NDArray[np.float64]:
        """Means of the bins that hold anything, ascending."""
        return self.cells.values

    @property
    def weights(self) -> NDArray[np.float64]:
        """Share of all values in each of these bins."""
        return self.cells.weights

    def moments(
        self, low: ArrayLike, high: ArrayLike, centre: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mass, and first and second moments about ``centre``, of bins whose means lie in the intervals (low, high]."""
        return self.cells.moments(low, high, centre)

    @cached_property
    def cells(self) -> Cells:
        """The bins that hold anything, with shares of all values."""
        filled = self._sums[0] > 0
        return Cells(self._middles[filled], self._sums[:, filled] / max(self.count, 1))

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

    @property
    def _middles(self) -> NDArray[np.float64]:
        return np.ldexp(self._first + np.arange(self._sums.shape[1]) + 0.5, self._exponent)

    def _reach(self, low: float, high: float) -> None:
        """Make room for values from low to high, in wider bins where these are too many."""
        self.lowest, self.highest = min(self.lowest, low), max(self.highest, high)
        exponent = self._exponent
        while True:
            first, last = (math.floor(math.ldexp(end, -exponent)) for end in (self.lowest, self.highest))
            if last - first < NUM_BINS and max(abs(first), abs(last)) < _FARTHEST:
                break
            exponent += 1
        sums = np.zeros((3, last - first + 1))
        if self._sums.shape[1]:
            middles = self._middles
            places = ((self._first + np.arange(len(middles))) >> (exponent - self._exponent)) - first
            shift = middles - np.ldexp(places + first + 0.5, exponent)
            mass, total, squares = self._sums
            moved = mass, total + shift * mass, squares + 2 * shift * total + shift**2 * mass
            for row, values in zip(sums, moved, strict=True):
                np.add.at(row, places, values)
        self._exponent, self._first, self._sums = exponent, first, sums


def _batches(activations: FloatArray | Iterable[FloatArray]) -> Iterable[FloatArray]:
    """An array or tensor is one batch; anything else that can be walked is several."""
    if isinstance(activations, np.ndarray) or hasattr(activations, "is_floating_point"):
        return [activations]
    return activations
