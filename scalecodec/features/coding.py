"""In which order a tensor's symbols are coded, and which table each has: one for all, by channel, or by neighbours.

The last is ours: planes are coded from coarse to fine in five passes (FORMAT.md, section 8.3), so that four neighbours
of a symbol, on all sides, are known before it, and yet all symbols of a pass are decoded at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from scalecodec import _core

CODINGS = ("static", "channel", "context")
MAX_CLASSES = 256 // _core.MAP_CONTEXTS  # of channels

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Coding:
    """What fixes the tables of a tensor's symbols.

    Attributes
    ----------
    shape : of the tensor: [..., channels, height, width]; of fewer axes, those in front count as 1
    has_context : whether a table depends on a symbol's neighbours in its plane
    classes : uint8 [channels], each below ``num_classes``: of which kind a channel is
    num_classes : 1 to 12
    """

    shape: tuple[int, ...]
    has_context: bool
    classes: Bytes
    num_classes: int

    @property
    def num_tables(self) -> int:
        return self.num_classes * (_core.MAP_CONTEXTS if self.has_context else 1)

    @property
    def num_streams(self) -> int:
        return _core.MAP_PASSES if self.has_context else 1

    def read(self, symbols: Bytes, threads: int) -> Iterator[tuple[Bytes, Bytes]]:
        """Symbols and indexes of each stream, flat."""
        planes, classes = self.planes(symbols)
        if not self.has_context:
            yield planes.reshape(-1), np.repeat(classes, prod(planes.shape[1:]))
            return
        for index in range(_core.MAP_PASSES):
            taken, indexes = self._empty(planes, index), self._empty(planes, index)
            _core.map_read_pass(planes, classes, index, indexes, taken, threads)
            yield taken, indexes

    def fill(self, symbols: Bytes, decode: Callable[[int, Bytes], Bytes], threads: int) -> None:
        """Put into ``symbols`` what ``decode(stream, indexes)`` gives for each stream, flat."""
        planes, classes = self.planes(symbols)
        if not self.has_context:
            planes.reshape(-1)[:] = decode(0, np.repeat(classes, prod(planes.shape[1:])))
            return
        for index in range(_core.MAP_PASSES):
            indexes = self._empty(planes, index)
            _core.map_read_pass(planes, classes, index, indexes, None, threads)
            _core.map_write_pass(planes, classes, index, decode(index, indexes), threads)

    def planes(self, symbols: Bytes) -> tuple[Bytes, Bytes]:
        """The symbols as [planes, height, width], a view, and the class of each plane."""
        _, height, width = layout(self.shape)
        count = prod(self.shape) // max(1, height * width) if prod(self.shape) else 0
        classes = np.resize(self.classes, count) if self.num_classes > 1 else np.zeros(count, np.uint8)
        return symbols.reshape(count, height, width), classes

    def _empty(self, planes: Bytes, index: int) -> Bytes:
        return np.empty(len(planes) * _core.map_pass_size(planes.shape[1], planes.shape[2], index), np.uint8)


def layout(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Channels, height and width: the last three axes, those that are missing in front being 1."""
    channels, height, width = (1, 1, 1, *shape)[-3:]
    return channels, height, width


def classes_of(means: NDArray[np.float64], num_classes: int) -> Bytes:
    """Channels ranked by the mean of their symbols, in classes of one size: uint8 [channels]."""
    rank = np.empty(len(means), np.int64)
    rank[np.argsort(means, kind="stable")] = np.arange(len(means))
    return (rank * num_classes // max(1, len(means))).astype(np.uint8)


def channel_means(symbols: Bytes) -> NDArray[np.float64]:
    """Mean symbol of each channel of an array of the tensor's shape: float64 [channels]."""
    channels, height, width = layout(symbols.shape)
    return symbols.reshape(-1, channels, height * width).mean((0, 2))
