"""Values that a prior's coding tables expect."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalecodec.cdf import CdfTable


def draw(table: CdfTable, indexes: Tensor, medians: Tensor, step: float = 1.0, seed: int = 0) -> Tensor:
    """Float32, of the shape of ``indexes``: symbols of these tables, escapes apart, times the step, and the medians.

    The same on every machine and with every NumPy.
    """
    flat = indexes.numpy()
    bits = _random_bits(flat.size, seed).reshape(flat.shape)
    symbols = np.empty(flat.shape, np.int32)
    for index in np.unique(flat):
        inner = table.cdf[index, : table.cdf_length[index] - 1]  # the last symbol is the escape
        where = flat == index
        places = bits[where] % np.uint64(max(1, int(inner[-1])))
        symbols[where] = table.offset[index] + np.searchsorted(inner, places.astype(np.int64), side="right") - 1
    return torch.from_numpy(symbols).float() * step + medians


def _random_bits(count: int, seed: int) -> NDArray[np.uint64]:
    """splitmix64 (Steele, Lea and Flood 2014), 32 bits of each."""
    z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(seed << 32)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return (z ^ z >> np.uint64(31)) >> np.uint64(32)


def spread(table: CdfTable, first_index: int, medians: Tensor, step: float = 1.0) -> Iterator[Tensor]:
    """Samples [B, channels, h, w] for the ranges of what a network makes of them, a table a channel from
    ``first_index`` on: each element drawn by itself, and whole planes of one value, which add up to more.
    """
    row = torch.arange(first_index, first_index + len(medians), dtype=torch.int32).view(1, -1, 1, 1)
    centers = medians.detach().float().cpu().view(1, -1, 1, 1)
    yield draw(table, row.expand(8, -1, 6, 6), centers, step)
    yield draw(table, row.expand(16, -1, 1, 1), centers, step, seed=1).expand(-1, -1, 5, 5)
