"""Densities made of exponential pieces, and a point mass at 0: masses and moments over intervals, in closed form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_SERIES_TERMS = 20  # of an alternating series at up to 1: the last is below 1e-18


@dataclass(frozen=True)
class Piece:
    """Density ``peak * exp(-rate * distance from the peak's end)`` on (low, high].

    The peak is at ``low`` where ``falls``, else at ``high``; that end is finite, ``rate`` is positive.
    """

    low: float
    high: float
    peak: float
    rate: float
    falls: bool


@dataclass(frozen=True)
class Pieces:
    """A distribution: pieces, and a point mass ``at_zero``."""

    pieces: Sequence[Piece]
    at_zero: float = 0.0

    def moments(
        self, low: ArrayLike, high: ArrayLike, centre: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Integrals of 1, y - centre and (y - centre)^2 over (low, high], against the density.

        Parameters
        ----------
        low, high, centre : float64 arrays of one shape; low <= high, infinities allowed there

        Returns
        -------
        Three float64 arrays of that shape.
        """
        low, high, centre = (np.asarray(one, np.float64) for one in (low, high, centre))
        inside = np.where((low < 0) & (high >= 0), self.at_zero, 0.0)
        sums = [inside, inside * -centre, inside * centre**2]
        for piece in self.pieces:
            first, last = np.clip(low, piece.low, piece.high), np.clip(high, piece.low, piece.high)
            near, sign = (first, 1.0) if piece.falls else (last, -1.0)
            far_from_peak = near - piece.low if piece.falls else piece.high - near
            # An interval that lies wholly beyond the piece has no length: nothing of it may be infinite.
            empty = ~(last > first)
            length = np.where(empty, 0.0, last - np.where(empty, last, first))
            near = np.where(empty, 0.0, near)
            height = np.where(empty, 0.0, piece.peak * np.exp(-piece.rate * np.where(empty, 0.0, far_from_peak)))
            powers = _powers(piece.rate, length)
            shift = near - centre
            sums[0] = sums[0] + height * powers[0]
            sums[1] = sums[1] + height * (shift * powers[0] + sign * powers[1])
            sums[2] = sums[2] + height * (shift**2 * powers[0] + 2 * sign * shift * powers[1] + powers[2])
        return sums[0], sums[1], sums[2]


def _powers(rate: float, length: NDArray[np.float64]) -> list[NDArray[np.float64]]:
    """Integrals of v^k exp(-rate v) over v in [0, length], k = 0, 1, 2: a series where the closed form would cancel."""
    t = rate * length
    decay = np.exp(-t)
    finite = np.where(np.isfinite(t), t, 0.0)  # times exp(-inf): 0
    closed = (
        -np.expm1(-t) / rate,
        (1 - decay * (1 + finite)) / rate**2,
        (2 - decay * (2 + 2 * finite + finite**2)) / rate**3,
    )
    small = np.where(t < 1, t, 0.0)
    term, highest = np.ones_like(small), np.zeros_like(small)
    for j in range(_SERIES_TERMS):
        highest += term / (3 + j)
        term = term * -small / (j + 1)
    # Downwards by parts, k I(k - 1) = t I(k) + exp(-t), no two of these cancel.
    middle = (small * highest + decay) / 2
    of_one = small * middle + decay, middle, highest
    short = np.where(t < 1, length, 0.0)
    return [
        np.where(t < 1, short ** (k + 1) * one, other)
        for k, (one, other) in enumerate(zip(of_one, closed, strict=True))
    ]
