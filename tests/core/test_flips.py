"""What the free end check sees: nearly every single bit flipped, and every cut, in streams of latents as they are.

The misses are inherent: a flip among the last symbols may turn one into another of equal frequency. So these figures
are those of such tables and rates, with few escapes; a checksum sees the rest.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import scalecodec as sc
from scalecodec.errors import BitstreamError

STREAMS = 500  # of each set
FLIPS = 200  # in each stream
SETS = {
    "low": (0.9, 0.11, 0.3, 4),
    "mid": (0.7, 0.11, 0.5, 8),
}  # a share of narrow scales, and the bounds of both shares


def latents(rng, share, low, middle, high):
    """1000 to 1500 symbols and their indexes: log-uniform scales in two bands, a few outliers of Laplace's law."""
    count = int(rng.integers(1000, 1501))
    first, last = np.where(rng.random(count) < share, [[low], [middle]], [[middle], [high]])
    sigma = first * (last / first) ** rng.random(count)
    symbols = np.rint(sigma * rng.standard_normal(count))
    outlier = rng.random(count) < 1e-4
    symbols[outlier] = np.rint(4 * sigma[outlier] * rng.laplace(size=outlier.sum()))
    scales = np.exp(np.linspace(math.log(0.11), math.log(256), 64))
    return symbols.astype(np.int32), np.searchsorted(scales, sigma).astype(np.int32)


def is_seen(data, indexes, table):
    try:
        sc.rans64.decode(data, indexes, table)
    except BitstreamError:
        return True
    return False


@pytest.mark.parametrize("name", SETS)
def test_flips_and_cuts_are_seen(name):
    rng = np.random.default_rng(list(name.encode()))
    table = sc.CdfTable.gaussian()
    flips = missed = cuts = 0
    for _ in range(STREAMS):
        symbols, indexes = latents(rng, *SETS[name])
        data = bytearray(sc.rans64.encode(symbols, indexes, table))
        for bit in rng.choice(8 * len(data), size=min(FLIPS, 8 * len(data)), replace=False):
            data[bit // 8] ^= 1 << bit % 8
            missed += not is_seen(data, indexes, table)
            data[bit // 8] ^= 1 << bit % 8
            flips += 1
        assert not is_seen(data, indexes, table)
        for size in range(0, len(data), 4):
            assert is_seen(data[:size], indexes, table), size
            cuts += 1
    assert flips == STREAMS * FLIPS
    assert cuts > 10 * STREAMS
    assert missed <= flips * 2e-4, f"{missed} of {flips} flips were not seen"
