"""Synthetic latents of three rates; indexes are independent of each other, the worst case for caches and predictors.

A repeated benchmark of few symbols lets the branch predictor learn them by heart, so `varied` gives many sets to take
in turn. Scales of real latents are alike where they are neighbours: `smooth` draws such, in all else the same.
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
_PIECES_BELOW = 10_000  # sets smaller than this are cut from one draw: drawing each would cost more than coding it
_MAP = (32, 48)  # a channel of a 768 x 512 picture's latent
_CUTOFF = 0.06  # of the smooth fields, in cycles an element: neighbours correlate by 0.9


class Latents(NamedTuple):
    symbols: NDArray[np.int32]
    indexes: NDArray[np.int32]

    @property
    def scales(self) -> NDArray[np.float64]:
        return SCALE_TABLE[self.indexes]


def latents(name: str, count: int, seed: int, *, smooth: bool = False) -> Latents:
    """``count`` symbols, each drawn by a scale from the set's bands, and the first table scale that is not below it."""
    rng = np.random.default_rng([seed, *name.encode()])
    share, narrow, wide = SETS[name]
    if smooth:
        level = _smooth_levels(rng, count)
        is_narrow = level < share
        place = np.where(is_narrow, level / share, (level - share) / (1 - share))
    else:
        is_narrow = rng.random(count) < share
        place = rng.random(count)
    low, high = np.where(is_narrow, np.transpose([narrow]), np.transpose([wide]))
    sigma = low * (high / low) ** place
    symbols = np.rint(sigma * rng.standard_normal(count))
    outlier = rng.random(count) < OUTLIERS
    symbols[outlier] = np.rint(4 * sigma[outlier] * rng.laplace(size=outlier.sum()))
    indexes = np.searchsorted(SCALE_TABLE, sigma).clip(max=63)
    return Latents(symbols.astype(np.int32), indexes.astype(np.int32))


def varied(name: str, count: int, *, smooth: bool = False) -> list[Latents]:
    """Different sets of one kind, more of them the smaller they are."""
    if count >= _PIECES_BELOW:
        return [latents(name, count, seed, smooth=smooth) for seed in range(max(2, VARIED_SYMBOLS // count))]
    whole = latents(name, VARIED_SYMBOLS, 0, smooth=smooth)
    starts = range(0, VARIED_SYMBOLS - count + 1, count)
    return [Latents(*(array[start : start + count] for array in whole)) for start in starts]


def _smooth_levels(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Levels evenly spread over [0, 1), neighbours alike: maps of smooth noise, each about a level of its own."""
    num_maps = -(-count // math.prod(_MAP))
    noise = rng.standard_normal((num_maps, *_MAP))
    frequency = np.hypot(np.fft.fftfreq(_MAP[0])[:, None], np.fft.rfftfreq(_MAP[1]))
    field = np.fft.irfft2(np.fft.rfft2(noise) / (1 + (frequency / _CUTOFF) ** 2), _MAP)
    field += field.std() * rng.standard_normal((num_maps, 1, 1))
    levels = np.empty(count)
    levels[np.argsort(field.ravel()[:count], kind="stable")] = np.arange(count) / count
    return levels
