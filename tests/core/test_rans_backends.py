"""Every encoder writes the oracle's bytes, every decoder reads them, on every kernel set: tables and sizes at edges."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import scalecodec as sc
from scalecodec import backends
from tests.oracle import lanes

from .stream_kit import BACKENDS, INT32, cases, gaussian, gaussian_lanes, lanes_of, latents, on

COUNTS = (0, 1, 2, 3, 31, 32, 33, 63, 64, 65, 1000)


class Set(NamedTuple):
    table: sc.CdfTable
    lanes: list[lanes.LaneTable]


def make_set(rows: Sequence[Sequence[int]], offsets: Sequence[int]) -> Set:
    cdf = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for padded, row in zip(cdf, rows, strict=True):
        padded[: len(row)] = row
    table = sc.CdfTable.from_cdf(cdf, np.array([len(row) for row in rows]), np.array(offsets))
    return Set(table, lanes_of(table))


def peaked(symbols: int, mode: int, escape: int = 1) -> list[int]:
    """All frequencies 1 but that of the mode, and the escape's."""
    freqs = np.ones(symbols + 1, np.int64)
    freqs[symbols] = escape
    freqs[mode] += 65536 - freqs.sum()
    return [0, *np.cumsum(freqs).tolist()]


def bell(symbols: int, centre: float, scale: float) -> list[int]:
    """A smooth row with frequencies of at least 1."""
    shape = np.exp(-np.abs(np.arange(symbols) - centre) / scale)
    freqs = 1 + np.floor(shape / shape.sum() * (65535 - symbols)).astype(int)
    return [0, *np.cumsum(freqs).tolist(), 65536]


