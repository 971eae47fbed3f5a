"""What both ends of a split network can know before: which symbols come where, and what they stand for.

The estimates are ours: a level is the mean of all values that fell into its bin, but with its channel and its
neighbours known, a symbol tells more. They cost no bits, and the decoder looks them up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalecodec import _core

from .coding import Coding, channel_means, classes_of, layout
from .description import Description, count
from .quantizer import Quantizer
from .samples import FloatArray, as_samples
from .tables import codes_of

NUM_CLASSES = 8  # of channels, where their tables are not sent with each tensor
_PRIOR = 8.0  # values at the level itself that each estimate begins with


class Calibration:
    """Gathers tensors of one place in a network; a byte an element is kept.

    Parameters
    ----------
    quantizer : Quantizer
    coding : as of a FeatureCodec; with "context" there are estimates
    """

    def __init__(self, quantizer: Quantizer, coding: str) -> None:
        self._quantizer, self._coding = quantizer, coding
        self._symbols: list[NDArray[np.uint8]] = []
        self._channels: set[int] = set()
        self._sums: NDArray[np.float64] | None = None  # [2, channels * bins, N]: how often, and of which sum

    def update(self, tensor: FloatArray, symbols: NDArray[np.uint8]) -> None:
        """Take a tensor, and its symbols in an array of its shape.

        Raises
        ------
        ValueError
            Its channels are not as many as before.
        """
        if not symbols.size:
            return
        channels = layout(symbols.shape)[0]
        self._channels.add(channels)
        if len(self._channels) > 1:
            raise ValueError(f"calibration takes tensors of one number of channels, got {sorted(self._channels)}")
        self._symbols.append(symbols)
        if self._coding == "context":
            found = self._surroundings(as_samples(tensor), symbols, channels)
            self._sums = found if self._sums is None else self._sums + found

    def finish(self, threads: int) -> Description:
        """From all that was gathered; ValueError where that is nothing."""
        if not self._symbols:
            raise ValueError("there is nothing to calibrate with")
        (channels,) = self._channels
        num_classes = 1 if self._coding == "static" else min(NUM_CLASSES, channels)
        means = sum(channel_means(one) * one.size for one in self._symbols)
        classes, has_context = classes_of(np.asarray(means), num_classes), self._coding == "context"
        num_levels = len(self._quantizer.levels)
        counts = np.zeros(())
        for one in self._symbols:
            place = Coding(one.shape, has_context, classes, num_classes)
            counts = counts + count(place, num_levels, list(place.read(one, threads)))
        # Each table is given one symbol more, shared out as all symbols are, and each of these one itself.
        share = (counts.sum(0) + 1) / (counts.sum() + num_levels)
        estimates = None if self._sums is None else self._estimates(self._sums, classes, num_classes)
        levels = self._quantizer.levels
        return Description(levels, has_context, classes, num_classes, codes_of(counts + share), estimates)

    def _surroundings(
        self, values: NDArray[np.float32], symbols: NDArray[np.uint8], channels: int
    ) -> NDArray[np.float64]:
        bins, num_levels = _core.ESTIMATE_BINS, len(self._quantizer.levels)
        _, height, width = layout(symbols.shape)
        planes = symbols.reshape(-1, height, width)
        indexes = np.empty(planes.shape, np.uint8)
        _core.feature_surroundings(planes, np.zeros(len(planes), np.uint8), indexes, 1)
        channel = np.resize(np.arange(channels), len(planes))[:, None, None]
        cells = ((channel * bins + indexes) * num_levels + planes).reshape(-1)
        size = channels * bins * num_levels
        sums = np.bincount(cells, minlength=size), np.bincount(cells, values.reshape(-1), size)
        return np.stack(sums).astype(np.float64).reshape(2, channels, bins, num_levels)

    def _estimates(
        self, sums: NDArray[np.float64], classes: NDArray[np.uint8], num_classes: int
    ) -> NDArray[np.float32]:
        """Means by class, neighbours and symbol, each between the thresholds of its bin, as all that it is of are."""
        bins, levels = _core.ESTIMATE_BINS, self._quantizer.levels.astype(np.float64)
        by_class = np.zeros((2, num_classes, bins, len(levels)))
        for channel, kind in enumerate(classes):
            by_class[:, kind] += sums[:, channel]
        means = (by_class[1] + _PRIOR * levels) / (by_class[0] + _PRIOR)
        return means.reshape(-1, len(levels)).astype(np.float32)
