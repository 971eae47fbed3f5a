"""What the free end checks see: nearly every single bit flipped, and cuts, in streams of latents as they are.

The misses are inherent: a flip among the last symbols may turn one into another of equal frequency, and escaped values
and raw bits of the lane stream stand for themselves. So these figures are those of such tables and rates, with few
escapes; a checksum sees the rest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

import scalecodec as sc
from tests.oracle import lanes

from .stream_kit import gaussian, gaussian_lanes, is_refused, latents

DOOR = {"rans64": sc.rans64}  # and sc.rans with so many lanes


class Limits(NamedTuple):
    """How many streams of how many symbols, flips in each, cuts at every so many bytes; and the shares unseen."""

    streams: int
    count: int
    flips: int
    cut: int
    flips_unseen: float
    cuts_unseen: float


# measured on 90,000 flips of each kind and set: rans64 below 1e-4; lanes, one or more, 5e-4 at most; of 10,000 cuts of
# more lanes and 40,000 of one none
LIMITS = {
    "rans64": Limits(500, 1250, 200, 4, 2e-4, 0.0),
    "1 lane": Limits(50, 1250, 600, 1, 1e-3, 0.0),
    "4 lanes": Limits(25, 2500, 1000, 1, 1.5e-3, 5e-4),
    "8 lanes": Limits(25, 2500, 1000, 1, 1.5e-3, 5e-4),
    "32 lanes": Limits(25, 2500, 1000, 1, 1.5e-3, 5e-4),
}


def make_stream(kind, symbols, indexes):
    if kind == "rans64":
        return sc.rans64.encode(symbols, indexes, gaussian())
    return lanes.encode_with(symbols, indexes, gaussian_lanes(), num_chunks=1, lanes=int(kind.split()[0]))


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("name", ["low", "mid"])
def test_flips_and_cuts_are_seen(name, kind):
    rng = np.random.default_rng(list(name.encode()))
    limits, door = LIMITS[kind], DOOR.get(kind, sc.rans)
    flips = missed = cuts = missed_cuts = 0
    for _ in range(limits.streams):
        symbols, indexes = latents(rng, name, int(limits.count * rng.uniform(0.8, 1.2)))
        data = bytearray(make_stream(kind, symbols, indexes))
        for bit in rng.choice(8 * len(data), size=min(limits.flips, 8 * len(data)), replace=False):
            data[bit // 8] ^= 1 << bit % 8
            missed += not is_refused(door, data, indexes, gaussian())
            data[bit // 8] ^= 1 << bit % 8
            flips += 1
        assert not is_refused(door, data, indexes, gaussian())
        for size in range(0, len(data), limits.cut):
            missed_cuts += not is_refused(door, data[:size], indexes, gaussian())
            cuts += 1
    assert flips > 0.6 * limits.streams * limits.flips
    assert cuts > 10 * limits.streams
    assert missed <= flips * limits.flips_unseen, f"{missed} of {flips} flips were not seen"
    assert missed_cuts <= cuts * limits.cuts_unseen, f"{missed_cuts} of {cuts} cuts were not seen"


@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_more_bytes_are_seen_or_change_an_escape(k):
    """Bytes behind the end come to lie before the side stream's first: they may make another value, and no more."""
    rng = np.random.default_rng(k)
    unseen = 0
    for _ in range(10):
        symbols, indexes = latents(rng, "mid", 2000)
        escaped = rng.random(2000) < 0.002
        symbols[escaped] += 5000
        data = lanes.encode_with(symbols, indexes, gaussian_lanes(), num_chunks=1, lanes=k)
        for more in [bytes([value]) for value in range(0, 256, 5)] + [rng.bytes(n) for n in (2, 3, 4, 5, 64)]:
            if not is_refused(sc.rans, data + more, indexes, gaussian()):
                decoded = sc.rans.decode(data + more, indexes, gaussian())
                assert escaped[decoded != symbols].all()
                unseen += 1
    assert unseen <= (0 if k == 1 else 10 * 57 // 2)
