"""All that a decoder of symbols needs beside the streams: levels, classes of channels, frequencies; and its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scalecodec import _core
from scalecodec.cdf import CdfTable
from scalecodec.errors import BitstreamError

from .coding import MAX_CLASSES, Coding
from .reader import Reader
from .tables import ABSENT, codes_of, table_of

_CLASS_BITS = 4


@dataclass(frozen=True, eq=False)
class Description:
    """How a tensor's symbols are coded, and what they stand for.

    Attributes
    ----------
    levels : float32 [N], strictly ascending
    has_context, classes, num_classes : as of a Coding
    codes : uint8 [tables, N], as :mod:`.tables` has them; a table of which all are absent is not in use
    estimates : float32 [num_classes * ESTIMATE_BINS, N], what a symbol stands for by its channel's class and its eight
        neighbours; None: its level
    """

    levels: NDArray[np.float32]
    has_context: bool
    classes: NDArray[np.uint8]
    num_classes: int
    codes: NDArray[np.uint8]
    estimates: NDArray[np.float32] | None = None

    @cached_property
    def table(self) -> CdfTable:
        codes = self.codes.copy()
        codes[(codes == ABSENT).all(1), 0] = 0  # no symbol names it, yet there must be one
        return table_of(codes)

    def coding(self, shape: tuple[int, ...]) -> Coding:
        return Coding(shape, self.has_context, self.classes, self.num_classes)

    def to_bytes(self) -> bytes:
        """Without ``has_context``, the number of channels and estimates, which stand elsewhere."""
        used = (self.codes != ABSENT).any(1)
        classes = _nibbles(self.classes) if self.num_classes > 1 else b""
        head = bytes([len(self.levels) - 1]) + self.levels.astype("<f4").tobytes() + bytes([self.num_classes])
        return head + classes + np.packbits(used, bitorder="little").tobytes() + self.codes[used].tobytes()

    @classmethod
    def read(cls, reader: Reader, channels: int, has_context: bool) -> Description:
        """What :meth:`to_bytes` wrote; BitstreamError where it is no such thing."""
        num_levels = reader.byte() + 1
        levels = np.frombuffer(reader.take(4 * num_levels), "<f4").astype(np.float32)
        if not (np.isfinite(levels).all() and (np.diff(levels) > 0).all()):
            raise BitstreamError("the levels are not finite and ascending")
        num_classes = reader.byte()
        if not 1 <= num_classes <= MAX_CLASSES:
            raise BitstreamError(f"{num_classes} classes of channels, of which there are 1 to {MAX_CLASSES}")
        classes = np.zeros(channels, np.uint8) if num_classes == 1 else _classes(reader, channels, num_classes)
        num_tables = Coding((), has_context, classes, num_classes).num_tables
        bits = np.frombuffer(reader.take((num_tables + 7) // 8), np.uint8)
        used = np.unpackbits(bits, bitorder="little")[:num_tables].astype(bool)
        codes = np.full((num_tables, num_levels), ABSENT, np.uint8)
        codes[used] = np.frombuffer(reader.take(int(used.sum()) * num_levels), np.uint8).reshape(-1, num_levels)
        if (codes[used] == ABSENT).all(1).any() or np.unpackbits(bits, bitorder="little")[num_tables:].any():
            raise BitstreamError("a table in use has no symbol, or one beyond the last is in use")
        return cls(levels, has_context, classes, num_classes, codes)


def counted(levels: NDArray[np.float32], coding: Coding, parts: Sequence[tuple[NDArray[np.uint8], ...]]) -> Description:
    """With the frequencies of these symbols and indexes."""
    counts = count(coding, len(levels), parts)
    return Description(levels, coding.has_context, coding.classes, coding.num_classes, codes_of(counts))


def count(coding: Coding, num_levels: int, parts: Sequence[tuple[NDArray[np.uint8], ...]]) -> NDArray[np.int64]:
    """How often each symbol comes with each index: int64 [tables, num_levels]."""
    counts = np.zeros((coding.num_tables, num_levels), np.int64)
    for taken, indexes in parts:
        # Of one table no index need be looked at, which is counted by whole vectors.
        _core.count_symbols(taken, indexes if coding.num_tables > 1 else None, counts)
    return counts


def _classes(reader: Reader, channels: int, num_classes: int) -> NDArray[np.uint8]:
    packed = np.frombuffer(reader.take((channels + 1) // 2), np.uint8)
    classes = np.stack([packed & 15, packed >> _CLASS_BITS], 1).reshape(-1)[:channels]
    if channels % 2 and packed[-1] >> _CLASS_BITS:
        raise BitstreamError("there is a class behind the last channel")
    if classes.max(initial=0) >= num_classes:
        raise BitstreamError(f"a channel of class {classes.max()}, of which there are {num_classes}")
    return classes


def _nibbles(classes: NDArray[np.uint8]) -> bytes:
    padded = np.append(classes, np.zeros(len(classes) % 2, np.uint8)).reshape(-1, 2)
    return (padded[:, 0] | padded[:, 1] << _CLASS_BITS).astype(np.uint8).tobytes()
