"""A distribution in cells that are never cut, as a histogram's bins: masses and moments by running sums."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Cells:
    """Cells at their means, ascending.

    Parameters
    ----------
    centres : float64 [B], about which moments are given; near the means
    moments : float64 [3, B], of each cell: mass, positive, and first and second moment about its centre
    """

    def __init__(self, centres: Floats, moments: Floats) -> None:
        mass, first, second = moments
        self.values = centres + first / mass
        self.weights = mass
        # About 0, the sums of values far from it would cancel.
        self._reference = float((mass * self.values).sum() / mass.sum()) if len(mass) else 0.0
        shift = centres - self._reference
        steps = np.stack([mass, first + shift * mass, second + 2 * shift * first + shift**2 * mass])
        self._sums = np.concatenate([np.zeros((3, 1)), np.cumsum(steps, axis=1)], axis=1)

    def moments(self, low: ArrayLike, high: ArrayLike, centre: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Mass, and first and second moments about ``centre``, of cells whose means lie in (low, high]."""
        first, last = np.searchsorted(self.values, low, "right"), np.searchsorted(self.values, high, "right")
        mass, total, squares = self._sums[:, last] - self._sums[:, first]
        shift = self._reference - np.asarray(centre, np.float64)
        return mass, total + shift * mass, np.maximum(squares + 2 * shift * total + shift**2 * mass, 0.0)

    def span(self) -> tuple[float, float]:
        """The lowest and the highest mean."""
        return float(self.values[0]), float(self.values[-1])
