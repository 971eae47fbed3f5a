"""Tables of symbol frequencies in a byte a symbol, the same integers on every machine (FORMAT.md, section 8.2)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from scalecodec.cdf import CdfTable

ABSENT = 255  # of a symbol that never came
_PARTS = 16  # codes an octave
# 2^(24 - i / 16), rounded: written out, for no library's power function is part of the format.
_MANTISSAS = (16777216, 16065917, 15384775, 14732511, 14107901, 13509772, 12937002, 12388516, 11863283, 11360319)
_MORE = (10878679, 10417458, 9975792, 9552851, 9147842, 8760003)
_WEIGHTS = np.array(
    [*((*_MANTISSAS, *_MORE)[code % _PARTS] >> (code // _PARTS) for code in range(ABSENT)), 0], np.int64
)
_TOTAL = 1 << 16


def codes_of(counts: NDArray[np.float64] | NDArray[np.int64]) -> NDArray[np.uint8]:
    """Codes [rows, N] of counts [rows, N]: 16 times the bits of each symbol's share, 255 where it never came."""
    counts = np.asarray(counts, np.float64)
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    with np.errstate(divide="ignore"):
        bits = np.where(share > 0, -np.log2(share), np.inf)
    codes = np.minimum(np.rint(np.where(np.isfinite(bits), bits, 0) * _PARTS), ABSENT - 1)
    return np.where(share > 0, codes, ABSENT).astype(np.uint8)


def table_of(codes: NDArray[np.uint8]) -> CdfTable:
    """The coding tables of codes [rows, N], one a row, symbols from 0; in no row are all absent."""
    weights = _WEIGHTS[codes]
    totals = weights.sum(1, keepdims=True)
    # 1 for each symbol and for the escape, which every table of the lane stream has; the rest by weight.
    num_levels = codes.shape[1]
    frequencies = 1 + weights * (_TOTAL - num_levels - 1) // totals
    largest = weights.argmax(1)
    frequencies[np.arange(len(codes)), largest] += _TOTAL - 1 - frequencies.sum(1)
    cdf = np.zeros((len(codes), num_levels + 2), np.int32)
    cdf[:, 1:-1] = frequencies.cumsum(1)
    cdf[:, -1] = _TOTAL
    return CdfTable.from_cdf(cdf, np.full(len(codes), num_levels + 2), np.zeros(len(codes), np.int64))