def flat(symbols: int) -> list[int]:
    return [v * 65536 // (symbols + 1) for v in range(symbols + 2)]


def cuts(rng: np.random.Generator, symbols: int) -> list[int]:
    return [0, *np.sort(1 + rng.choice(65535, symbols, replace=False)).tolist(), 65536]


def centred(rows: Sequence[Sequence[int]]) -> Set:
    return make_set(rows, [-(len(row) // 2) for row in rows])


def t320() -> Set:
    rng = np.random.default_rng(320)
    return make_set([cuts(rng, n) for n in rng.integers(1, 200, 320)], rng.integers(-300, 300, 320).tolist())


def modes_anywhere() -> Set:
    places = [(1, 0), (2, 1), (3, 2), (100, 0), (100, 50), (100, 99), (128, 127), (129, 0), (129, 128), (300, 299)]
    places += [(20000, 0), (20000, 9999), (20000, 19999)]
    offsets = [
        0,
        1,
        -1,
        30000,
        -40000,
        10**6,
        INT32.min,
        -(2**30),
        INT32.max - 129,
        -299,
        INT32.min,
        5,
        INT32.max - 20000,
    ]
    return make_set([peaked(*place) for place in places], offsets)


MAKE_SETS = {
    "no symbols": lambda: make_set([[0, 65536]] * 2, [0, -7]),
    "one symbol": lambda: make_set([[0, 65535, 65536], [0, 1, 65536], [0, 32768, 65536]], [0, 3, -9]),
    "frequency 1": lambda: centred([[0, 1, 2, 65536], peaked(100, 50), peaked(128, 0, 60000), [*range(41), 65536]]),
    "edges of int32": lambda: make_set(
        [flat(9), flat(1000)] * 2, [INT32.min, INT32.min, INT32.max - 9, INT32.max - 1000]
    ),
    "modes anywhere": modes_anywhere,
    "wide": lambda: centred(
        [flat(128), flat(129), bell(1000, 333, 40), bell(16384, 9000, 900), bell(16385, 0, 90), flat(65535)]
    ),
    "320": t320,
}


@cache
def table_set(name: str) -> Set:
    return MAKE_SETS[name]()


def drawn(
    rng: np.random.Generator, tables: Sequence[lanes.LaneTable], indexes: NDArray[np.integer]
) -> NDArray[np.int64]:
    """For each index the mode or one from its cells, for some a symbol at or beyond an edge of these or of int32."""
    symbols = np.empty(indexes.shape, np.int64)
    for number, table in enumerate(tables):
        own = np.flatnonzero(indexes == number)
        mode = next(cell.first_symbol for cell in table.cells if cell.start == 0) + (1 << table.k) // 2
        edges = [table.first - 1, table.first, table.last, table.last + 1, table.first - 300, table.last + 70000]
        edges += [INT32.min, INT32.min + 1, INT32.max - 1, INT32.max, mode - 1, mode + 1]
        inside = rng.integers(table.first, table.last + 1, own.size)
        kind = rng.random(own.size)
        symbols[own] = np.where(kind < 0.4, mode, np.where(kind < 0.95, inside, rng.choice(edges, own.size)))
    return symbols.clip(INT32.min, INT32.max)


def check(name: str, symbols: NDArray[np.integer], indexes: NDArray[np.integer]) -> bytes:
    """Bytes of the oracle's, on all sets."""
    table, tables = table_set(name)
    expected = lanes.encode(symbols, indexes, tables)
    for backend in BACKENDS:
        assert on(backend, sc.rans.encode, symbols, indexes, table) == expected, backend
    assert_decoded(expected, symbols, indexes, table)
    return expected


def assert_decoded(data: bytes, symbols: NDArray[np.integer], indexes: NDArray[np.integer], table: sc.CdfTable) -> None:
    for backend in BACKENDS:
        np.testing.assert_array_equal(on(backend, sc.rans.decode, data, indexes, table), symbols, err_msg=backend)


# ---- our encoder's choices


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("name", MAKE_SETS)
def test_small(name, count):
    rng = np.random.default_rng(count)
    tables = table_set(name).lanes
    indexes = rng.integers(len(tables), size=count)
    check(name, drawn(rng, tables, indexes), indexes)


@pytest.mark.parametrize("name", MAKE_SETS)
def test_every_cell(name):
    """The first and the last symbol of each cell, and the escape: every start and frequency is in the bytes."""
    tables = table_set(name).lanes[:40]
    symbols, indexes = [], []
    for number, table in enumerate(tables):
        own = [cell.first_symbol + place for cell in table.cells for place in (0, (1 << table.k) - 1)]
        own = [symbol for symbol in [*own, table.first - 1, table.last + 1] if INT32.min <= symbol <= INT32.max]
        symbols += own
        indexes += [number] * len(own)
    check(name, np.array(symbols), np.array(indexes))


# 16 bits a symbol: counts at which another number of lanes or chunks is chosen, and those about whole turns and blocks
EDGES = {
    0: (1023,),
    1: (1024, 1025, 1026, 1027, 1249, 1250, 1257, 1258, 1399),
    2: (1400, 1401, 1407, 1408, 2047, 2048, 2049, 3499),
    3: (3500, 3501, 3519, 3520, 3521, 3552, 4096, 4097, 5000),
    "chunks": (12288, 12289, 12319, 12351, 18432),
}


@pytest.mark.parametrize(("code", "count"), [(code, count) for code, counts in EDGES.items() for count in counts])
def test_edges_of_lanes_and_chunks(code, count):
    rng = np.random.default_rng(count)
    table, tables = make_set([flat(65535)], [-32767])
    symbols, indexes = drawn(rng, tables, np.zeros(count, int)), np.zeros(count, np.uint8)
    expected = lanes.encode(symbols, indexes, tables)
    assert expected[0] & 3 == code if code != "chunks" else expected[:2] == bytes([0x7C, 2 + (count > 16000)])
    for backend in BACKENDS:
        assert on(backend, sc.rans.encode, symbols, indexes, table) == expected, backend
    assert_decoded(expected, symbols, indexes, table)


@pytest.mark.parametrize("where", ["first", "middle", "last"])
@pytest.mark.parametrize("symbols", [0, 1, 2, 3, 6, 7, 8, 9, 15, 16, 30, 31, 32, 33])
def test_one_table(symbols, where):
    """About the numbers of cells that registers hold whole: alone, and as the only one that indexes name."""
    mode = {"first": 0, "middle": symbols // 2, "last": max(0, symbols - 1)}[where]
    row = bell(symbols, mode, 3) if symbols else [0, 65536]
    for offset in (0, -mode, 1000, INT32.min, INT32.max - symbols):
        alone, among = make_set([row], [offset]), make_set([flat(5), row, flat(9)], [0, offset, -4])
        rng = np.random.default_rng(symbols)
        drawn_of = drawn(rng, alone.lanes, np.zeros(20_011, int))
        for (table, tables), indexes in ((alone, np.zeros(20_011, np.uint8)), (among, np.ones(20_011, np.uint8))):
            expected = lanes.encode_with(drawn_of, indexes, tables, num_chunks=3, lanes=32)
            assert_decoded(expected, drawn_of, indexes, table)
            ours = {backend: on(backend, sc.rans.encode, drawn_of, indexes, table) for backend in BACKENDS}
            assert len(set(ours.values())) == 1
            assert_decoded(ours[BACKENDS[0]], drawn_of, indexes, table)
        few = slice(0, 1031)
        expected = lanes.encode(drawn_of[few], indexes[few], tables)
        for backend in BACKENDS:
            assert on(backend, sc.rans.encode, drawn_of[few], indexes[few], table) == expected, backend


@pytest.mark.parametrize("order", ["runs", "cycle", "chance"])
@pytest.mark.parametrize("name", ["320", "modes anywhere", "wide"])
def test_orders_of_tables(name, order):
    """Channel after channel, as factorized priors have them; and all in every block, more than registers hold."""
    rng = np.random.default_rng(7)
    tables = table_set(name).lanes
    count, num = 16_000, len(tables)
    orders = {
        "runs": np.arange(count) * num // count,
        "cycle": np.arange(count) % num,
        "chance": rng.integers(num, size=count),
    }
    symbols = drawn(rng, tables, orders[order])
    symbols[rng.random(count) < 0.9] = 0  # escapes where tables are far from 0; else near their modes
    data = check(name, symbols, orders[order])
    assert data[0] & 3 == 3 or data[0] == 0x7C or name == "modes anywhere"  # which are narrow
    data = lanes.encode_with(symbols, orders[order], tables, num_chunks=3, lanes=32)
    assert_decoded(data, symbols, orders[order], table_set(name).table)


@pytest.mark.parametrize("dense", [0, 1, 7, 15])
def test_places_of_the_tail(dense):
    """One sixteenth is far denser: the tail goes there, unless it is the last."""
    rng = np.random.default_rng(dense)
    table, tables = make_set([peaked(40, 20), flat(60000)], [-20, -30000])
    count = 3000 * 16
    indexes = (np.arange(count) // 3000 == dense).astype(np.uint8)
    symbols = np.where(indexes, rng.integers(-30000, 30000, count), 0)
    for first in (0, 5, 11):
        expected = lanes.encode(symbols[first:], indexes[first:], tables)
        assert (expected[0] >= 128) == (dense < 15)
        for backend in BACKENDS:
            assert on(backend, sc.rans.encode, symbols[first:], indexes[first:], table) == expected, backend
        assert_decoded(expected, symbols[first:], indexes[first:], table)


@pytest.mark.parametrize("name", ["low", "mid", "mix"])
def test_gaussian(name):
    symbols, indexes = latents(np.random.default_rng(11), name, 40_000)
    expected = lanes.encode(symbols, indexes, gaussian_lanes())
    for backend in BACKENDS:
        assert on(backend, sc.rans.encode, symbols, indexes, gaussian()) == expected, backend
    assert_decoded(expected, symbols, indexes, gaussian())


def large(kind: str) -> tuple[NDArray[np.integer], NDArray[np.integer], sc.CdfTable]:
    count = 1_000_000
    rng = np.random.default_rng(count)
    if kind in ("low", "mid", "mix"):
        return *latents(rng, kind, count), gaussian()
    table, tables = table_set("320")
    indexes = np.arange(count) * 320 // count if kind == "320 in runs" else np.arange(count) % 320
    near = np.array([(table.first + table.last) // 2 for table in tables])[indexes]
    return near + rng.integers(-30, 30, count), indexes, table


@pytest.mark.parametrize("kind", ["low", "mid", "mix", "320 in runs", "320 in a cycle"])
def test_a_million(kind):
    """Too many for the oracle: all sets against each other, and the rans64 stream for the symbols."""
    symbols, indexes, table = large(kind)
    data = {backend: on(backend, sc.rans.encode, symbols, indexes, table) for backend in BACKENDS}
    assert len(set(data.values())) == 1
    assert data[BACKENDS[0]][0] == 0x7C
    assert_decoded(data[BACKENDS[0]], symbols, indexes, table)


@settings(max_examples=60)
@given(case=cases(max_count=80))
def test_random_tables(case):
    expected = lanes.encode(case.symbols, case.indexes, case.lane_tables())
    for backend in BACKENDS:
        assert on(backend, sc.rans.encode, case.symbols, case.indexes, case.table) == expected
    assert_decoded(expected, case.symbols, case.indexes, case.table)


# ---- any choice


@pytest.mark.parametrize("count", [0, 1, 5, 32, 33, 100, 1000, 3000])
@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_streams_of_the_oracles_own_choice(k, count):
    """Every place of a tail and every size of it that an encoder may choose."""
    rng = np.random.default_rng([k, count])
    places = [None] if k == 1 else [None, 1, 128, 200, 255]
    for name in ("320", "modes anywhere", "frequency 1"):
        table, tables = table_set(name)
        indexes = rng.integers(len(tables), size=count)
        symbols = drawn(rng, tables, indexes)
        for i, place in enumerate(places):
            max_tail = (4096, 0, 1, 3, 4096)[i]
            data = lanes.encode_with(symbols, indexes, tables, num_chunks=1, lanes=k, place=place, max_tail=max_tail)
            assert_decoded(data, symbols, indexes, table)


@pytest.mark.parametrize("num_chunks", [2, 3, 5, 9])
@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_chunks_of_the_oracles_own_choice(k, num_chunks):
    rng = np.random.default_rng([k, num_chunks])
    table, tables = table_set("320")
    for count in (num_chunks, 64, 1000):
        indexes = rng.integers(len(tables), size=count)
        symbols = drawn(rng, tables, indexes)
        data = lanes.encode_with(symbols, indexes, tables, num_chunks=num_chunks, lanes=k, place=100 if k > 1 else None)
        assert_decoded(data, symbols, indexes, table)
        for threads in (2, 4):
            np.testing.assert_array_equal(sc.rans.decode(data, indexes, table, threads=threads), symbols)


@settings(max_examples=60)
@given(
    count=st.integers(1, 400),
    choices=st.lists(
        st.tuples(st.sampled_from(lanes.LANE_COUNTS), st.none() | st.integers(1, 255), st.integers(0, 200)),
        min_size=1,
        max_size=6,
    ),
    name=st.sampled_from(["320", "wide", "frequency 1"]),
    seed=st.integers(0, 2**16),
)
def test_chunks_of_different_kinds(count, choices, name, seed):
    """Chunks of one stream need not have one number of lanes, though ours do."""
    rng = np.random.default_rng(seed)
    table, tables = table_set(name)
    indexes = rng.integers(len(tables), size=max(count, len(choices)))
    symbols = drawn(rng, tables, indexes)
    message = lanes.make_message(symbols, indexes, tables)
    bounds = lanes.chunk_bounds(len(message), len(choices))
    data = lanes.join(
        [lanes.encode_chunk(message[i:j], *choice) for (i, j), choice in zip(bounds, choices, strict=True)]
    )
    assert_decoded(data, symbols, indexes, table)


def test_a_tail_of_all_symbols():
    """Modes alone, which cost nothing: the lanes have none of them, whatever their number."""
    table, tables = make_set([peaked(5, 2)], [-2])
    for count in (33, 1000, 70_000):
        zeros = np.zeros(count, np.int32)
        for k in (4, 8, 32):
            data = lanes.encode_with(zeros, zeros, tables, num_chunks=1, lanes=k, max_tail=count)
            assert lanes.read_varint(iter(data[1:]).__next__) == count
            assert_decoded(data, zeros, zeros, table)


# ---- that it is the forced set which runs


def test_a_forced_set_is_active_in_all_threads():
    for backend in BACKENDS:
        with backends.use(backend), ThreadPoolExecutor(3) as pool:
            assert set(pool.map(lambda _: backends.active(), range(9))) == {backend}


@pytest.mark.skipif(len(BACKENDS) == 1, reason="needs a kernel set besides scalar")
@pytest.mark.parametrize("backend", BACKENDS[:-1])
def test_a_forced_set_is_faster_than_scalar(backend):
    """The bytes cannot tell which set ran, the time can: of 32 lanes a vector set decodes several at a time."""
    symbols, indexes = latents(np.random.default_rng(0), "mid", 300_000)
    data, out = sc.rans.encode(symbols, indexes, gaussian()), np.empty_like(symbols)
    best = dict.fromkeys((backend, "scalar"), float("inf"))
    for _ in range(40):  # until it shows, other programs running or not
        for name in best:
            with backends.use(name):
                since = time.perf_counter()
                sc.rans.decode(data, indexes, gaussian(), out=out)
                best[name] = min(best[name], time.perf_counter() - since)
        if best[backend] < 0.8 * best["scalar"]:
            return
    pytest.fail(f"{backend} takes {best[backend] / best['scalar']:.2f} of scalar's time")
