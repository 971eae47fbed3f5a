"""Synthetic latents of three rates; indexes are independent of each other, the worst case for caches and predictors.

A repeated benchmark of few symbols lets the branch predictor learn them by heart, so `varied` gives many sets to take
in turn.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# a share of narrow scales, and the bounds of the narrow and the wide ones (log-uniform within)
SETS = {
    "low": (0.9, (0.11, 0.3), (0.3, 4)),  # 0.35 bit a symbol
    "mid": (0.7, (0.11, 0.5), (0.5, 8)),  # 1.2
    "mix": (0.7, (0.11, 0.5), (0.5, 256)),  # 2.0
}
SCALE_TABLE = np.exp(np.linspace(math.log(0.11), math.log(256), 64))
OUTLIERS = 1e-4  # of Laplace's law, four times as wide: they force escapes
VARIED_SYMBOLS = 640_000  # in all sets together: no predictor holds that


class Latents(NamedTuple):
    symbols: NDArray[np.int32]
    indexes: NDArray[np.int32]

    @property
    def scales(self) -> NDArray[np.float64]:
        return SCALE_TABLE[self.indexes]


def latents(name: str, count: int, seed: int) -> Latents:
    """``count`` symbols, each drawn by a scale from the set's bands, and the first table scale that is not below it."""
    rng = np.random.default_rng([seed, *name.encode()])
    share, narrow, wide = SETS[name]
    low, high = np.where(rng.random(count) < share, np.transpose([narrow]), np.transpose([wide]))
    sigma = low * (high / low) ** rng.random(count)
    symbols = np.rint(sigma * rng.standard_normal(count))
    outlier = rng.random(count) < OUTLIERS
    symbols[outlier] = np.rint(4 * sigma[outlier] * rng.laplace(size=outlier.sum()))
    indexes = np.searchsorted(SCALE_TABLE, sigma).clip(max=63)
    return Latents(symbols.astype(np.int32), indexes.astype(np.int32))


def varied(name: str, count: int) -> list[Latents]:
    """Different sets of one kind, more of them the smaller they are."""
    return [latents(name, count, seed) for seed in range(max(2, VARIED_SYMBOLS // count))]
