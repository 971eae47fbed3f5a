"""Damaged and hostile lane streams: all kernel sets refuse what the oracle refuses, and else decode what it decodes."""

from __future__ import annotations

import time
from contextlib import suppress
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import scalecodec as sc
from scalecodec import backends
from scalecodec.errors import BitstreamError
from tests.oracle import lanes
from tests.oracle.test_lanes import PAGE_ROW, REFUSED

from .stream_kit import BACKENDS, INT32, gaussian, gaussian_lanes, lanes_of, latents, on

# lanes, chunks, place of the tail, its greatest size
SHAPES = [(1, 1, None, 0), (4, 1, None, 4096), (8, 1, 128, 5), (32, 1, 77, 4096), (32, 1, None, 0), (32, 3, None, 9)]
SHAPES += [(1, 4, None, 0), (8, 2, 255, 4096)]


class Sent(NamedTuple):
    data: bytes
    symbols: list[int]
    indexes: NDArray[np.int32]


@cache
def table() -> sc.CdfTable:
    """The page's table, one without symbols, one with raw bits, one at the end of int32, one of frequencies 1."""
    rows = [PAGE_ROW, [0, 65536], [v * 65536 // 1001 for v in range(1002)], PAGE_ROW, [*range(41), 65536]]
    cdf = np.zeros((len(rows), 1002), int)
    for padded, row in zip(cdf, rows, strict=True):
        padded[: len(row)] = row
    return sc.CdfTable.from_cdf(cdf, np.array(list(map(len, rows))), np.array([-1, 7, -500, INT32.max - 4, 0]))


@cache
def tables() -> list[lanes.LaneTable]:
    return lanes_of(table())


def sent(count: int, k: int, num_chunks: int = 1, place: int | None = None, max_tail: int = 4096) -> Sent:
    rng = np.random.default_rng([count, k])
    indexes = rng.choice(5, p=[0.7, 0.02, 0.2, 0.06, 0.02], size=count)
    first, last = (np.array([getattr(t, side) for t in tables()])[indexes] for side in ("first", "last"))
    symbols = rng.integers(first, last + 1) + (rng.random(count) < 0.02) * rng.integers(-5000, 5000, count)
    symbols = symbols.clip(INT32.min, INT32.max)
    data = lanes.encode_with(symbols, indexes, tables(), num_chunks=num_chunks, lanes=k, place=place, max_tail=max_tail)
    return Sent(data, symbols.tolist(), indexes.astype(np.int32))


def oracle_outcome(data: bytes, indexes: NDArray[np.int32]) -> list[int] | None:
    """None where it is refused."""
    try:
        return lanes.decode(data, indexes, tables())
    except ValueError:
        return None


def outcome(data: bytes, indexes: NDArray[np.int32]) -> list[int] | None:
    try:
        return sc.rans.decode(data, indexes, table()).tolist()
    except BitstreamError:
        return None


def check(changes: list[bytes], indexes: NDArray[np.int32]) -> list[list[int] | None]:
    expected = [oracle_outcome(data, indexes) for data in changes]
    for backend in BACKENDS:
        with backends.use(backend):
            for data, wanted in zip(changes, expected, strict=True):
                assert outcome(data, indexes) == wanted, (backend, data.hex())
    return expected


def put(data: bytes, at: int, value: int) -> bytes:
    return data[:at] + bytes([value]) + data[at + 1 :]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_cuts_and_more_bytes(shape):
    data, symbols, indexes = sent(100, *shape)
    assert check([data], indexes) == [symbols]
    check([data[:size] for size in range(len(data))], indexes)
    check([data[first:] for first in range(1, len(data))], indexes)
    rng = np.random.default_rng(0)
    more = [bytes([value]) for value in range(256)] + [rng.bytes(size) for size in range(2, 100)] + [data]
    check([data + tail for tail in more], indexes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_flips_and_other_bytes(shape):
    data, _, indexes = sent(70, *shape)
    check([put(data, bit // 8, data[bit // 8] ^ 1 << bit % 8) for bit in range(8 * len(data))], indexes)
    check([put(data, at, value) for at in range(len(data)) for value in (0, 1, 0x7C, 0x80, 0xFF)], indexes)
    check([put(data, 0, value) for value in range(256)], indexes)
    check([put(data, 1, value) for value in range(256)], indexes)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_other_numbers_of_symbols(shape):
    """Fewer and more: the states' ends show it, and that words are missing."""
    data, _, indexes = sent(70, *shape)
    for count in (*range(0, 140, 3), 7000):
        assert check([data], np.resize(indexes, count)) == [None]


@settings(max_examples=300)
@given(
    count=st.integers(0, 60),
    first=st.integers(0, 255) | st.sampled_from([0, 4, 8, 0xC, 1, 2, 3, 0x81, 0x83, 0x7C]),
    rest=st.binary(max_size=150) | st.integers(0, 150).flatmap(lambda n: st.sampled_from([b"\0" * n, b"\xff" * n])),
)
def test_bytes_of_chance(count, first, rest):
    check([bytes([first]) + rest], np.arange(count, dtype=np.int32) % 5)


@pytest.mark.parametrize("seed", range(4))
def test_chance_behind_a_good_head(seed):
    """Heads as encoders write them, then chance: decoding goes far before it fails, if it does."""
    rng = np.random.default_rng(seed)
    for k in lanes.LANE_COUNTS:
        data, _, indexes = sent(200, k)
        for head in (2, 6) if k == 1 else (1 + 2 + 3 * k,):  # of one lane with and without the state
            check([data[:head] + rng.bytes(size) for size in rng.integers(0, 600, 40)], indexes)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_the_format_refuses(case, backend):
    data, count, _ = REFUSED[case]
    page = sc.CdfTable.from_cdf(np.array([PAGE_ROW]), np.array([5]), np.array([-1]))
    with backends.use(backend), pytest.raises(BitstreamError):
        sc.rans.decode(data, np.zeros(count, int), page)


# ---- time

COUNT = 40_000


def seconds(data: bytes, indexes: NDArray[np.int32]) -> float:
    """The fastest of a few decodings, which may be refused."""
    out, best = np.empty(indexes.shape, np.int32), float("inf")
    for _ in range(5):
        since = time.perf_counter()
        with suppress(BitstreamError):
            sc.rans.decode(data, indexes, gaussian(), out=out)
        best = min(best, time.perf_counter() - since)
    return best


@cache
def hostile(k: int) -> tuple[NDArray[np.int32], bytes, list[bytes]]:
    """Indexes, a good stream that is slow to decode, and bad ones that want to be slower."""
    rng = np.random.default_rng(k)
    _, indexes = latents(rng, "mix", COUNT)
    all_lanes = gaussian_lanes()

    def of(symbols: NDArray[np.integer], max_tail: int = 4096) -> bytes:
        return lanes.encode_with(symbols, indexes, all_lanes, num_chunks=1, lanes=k, max_tail=max_tail)

    escapes = of(rng.choice([INT32.min, INT32.max], COUNT))
    rarest = of(np.array([max(t.cells, key=lambda c: c.start).first_symbol for t in all_lanes])[indexes])
    modes = of(np.zeros(COUNT, int), max_tail=COUNT)
    head = 8 if k == 1 else 3 + 3 * k
    fillers = [rng.bytes(4 * COUNT), b"\xff" * 4 * COUNT, bytes(4 * COUNT), b"\xff\x7f" * 2 * COUNT]
    made = [good[:head] + filler for good in (escapes, rarest) for filler in fillers]
    made += [good[:-1] for good in (escapes, rarest)] + [escapes + b"\0", rarest + b"\0\0", rarest, modes]
    made += [escapes[: len(escapes) // 2], rarest[: len(rarest) // 2], rarest + b"\x80" * 4 * COUNT]
    return indexes, escapes, made


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_no_stream_is_slower_than_the_slowest_good_one(k, backend):
    """That of escapes alone, which a lookup finds last and which take five bytes each; three times it at most."""
    indexes, escapes, bad = hostile(k)
    slowest = on(backend, seconds, escapes, indexes)
    for data in bad:
        # of a machine that is busy elsewhere more than one measurement is asked
        assert any(on(backend, seconds, data, indexes) < 3 * slowest + 1e-4 for _ in range(4)), data[:40].hex()
