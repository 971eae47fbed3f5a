"""A scalar quantizer of activations: levels, the thresholds between them, and how often each is expected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import clip_range
from .clip_range import MAX_LEVELS, Distribution


@dataclass(frozen=True, eq=False)
class Quantizer:
    """Symbol n stands for values in (thresholds[n - 1], thresholds[n]], and becomes levels[n].

    Attributes
    ----------
    levels : float32 [N], 1 <= N <= 256, strictly ascending; the first and the last are the clip range
    thresholds : float32 [N - 1], strictly ascending; only an encoder needs them
    """

    levels: NDArray[np.float32]
    thresholds: NDArray[np.float32]

    def __post_init__(self) -> None:
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which is refused
            levels, thresholds = (np.array(one, np.float32) for one in (self.levels, self.thresholds))
        if levels.ndim != 1 or not 1 <= len(levels) <= MAX_LEVELS:
            raise ValueError(f"levels must be 1-D, 1 to {MAX_LEVELS} of them, got shape {levels.shape}")
        if thresholds.shape != (len(levels) - 1,):
            raise ValueError(f"{len(levels)} levels have {len(levels) - 1} thresholds, got shape {thresholds.shape}")
        for name, array in (("levels", levels), ("thresholds", thresholds)):
            if not (np.isfinite(array).all() and (array[1:] > array[:-1]).all()):
                raise ValueError(f"{name} must be finite float32 and strictly ascending, got {array}")
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @classmethod
    def uniform(cls, c_min: float, c_max: float, levels: int) -> Quantizer:
        """Evenly spaced levels from c_min to c_max, thresholds half-way between them."""
        clip_range.check_range(c_min, c_max)
        return cls(*clip_range.uniform(c_min, c_max, clip_range.check_levels(levels)))  # type: ignore[arg-type]

    @property
    def c_min(self) -> float:
        return float(self.levels[0])

    @property
    def c_max(self) -> float:
        return float(self.levels[-1])

    def probabilities(self, source: Distribution) -> NDArray[np.float64]:
        """How often each symbol comes: float64 [N]."""
        return source.moments(*self._bins())[0]

    def distortion(self, source: Distribution) -> float:
        """Mean squared error, what is clipped included."""
        return float(source.moments(*self._bins())[2].sum())

    def bits(self, source: Distribution) -> float:
        """Zero-order entropy of the symbols, bits an element."""
        return entropy(self.probabilities(source))

    def _bins(self) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        return *clip_range.edges(self.thresholds.astype(np.float64)), self.levels.astype(np.float64)


def entropy(probabilities: ArrayLike) -> float:
    """In bits; what never comes costs nothing."""
    p = np.asarray(probabilities, np.float64)
    p = p[p > 0]
    return max(0.0, float(-(p * np.log2(p)).sum()))  # where one probability is 1 and a rounding more
