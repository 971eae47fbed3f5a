"""The reference of the lane stream against itself, against the page's numbers, and against damage."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence

import numpy as np
import pytest

from tests.oracle import lanes
from tests.oracle.lanes import LaneTable

INT32_MIN, INT32_MAX = -(1 << 31), (1 << 31) - 1
PAGE_ROW = [0, 20000, 50000, 65535, 65536]
PAGE_SYMBOLS = [-1, 0, 1, 2, -2, 5, -100, 100000, -100000]
PAGE_24 = [5, 0, -1, 1, 0, -1, -40, 1, 0, 0, 1, -1, 0, 1, 0, -1, 0, 70, 1, -1, 0, 1, 0, -1]


def table_of(row: Sequence[int], offset: int) -> LaneTable:
    return lanes.lane_tables([row], [len(row)], [offset])[0]


def cuts(rng: random.Random, symbols: int) -> list[int]:
    return [0, *sorted(rng.sample(range(1, 65536), symbols)), 65536]


def peaked(symbols: int, mode: int) -> list[int]:
    """All frequencies 1 but that of the mode, and the escape's."""
    freqs = [1] * (symbols + 1)
    freqs[mode] += 65536 - symbols - 1
    return [0, *np.cumsum(freqs).tolist()]


def bell(symbols: int, centre: float, scale: float) -> list[int]:
    """A smooth row with frequencies of at least 1."""
    shape = np.exp(-np.abs(np.arange(symbols) - centre) / scale)
    freqs = 1 + np.floor(shape / shape.sum() * (65535 - symbols)).astype(int)
    return [0, *np.cumsum(freqs).tolist(), 65536]


