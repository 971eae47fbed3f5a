"""What lanes, heads and chunks cost beside the ideal length of the lane tables, and the lane stream beside rans64."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

import scalecodec as sc
from tests.oracle import lanes

from .stream_kit import gaussian, gaussian_lanes, latents

BITS = {"low": 0.353, "mid": 1.21, "mix": 1.96}  # a symbol
# bytes of a stream, how many streams, and what they may have together beyond the ideal
EXCESS = ((300, 40, 0.0120), (1000, 40, 0.0036), (1500, 40, 0.0024), (2000, 40, 0.0034), (2400, 40, 0.0034))
EXCESS += ((3000, 20, 0.0030), (7200, 20, 0.0030), (8000, 6, 0.0028))
EXCESS += ((12_000, 6, 0.0020), (24_000, 2, 0.0020), (32_000, 2, 0.0021), (60_000, 1, 0.0020), (90_000, 1, 0.0020))


def ideal_bytes(symbols: NDArray[np.int32], indexes: NDArray[np.int32]) -> float:
    """Of symbols by their cells' frequencies, of escapes with their bytes in the side stream."""
    bits = 0.0
    for number, table in enumerate(gaussian_lanes()):
        own = symbols[indexes == number].astype(np.int64)
        escaped = (own < table.first) | (own > table.last)
        freqs = np.array([cell.freq for cell in table.cells])
        bits += np.sum(15 - np.log2(freqs[(own[~escaped] - table.first) >> table.k]))
        bits += escaped.sum() * (15 - np.log2(table.escape.freq))
        bits += sum(8 * len(lanes.varint(lanes.escape_value(symbol, table))) for symbol in own[escaped].tolist())
    return bits / 8


@pytest.mark.parametrize(("size", "streams", "most"), EXCESS)
@pytest.mark.parametrize("name", BITS)
def test_excess(name, size, streams, most):
    coded = ideal = 0.0
    for seed in range(streams):
        symbols, indexes = latents(np.random.default_rng(seed), name, int(8 * size / BITS[name]))
        coded += len(sc.rans.encode(symbols, indexes, gaussian()))
        ideal += ideal_bytes(symbols, indexes)
    assert 0.95 * size < ideal / streams < 1.05 * size
    assert ideal < coded
    assert coded / ideal - 1 <= most


@pytest.mark.parametrize("count", [300_000, 1_000_000])
@pytest.mark.parametrize("name", BITS)
def test_beside_rans64(name, count):
    """Half as many bits for a frequency, and lanes: together within 0.2 %."""
    sizes = np.zeros(2)
    for seed in range(2):
        pair = latents(np.random.default_rng(seed), name, count)
        sizes += [len(door.encode(*pair, gaussian())) for door in (sc.rans, sc.rans64)]
    assert sizes[0] / sizes[1] - 1 <= (0.0025 if name == "mix" else 0.002)


@pytest.mark.parametrize("name", BITS)
def test_few_symbols(name):
    """Nothing is four bytes, and what lies beyond the ideal stays near that."""
    rng = np.random.default_rng(0)
    for count in (0, 1, 2, 5, 20, 100):
        pairs = [latents(rng, name, count) for _ in range(100)]
        excess = sum(len(sc.rans.encode(*pair, gaussian())) - ideal_bytes(*pair) for pair in pairs) / 100
        assert 3 <= excess <= 4
