"""The fully factorized prior with a step that follows the rate (arXiv:2402.18930); its tables for all rates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalecodec.errors import TableError
from scalecodec.gains import NUM_GAINS, power_of_root
from scalecodec.streams import RANS64, Stream

from .base import EntropyModel
from .bottleneck import EntropyBottleneck
from .draws import spread

MAX_TABLE_ENTRIES = 1 << 24  # of all tables, padded to the longest
_PARTS = 8  # steps an octave: the nearest is within 4.5 % of any
EXPONENTS = range(-_PARTS, 8 * _PARTS + 1)  # from 1/2 to 256


def nearest_exponents(steps: Tensor) -> Tensor:
    """Of steps: the exponents, int16, of the nearest of ``2 ** (exponent / 8)``, in the log domain."""
    return (steps.double().log2() * _PARTS).round().clamp(EXPONENTS[0], EXPONENTS[-1]).to(torch.int16)


class SteppedBottleneck(EntropyBottleneck):
    """:class:`EntropyBottleneck` whose symbols have the step that each gain index calls for.

    A step is an eighth of an octave times an integer, which the buffer ``exponents`` [256] has for each gain index; the
    tables of every step in use stand one behind the other, so that a change of rate rebuilds none, and a decoder
    computes none. New ones are 0, a step of 1: who owns the bottleneck sets them, and then calls ``update``.
    """

    exponents: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.register_buffer("exponents", torch.zeros(NUM_GAINS, dtype=torch.int16))

    def _slots(self) -> list[int]:
        """The exponents in use, in the order of their tables."""
        return sorted(set(self.exponents.tolist()))

    @property
    def num_tables(self) -> int:
        return self.channels * len(self._slots())

    def _all_pmfs(self) -> tuple[list[NDArray[np.float32]], NDArray[np.int32]]:
        parts = []
        for exponent in self._slots():
            parts.append(self._pmfs(_step(exponent)))
            longest = max(len(row) for rows, _ in parts for row in rows)
            if longest * self.num_tables > MAX_TABLE_ENTRIES:
                raise TableError(f"{self.num_tables} tables of up to {longest} entries are too many: steps too small")
        return [row for rows, _ in parts for row in rows], np.concatenate([first for _, first in parts])

    def _at(self, gain_index: int, indexes: Tensor) -> tuple[Tensor, float]:
        """The tables of a rate, and its gain."""
        exponent = int(self.exponents[gain_index])
        return indexes + self._slots().index(exponent) * self.channels, 1 / _step(exponent)

    def compress(  # type: ignore[override]
        self, x: Tensor, gain_index: int, *, stream: Stream = RANS64
    ) -> list[bytes]:
        """One stream per item of [B, channels, ...]; see :meth:`EntropyModel.compress`."""
        indexes, gain = self._at(gain_index, self._indexes(x.size(0), x.shape[2:]))
        return EntropyModel.compress(self, x, indexes, self._medians_like(x.dim()), gain=gain, stream=stream)

    def decompress(  # type: ignore[override]
        self, strings: Sequence[bytes], size: Sequence[int], gain_index: int, *, stream: Stream = RANS64
    ) -> Tensor:
        """[len(strings), channels, *size], float; see :meth:`EntropyModel.decompress`."""
        indexes, gain = self._at(gain_index, self._indexes(len(strings), size).to(self.quantiles.device))
        medians = self._medians_like(2 + len(size)).expand(len(strings), *[-1] * (1 + len(size)))
        return EntropyModel.decompress(self, strings, indexes, medians.dtype, medians, gain=gain, stream=stream)

    def samples(self) -> Iterator[Tensor]:
        """As the base's, at every step in use."""
        for place, exponent in enumerate(self._slots()):
            yield from spread(self.table, place * self.channels, self.medians(), _step(exponent))

    def decompress_integers(  # type: ignore[override]
        self,
        strings: Sequence[bytes],
        size: Sequence[int],
        gain_index: int,
        *,
        fraction: int,
        stream: Stream = RANS64,
    ) -> Tensor:
        """[len(strings), channels, *size], int32; see :meth:`EntropyBottleneck.decompress_integers`."""
        indexes, gain = self._at(gain_index, self._indexes(len(strings), size))
        return self._integers(self.decode_symbols(strings, indexes, stream=stream), 1 / gain, fraction)


def _step(exponent: int) -> float:
    return power_of_root(exponent * 64 // _PARTS)