RNG = random.Random(20)
ROWS = {
    "no symbols": [0, 65536],
    "freq 1 first": [0, 1, 65536],
    "freq 1 escape": [0, 65535, 65536],
    "the page's": PAGE_ROW,
    "ones, then the escape": [*range(41), 65536],
    "peak at the left": peaked(300, 0),
    "peak at the right": peaked(300, 299),
    "128 symbols": cuts(RNG, 128),
    "129 symbols": cuts(RNG, 129),
    "1000 symbols": bell(1000, 333.0, 40.0),
    "16384 symbols": bell(16384, 9000.0, 900.0),
    "20000, mode in the middle": bell(20000, 9999.0, 900.0),
    "20000, mode at the left": bell(20000, 0.0, 90.0),
    "20000, mode at the right": bell(20000, 19999.0, 90.0),
    "all of 65535": list(range(65537)),
}
LANE_TABLES = {name: table_of(row, -(len(row) // 2)) for name, row in ROWS.items()}


def draw(rng: random.Random, table: LaneTable, escapes: float) -> int:
    """A symbol with the lane table's own probabilities, or one from outside its cells."""
    if rng.random() < escapes:
        below, above = table.first - 1, table.last + 1
        near = [below, above, below - rng.randrange(400), above + rng.randrange(400)]
        symbol = rng.choice([*near, *near, INT32_MIN, INT32_MAX, rng.randint(INT32_MIN, INT32_MAX)])
    else:
        cell = rng.choices(table.cells, [cell.freq for cell in table.cells])[0]
        symbol = cell.first_symbol + rng.randrange(1 << table.k)
    return min(max(symbol, INT32_MIN), INT32_MAX)


def message(seed: int, count: int, tables: Sequence[LaneTable], escapes: float = 0.01) -> tuple[list[int], list[int]]:
    """Symbols and indexes, in runs of one table as well as mixed."""
    rng = random.Random(seed)
    indexes = [rng.randrange(len(tables)) if i % 50 < 25 else i // 50 % len(tables) for i in range(count)]
    return [draw(rng, tables[index], escapes) for index in indexes], indexes


ALL = list(LANE_TABLES.values())
SMALL = [LANE_TABLES[name] for name in ("the page's", "freq 1 escape", "ones, then the escape", "peak at the right")]
PAGE = [table_of(PAGE_ROW, -1)]
NOTHING = b"\0\0\0\1"  # no symbols in one lane


# ---- tables


@pytest.mark.parametrize("name", ROWS)
def test_table_fills_the_slots(name: str) -> None:
    table = LANE_TABLES[name]
    spans = [(start, start + (freq << table.k)) for _, start, freq in table.cells]
    spans = sorted([*spans, (table.escape.start, sum(table.escape))])
    assert [start for start, _ in spans] == [0, *(end for _, end in spans[:-1])]
    assert spans[-1] == (table.escape.start, lanes.SLOTS)
    assert all(freq >= 1 for _, _, freq in table.cells)
    assert sum(cell.freq for cell in table.cells) + (table.escape.freq >> table.k) == lanes.SLOTS >> table.k
    assert 1 <= len(table.cells) <= 128
    firsts = [cell.first_symbol for cell in table.cells]
    assert firsts == list(range(table.first, table.last + 1, 1 << table.k))


@pytest.mark.parametrize("name", ROWS)
def test_mode_is_in_the_middle_of_the_first_slots(name: str) -> None:
    row, table = ROWS[name], LANE_TABLES[name]
    freqs = np.diff(row)[:-1] if len(row) > 2 else np.zeros(1)
    symbols = np.arange(len(freqs)) - len(row) // 2
    mode = int(symbols[np.lexsort((symbols, abs(symbols), -freqs))[0]])  # of equals the nearest to 0
    cell = next(cell for cell in table.cells if cell.start == 0)
    assert cell.first_symbol + (1 << table.k) // 2 == mode


@pytest.mark.parametrize(
    ("name", "k", "cells"),
    [
        ("no symbols", 0, 1),
        ("128 symbols", 0, 128),
        ("129 symbols", 1, 65),
        ("20000, mode at the left", 7, 128),
        ("20000, mode at the right", 7, 128),
        ("all of 65535", 7, 128),
    ],
)
def test_precision(name: str, k: int, cells: int) -> None:
    assert (LANE_TABLES[name].k, len(LANE_TABLES[name].cells)) == (k, cells)


def test_cells_that_are_kept() -> None:
    """Mode at the left: from its cell on; at the right: up to its cell; else 64 cells before it."""
    for name, before in {"at the left": 0, "in the middle": 64, "at the right": 127}.items():
        cells = LANE_TABLES[f"20000, mode {name}"].cells
        assert [cell.start for cell in cells].index(0) == before


def test_a_table_by_hand() -> None:
    """Of 10000, 15000, 7767.5 and 0.5 the halves round up; the sum is one too many; the 7768 is the cheapest to cut."""
    cells = [(-1, 22767, 10000), (0, 0, 15000), (1, 15000, 7767)]
    table = LaneTable(0, -1, 1, [lanes.Cell(*cell) for cell in cells], lanes.Escape(32767, 1), 404)
    assert table_of(PAGE_ROW, -1) == table


def test_arrays_are_taken_as_lists() -> None:
    cdf = np.array([[*PAGE_ROW, 7, 7], ROWS["freq 1 first"] + [0] * 4], np.int32)
    tables = lanes.lane_tables(cdf, np.array([5, 3], np.int32), np.array([-1, 9], np.int32))
    assert tables == [*PAGE, table_of(ROWS["freq 1 first"], 9)]
    symbols, indexes = np.array([0, 9, 1, 10], np.int32), np.array([0, 1, 0, 1], np.int8)
    data = lanes.encode(symbols, indexes, tables)
    assert lanes.decode(np.frombuffer(data, np.uint8), indexes, tables) == symbols.tolist()


def shortest_code(weights: Sequence[int], total: int) -> list[int]:
    """All 1, then one at a time to where the code gains the most: concave, so the optimum."""
    f = [1] * len(weights)
    queue = [(-weight * math.log(2), i) for i, weight in enumerate(weights)]
    heapq.heapify(queue)
    for _ in range(total - len(f)):
        i = queue[0][1]
        f[i] += 1
        heapq.heapreplace(queue, (-weights[i] * math.log1p(1 / f[i]), i))
    return f


def bits(weights: Sequence[int], f: Sequence[int]) -> float:
    return sum(w * -math.log2(x / sum(f)) for w, x in zip(weights, f, strict=True)) / sum(weights)


@pytest.mark.parametrize(
    ("k", "sizes", "tolerance"), [(0, (2, 5, 40, 129), 1e-6), (3, (66, 90, 129), 1e-6), (7, (66, 100, 129) * 4, 1e-3)]
)
def test_frequencies_are_of_the_shortest_code(k: int, sizes: tuple[int, ...], tolerance: float) -> None:
    rng = random.Random(5)
    for size in sizes:
        row = bell(size - 1, rng.random() * size, size / 9) if size > 9 else cuts(rng, size - 1)
        weights = np.diff(row).tolist()
        rng.shuffle(weights)
        f = lanes.frequencies(weights, lanes.SLOTS >> k)
        assert sum(f) == lanes.SLOTS >> k
        assert min(f) >= 1
        assert bits(weights, f) - bits(weights, shortest_code(weights, lanes.SLOTS >> k)) < tolerance


def test_gain_is_near_the_logarithm_and_fits_64_bits() -> None:
    for f in [1, 2, 3, 10, 1000, 32767]:
        assert lanes.gain(f) == pytest.approx(2.0**47 * math.log1p(1 / f), rel=0.0026)
    assert 65536 * lanes.gain(1) < 1 << 64


@pytest.mark.parametrize("name", ROWS)
def test_expected_cost_is_near_the_entropy(name: str) -> None:
    freqs = np.diff(ROWS[name])
    entropy = -float(np.sum(freqs / 65536 * np.log2(freqs / 65536)))
    assert entropy - 1 / 256 <= LANE_TABLES[name].cost / 256 <= entropy + 0.09


# ---- round trips


@pytest.mark.parametrize("count", [0, 1, 2, 31, 33, 64, 1000, 5000])
@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_round_trip(count: int, k: int) -> None:
    symbols, indexes = message(count + k, count, ALL, 0.05)
    assert lanes.decode(lanes.encode(symbols, indexes, ALL), indexes, ALL) == symbols
    for max_tail in (4096, 3, 0):
        data = lanes.encode_with(symbols, indexes, ALL, num_chunks=1, lanes=k, max_tail=max_tail)
        assert lanes.decode(data, indexes, ALL) == symbols
        assert data[0] % 4 == lanes.LANE_COUNTS.index(k)


@pytest.mark.parametrize("place", [1, 2, 100, 255])
@pytest.mark.parametrize("k", [4, 8, 32])
def test_places(place: int, k: int) -> None:
    for count in (0, 1, 33, 300):
        symbols, indexes = message(count + place, count, ALL, 0.05)
        data = lanes.encode_with(symbols, indexes, ALL, num_chunks=1, lanes=k, place=place)
        assert data[0] >= 128
        assert data[1] == place
        assert lanes.decode(data, indexes, ALL) == symbols


@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
@pytest.mark.parametrize(("num_chunks", "counts"), [(2, (2, 64)), (3, (3, 64)), (16, (16, 64)), (31, (1920, 2001))])
def test_chunks(num_chunks: int, counts: tuple[int, int], k: int) -> None:
    for count in counts:
        symbols, indexes = message(count, count, ALL, 0.05)
        data = lanes.encode_with(symbols, indexes, ALL, num_chunks=num_chunks, lanes=k)
        assert data[:2] == bytes([0x7C, num_chunks])
        assert lanes.decode(data, indexes, ALL) == symbols


@pytest.mark.parametrize("offset", [INT32_MIN, INT32_MIN + 7, -70000, 70000, INT32_MAX])
@pytest.mark.parametrize("name", ["no symbols", "129 symbols", "20000, mode at the left", "20000, mode at the right"])
def test_offsets_and_the_edges_of_int32(name: str, offset: int) -> None:
    table = table_of(ROWS[name], min(offset, INT32_MAX - len(ROWS[name]) + 2))
    edges = [INT32_MIN, INT32_MIN + 1, -1, 0, 1, INT32_MAX - 1, INT32_MAX]
    edges += [table.first - 1, table.first, table.first + 1, table.last - 1, table.last, table.last + 1]
    symbols = [symbol for symbol in edges if INT32_MIN <= symbol <= INT32_MAX]
    for k in (1, 4):
        data = lanes.encode_with(symbols, [0] * len(symbols), [table], num_chunks=1, lanes=k)
        assert lanes.decode(data, [0] * len(symbols), [table]) == symbols


@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_length_is_that_of_the_information(k: int) -> None:
    symbols, indexes = message(8, 5000, SMALL, 0.001)
    data = lanes.encode_with(symbols, indexes, SMALL, num_chunks=1, lanes=k)
    ideal = 0.0
    for symbol, index in zip(symbols, indexes, strict=True):
        step = lanes.step_of(symbol, SMALL[index])
        ideal += 15 - math.log2(step.freq)
        ideal += 0 if SMALL[index].has(symbol) else 8 * len(lanes.varint(lanes.escape_value(symbol, SMALL[index])))
    assert ideal / 8 < len(data)
    assert len(data) < ideal / 8 * 1.001 + 4 + 0.9 * k
    assert lanes.decode(data, indexes, SMALL) == symbols


def test_symbols_that_are_no_int32_are_refused() -> None:
    for symbol in (INT32_MIN - 1, INT32_MAX + 1):
        with pytest.raises(ValueError, match="no int32"):
            lanes.encode([symbol], [0], PAGE)


# ---- our encoder's choices


def flat(symbols: int) -> list[int]:
    return [v * 65536 // (symbols + 1) for v in range(symbols + 2)]


@pytest.mark.parametrize(
    ("count", "row", "n", "k"),
    [
        (1023, flat(255), 1, 1),  # 8 bits a symbol
        (1024, flat(255), 1, 1),  # 1024 bytes
        (1999, flat(255), 1, 1),
        (2000, flat(255), 1, 4),
        (2799, flat(255), 1, 4),
        (2800, flat(255), 1, 8),
        (6999, flat(255), 1, 8),
        (7000, flat(255), 1, 32),
        (1023, flat(65535), 1, 1),  # 16 bits a symbol
        (1024, flat(65535), 1, 4),
        (12287, flat(65535), 1, 32),
        (12288, flat(65535), 2, 32),
    ],
)
def test_chunks_and_lanes_of_our_encoder(count: int, row: list[int], n: int, k: int) -> None:
    tables = [table_of(row, 0)]
    symbols = [tables[0].first + 37 * i % 128 for i in range(count)]
    data = lanes.encode(symbols, [0] * count, tables)
    assert data == lanes.encode_with(symbols, [0] * count, tables, num_chunks=n, lanes=k)
    assert lanes.decode(data, [0] * count, tables) == symbols


@pytest.mark.parametrize(
    ("size", "count", "n"),
    [
        (0, 0, 1),
        (24575, 1 << 20, 1),
        (24576, 1 << 20, 2),
        (24576, 8191, 1),
        (81919, 1 << 20, 4),
        (81920, 1 << 20, 5),
        (1 << 20, 1 << 20, 64),
        (1 << 20, 65536, 16),
    ],
)
def test_chunks_of_our_encoder(size: int, count: int, n: int) -> None:
    assert lanes.choose_chunks(size, count) == n


@pytest.mark.parametrize(
    ("dense", "place"), [((0, 1875), 16), ((1000, 1200), 128 + 16), ((1875, 2000), None), ((0, 2000), None)]
)
def test_place_of_our_encoder(dense: tuple[int, int], place: int | None) -> None:
    """The last 125 of 2000 symbols are the last part; all dense is as good as none."""
    thin, thick = table_of(flat(31), 0), table_of(flat(4095), 0)
    indexes = [int(dense[0] <= i < dense[1]) for i in range(2000)]
    symbols = [[thin, thick][index].first for index in indexes]
    assert lanes.choose_place(lanes.make_message(symbols, indexes, [thin, thick])) == place
    assert lanes.decode(lanes.encode(symbols, indexes, [thin, thick]), indexes, [thin, thick]) == symbols


@pytest.mark.parametrize("k", [4, 8, 32])
def test_the_tail_takes_as_many_as_fit(k: int) -> None:
    """log2(3) bits each, and what it costs that 0 and 1 have the lower slots, until words and state are full."""
    tables = [table_of(flat(2), 0)]
    args = [i % 2 for i in range(400)], [0] * 400, tables
    data = lanes.encode_with(*args, num_chunks=1, lanes=k)
    taken = lanes.read_varint(iter(data[1:]).__next__)
    assert data[0] >> 2 == k - 2
    assert 16 * (k - 1) - 2 - k / 10 < taken * math.log2(3) < 16 * (k - 1)
    assert lanes.encode_with(*args, num_chunks=1, lanes=k, max_tail=taken) == data
    assert lanes.encode_with(*args, num_chunks=1, lanes=k, max_tail=taken - 1) != data


def test_the_tail_takes_4096_at_most() -> None:
    tables = [table_of([0, 65535, 65536], 0)]
    data = lanes.encode_with([0] * 5000, [0] * 5000, tables, num_chunks=1, lanes=8)
    assert data[1:3] == lanes.varint(4096)
    assert lanes.decode(data, [0] * 5000, tables) == [0] * 5000


# ---- the page's examples


def test_example_of_one_lane() -> None:
    data = lanes.encode(PAGE_SYMBOLS, [0] * 9, PAGE)
    assert data.hex() == "0c0b1af1db78ff7fff7fff7fff7fff7f0c9abd0c9abc01c5060100"
    assert lanes.decode(data, [0] * 9, PAGE) == PAGE_SYMBOLS


def test_example_of_four_lanes() -> None:
    data = lanes.encode_with(PAGE_24, [0] * 24, PAGE, num_chunks=1, lanes=4)
    assert data.hex() == "0911212116ff7fc5805865d24c0604ff7f01884d06"
    assert lanes.decode(data, [0] * 24, PAGE) == PAGE_24


def test_nothing_is_four_bytes() -> None:
    assert lanes.encode([], [], []) == NOTHING
    assert lanes.decode(NOTHING, [], []) == []


# ---- refusals

STREAM_1 = bytes.fromhex("0c0b1af1db78ff7fff7fff7fff7fff7f0c9abd0c9abc01c5060100")
STREAM_4 = lanes.encode_with(PAGE_24, [0] * 24, PAGE, num_chunks=1, lanes=4)


def put(data: bytes, at: int, *values: int) -> bytes:
    return data[:at] + bytes(values) + data[at + len(values) :]


def one_lane(state: int, words: bytes = b"") -> bytes:
    """One lane with a first state of three bytes."""
    return b"\0" + state.to_bytes(3, "little") + words


MODE = lanes.encode([0], [0], PAGE)  # a chunk of one symbol


def four_lanes(seeds: Sequence[int], w: int = 0, taken: int = 0, rest: bytes = b"") -> bytes:
    """Four lanes that have nothing to decode."""
    return bytes([1 | w << 2, taken]) + lanes.states_to_bytes([lanes.WORD + seed for seed in seeds]) + rest


REFUSED: dict[str, tuple[bytes, int, str]] = {
    "nothing": (b"", 0, "inside its head"),
    "w of 4 with one lane": (b"\x10" + NOTHING[1:], 0, "no chunk of one lane"),
    "w of 8 with one lane": (b"\x20" + NOTHING[1:], 0, "no chunk of one lane"),
    "bit 7 with one lane": (b"\x80" + NOTHING[1:], 0, "no chunk of one lane"),
    "state 0": (one_lane(0), 0, "zero byte"),
    "state of two bytes": (NOTHING[:-1], 0, "inside its head"),
    "state of three bytes, the third 0": (one_lane(65535), 0, "zero byte"),
    "state of four bytes, the fourth 0": (b"\x04" + NOTHING[1:] + b"\0", 0, "zero byte"),
    "half a word": (one_lane(65536, b"\0"), 0, "half a word"),
    "a word too many": (one_lane(65536, b"\0\0"), 0, "words end too late"),
    "a word too few": (one_lane(65536), 1, "words end too early"),
    "state 2 beyond the end": (one_lane(65538), 0, "ends at 65538"),
    "no side stream of length 0": (b"\x08\0" + NOTHING[1:], 0, "empty side stream"),
    "side stream longer than the chunk": (put(STREAM_1, 1, 24), 9, "longer than the chunk"),
    "side stream one too long": (b"\x08\1" + NOTHING[1:] + b"\0", 0, "side stream ends too late"),
    "side stream one word too short": (put(STREAM_1, 1, 9), 9, "side stream ends too early"),
    "a word too many before the side stream": (STREAM_1[:14] + b"\0\0" + STREAM_1[14:], 9, "words end too late"),
    "side stream one word too long": (put(STREAM_1, 1, 13), 9, "words end too early"),
    "side length not shortest": (b"\x08\x81\0" + NOTHING[1:] + b"\0", 0, "shortest spelling"),
    "three words of tail in four lanes": (four_lanes([0, 1, 0, 0], 3), 0, "3 words in a tail of 4"),
    "tail longer than the chunk": (four_lanes([0, 1, 0, 0], 0, 1), 0, "a tail of 1 symbols before symbol 0"),
    "place 0": (put(four_lanes([0, 1, 0, 0]), 0, 0x81, 0, 0), 0, "a place of 0"),
    "tail state 0": (four_lanes([0, 0, 0, 0]), 0, r"tail is below 2\^16"),
    "tail state 65535": (four_lanes([65535, 0, 0, 0]), 0, r"tail is below 2\^16"),
    "tail state 2 beyond the end": (four_lanes([2, 1, 0, 0]), 0, "ends at 65538"),
    "seed after the tail": (four_lanes([0, 1, 0, 1]), 0, "seed after"),
    "word of the tail unread": (four_lanes([0, 1, 0, 0], 1), 0, "words end too late"),
    "word of the tail missing": (four_lanes([0, 1, 0, 0], 0, 1), 1, "words end too early"),
    "lane beyond 2^17": (four_lanes([0, 1, 0, 65536]), 0, r"does not end in \[2\^16, 2\^17\)"),
    "bytes after the lanes": (four_lanes([0, 1, 0, 0], rest=b"\0"), 0, "one place"),
    "padding of the rests": (put(STREAM_4, 4, STREAM_4[4] | 128), 24, "rests are not zero"),
    "a word missing": (STREAM_4[:-6] + STREAM_4[-4:], 24, "does not end in"),
    "no words": (STREAM_4[:13], 24, "words end too early"),
    "no side stream": (
        lanes.encode_with([5], [0], PAGE, num_chunks=1, lanes=4, max_tail=0)[:-1],
        1,
        "side stream ends too early",
    ),
    "one chunk of several": (b"\x7c\1" + NOTHING, 2, "1 chunks of 2 symbols"),
    "more chunks than symbols": (b"\x7c\3\4\4" + NOTHING * 3, 2, "3 chunks of 2 symbols"),
    "more chunks than 16 and one of 128 symbols": (b"\x7c\x11" + b"\4" * 16 + NOTHING * 17, 127, "17 chunks of 127"),
    "chunks in a chunk": (b"\x7c\2\7" + b"\x7c\2\4" + NOTHING, 4, "no chunk of one lane"),
    "chunk longer than the stream": (b"\x7c\2\11" + NOTHING * 2, 2, "inside its head"),
    "no last chunk": (b"\x7c\2\6" + MODE, 2, "inside its head"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    data, count, text = REFUSED[case]
    with pytest.raises(ValueError, match=text):
        lanes.decode(data, [0] * count, PAGE)


def with_escape(side: bytes) -> bytes:
    """One escaped symbol of the page's table in one lane; ``side`` is in reading order."""
    x = lanes.push(lanes.WORD, lanes.Step(*PAGE[0].escape, 0, 0), [])
    return bytes([(2 + 1) << 2, len(side)]) + x.to_bytes(4, "little") + side[::-1]


@pytest.mark.parametrize(
    ("side", "symbol", "text"),
    [
        (lanes.varint(0), 2, ""),
        (lanes.varint(1), -2, ""),
        (lanes.varint(2 * (INT32_MAX - 2)), INT32_MAX, ""),
        (lanes.varint(2 * (INT32_MAX - 1)), None, "no int32"),
        (lanes.varint(2 * (-1 - INT32_MIN) - 1), INT32_MIN, ""),
        (lanes.varint(2 * (-1 - INT32_MIN) + 1), None, "no int32"),
        (lanes.varint(1 << 33), None, "more than 33 bits"),
        (b"\x81\0", None, "shortest spelling"),
        (b"\x80" * 5 + b"\1", None, "longer than 5 bytes"),
        (b"\x81", None, "too early"),
        (b"\1\1", None, "too late"),
    ],
)
def test_escape_values(side: bytes, symbol: int | None, text: str) -> None:
    if symbol is None:
        with pytest.raises(ValueError, match=text):
            lanes.decode(with_escape(side), [0], PAGE)
    else:
        assert lanes.decode(with_escape(side), [0], PAGE) == [symbol]


@pytest.mark.parametrize(("mode", "offset"), [(0, INT32_MIN), (999, INT32_MAX - 1000)])
def test_a_cell_may_reach_beyond_int32_but_its_symbols_may_not(mode: int, offset: int) -> None:
    table = table_of(peaked(1000, mode), offset)
    symbol = table.last if mode else table.first
    assert not INT32_MIN <= symbol <= INT32_MAX
    with pytest.raises(ValueError, match="no int32"):
        lanes.decode(lanes.encode_single([(symbol, table)]), [0], [table])


def outcome(data: bytes, indexes: Sequence[int], tables: Sequence[LaneTable]) -> list[int] | None:
    """None where it is refused."""
    try:
        return lanes.decode(data, indexes, tables)
    except ValueError:
        return None


SHAPES = [(1, 1, None), (4, 1, None), (32, 1, 128), (8, 2, None)]


def damaged(data: bytes) -> list[bytes]:
    """Every prefix, a few more bytes, every bit flipped."""
    longer = [data + more for more in (b"\0", b"\0\0", b"\1", b"\x81")]
    flips = [put(data, bit // 8, data[bit // 8] ^ 1 << bit % 8) for bit in range(8 * len(data))]
    return [data[:cut] for cut in range(len(data))] + longer + flips


@pytest.mark.parametrize(("k", "num_chunks", "place"), SHAPES)
def test_damage_raises_a_value_error_or_nothing(k: int, num_chunks: int, place: int | None) -> None:
    symbols, indexes = message(3, 120, SMALL, 0.05)
    data = lanes.encode_with(symbols, indexes, SMALL, num_chunks=num_chunks, lanes=k, place=place)
    outcomes = [outcome(change, indexes, SMALL) for change in damaged(data)]
    assert all(decoded is None or len(decoded) == 120 for decoded in outcomes)


@pytest.mark.parametrize(("k", "num_chunks", "place"), SHAPES)
def test_damage_is_seen_where_no_bit_stands_for_itself(k: int, num_chunks: int, place: int | None) -> None:
    """That is: no raw bits, no frequencies of 1, no side stream."""
    symbols, indexes = message(4, 256, PAGE, 0.0)
    data = lanes.encode_with(symbols, indexes, PAGE, num_chunks=num_chunks, lanes=k, place=place)
    assert lanes.decode(data, indexes, PAGE) == symbols
    outcomes = [outcome(change, indexes, PAGE) for change in damaged(data)]
    assert symbols not in outcomes
    assert not any(outcomes[: len(data) + 4])
    assert sum(decoded is not None for decoded in outcomes) <= (8 if k == 32 else 0)


@pytest.mark.parametrize("k", lanes.LANE_COUNTS)
def test_more_and_fewer_symbols_are_seen(k: int) -> None:
    """Modes too, which a state below 2^15 would code for nothing."""
    tables = [*PAGE, table_of([0, 65535, 65536], 0)]
    for count in (0, 1, 9, 100):
        indexes = [i % 5 // 4 for i in range(count)]
        data = lanes.encode_with([0] * count, indexes, tables, num_chunks=1, lanes=k)
        for other in (*range(count), count + 1, count + 2, 50 * count + 100):
            for mode in (0, 1):
                changed = (indexes + [mode] * other)[:other]
                assert outcome(data, changed, tables) is None
