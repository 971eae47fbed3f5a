"""Properties of the rans64 doors on random tables and symbols: the oracle's bytes, round trips, cuts, threads, rate."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import scalecodec as sc
from scalecodec.errors import BitstreamError
from tests.oracle import rans64 as oracle

BLOCK = 512  # elements that the core converts at a time
EDGES = [0, 1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1]
INT32 = np.iinfo(np.int32)
DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", ">i2", ">i4", ">i8", ">u2"]
TORCH_DTYPES = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8]


class Case(NamedTuple):
    symbols: NDArray[np.int32]
    indexes: NDArray[np.int32]
    lists: oracle.Tables
    table: sc.CdfTable

    def expected(self) -> bytes:
        return oracle.encode(self.symbols.tolist(), self.indexes.tolist(), self.lists)


@st.composite
def rows(draw: st.DrawFn) -> list[int]:
    """One symbol, frequencies 1 and 65535 next to each other, all ones but for one, or cuts of chance."""
    special = ([0, 65536], [0, 1, 65536], [0, 65535, 65536], [0, 1, 2, 65536], [0, 1, 65535, 65536], [0, 32768, 65536])
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return list(draw(st.sampled_from(special)))
    symbols = draw(st.integers(2, 300))
    if kind == 1:
        return [*range(symbols), 65536]
    if kind == 2:
        return [0, *range(65537 - symbols, 65537)]
    return [0, *sorted(draw(st.sets(st.integers(1, 65535), min_size=1, max_size=60))), 65536]


def make_case(
    rng: np.random.Generator, all_rows: list[list[int]], offsets: list[int], count: int, escapes: float
) -> Case:
    width = max(map(len, all_rows))
    lengths = np.array([len(row) for row in all_rows])
    cdf = np.array([[*row, *rng.integers(-9, 9, width - len(row))] for row in all_rows])
    table = sc.CdfTable.from_cdf(cdf, lengths, np.array(offsets))
    indexes = rng.integers(len(all_rows), size=count)
    slots = rng.integers(65536, size=count)
    values = [np.searchsorted(all_rows[k], slot, "right") - 1 for k, slot in zip(indexes, slots, strict=True)]
    symbols = np.array(values, dtype=np.int64) + np.array(offsets)[indexes]
    escaped = rng.random(count) < escapes
    far = np.exp2(rng.uniform(0, 32, count)).astype(np.int64) * rng.choice([-1, 1], count)
    symbols = np.where(escaped, symbols + far, symbols).clip(INT32.min, INT32.max)
    lists = oracle.Tables(all_rows, lengths.tolist(), offsets)
    return Case(symbols.astype(np.int32), indexes.astype(np.int32), lists, table)


@st.composite
def cases(draw: st.DrawFn, max_count: int = 40, small: bool = False) -> Case:
    """Random tables and symbols by their probability, a part of them escaped; `small`: all within int8 and uint8."""
    all_rows = draw(st.lists(rows(), min_size=1, max_size=6))
    if small:
        all_rows = [row if len(row) < 100 else [0, 65536] for row in all_rows]
    low, high = (0, 20) if small else (INT32.min, INT32.max - 300)
    offset = st.integers(low, high) | st.sampled_from([low, 0, high])
    offsets = draw(st.lists(offset, min_size=len(all_rows), max_size=len(all_rows)))
    count = draw(st.integers(0, max_count) | st.sampled_from(EDGES))
    escapes = 0.0 if small else draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    return make_case(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), all_rows, offsets, count, escapes)


@given(cases())
def test_oracle_writes_the_same_bytes(case):
    data = sc.rans64.encode(case.symbols, case.indexes, case.table)
    assert data == case.expected()
    assert oracle.decode(data, case.indexes.tolist(), case.lists) == case.symbols.tolist()
    decoded = sc.rans64.decode(data, case.indexes, case.table)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, case.symbols)


@given(st.data())
def test_oracle_agrees_that_an_edge_is_an_edge(data):
    """Symbols at both ends of int32, at a table's ends, and one beyond each."""
    row, offset = data.draw(rows()), data.draw(st.sampled_from([INT32.min, -3, 0, INT32.max - 300]))
    last = offset + len(row) - 2
    edges = [INT32.min, INT32.min + 1, offset - 1, offset, last - 1, last, last + 1, INT32.max - 1, INT32.max]
    drawn = data.draw(st.lists(st.sampled_from(edges), max_size=20))
    symbols = np.clip(np.array(drawn, dtype=np.int64), INT32.min, INT32.max)
    indexes = np.zeros(symbols.shape, np.uint8)
    table = sc.CdfTable.from_cdf(np.array([row]), np.array([len(row)]), np.array([offset]))
    expected = oracle.encode(symbols.tolist(), indexes.tolist(), oracle.Tables([row], [len(row)], [offset]))
    assert sc.rans64.encode(symbols, indexes, table) == expected
    np.testing.assert_array_equal(sc.rans64.decode(expected, indexes, table), symbols)


def laid_out(array: NDArray[np.integer], layout: str) -> NDArray[np.integer]:
    """The same numbers in the same order, lying differently in memory."""
    if layout == "every third":
        return np.repeat(array, 3)[::3]
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    if layout == "read-only":
        return np.frombuffer(array.tobytes(), array.dtype)
    if layout == "misaligned":
        return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1)
    if layout == "columns":
        return np.asfortranarray(array.reshape(-1, 1) if array.size % 2 else array.reshape(2, -1))
    return array


LAYOUTS = ["plain", "every third", "reversed", "read-only", "misaligned", "columns"]


@settings(max_examples=300)
@given(
    case=cases(small=True),
    dtypes=st.tuples(*[st.sampled_from(DTYPES) | st.sampled_from(TORCH_DTYPES)] * 2),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
)
def test_dtype_layout_and_home_change_nothing(case, dtypes, layouts):
    given_arrays = []
    for array, dtype, layout in zip(case[:2], dtypes, layouts, strict=True):
        if isinstance(dtype, torch.dtype):
            tensor = torch.from_numpy(array).to(dtype)
            given_arrays.append(tensor.repeat_interleave(3)[::3] if layout == "every third" else tensor)
        else:
            given_arrays.append(laid_out(array.astype(dtype), layout))
    shape = max((tuple(array.shape) for array in given_arrays), key=len)
    symbols, indexes = (array.reshape(shape) for array in given_arrays)
    data = sc.rans64.encode(symbols, indexes, case.table)
    assert data == sc.rans64.encode(case.symbols, case.indexes, case.table)
    decoded = sc.rans64.decode(data, indexes, case.table)
    assert decoded.shape == shape
    np.testing.assert_array_equal(decoded.ravel(), case.symbols)


@given(case=cases(), dtype=st.sampled_from(DTYPES[:8]))
def test_out_holds_the_symbols_or_is_refused(case, dtype):
    data = sc.rans64.encode(case.symbols, case.indexes, case.table)
    out = np.zeros(case.symbols.shape, dtype)
    wide = case.symbols.astype(np.int64)
    fits = bool(((wide >= np.iinfo(dtype).min) & (wide <= min(np.iinfo(dtype).max, INT32.max))).all())
    if not fits:
        with pytest.raises(ValueError, match="out"):
            sc.rans64.decode(data, case.indexes, case.table, out=out)
        return
    assert sc.rans64.decode(data, case.indexes, case.table, out=out) is out
    np.testing.assert_array_equal(out, case.symbols)


@given(parts=st.lists(cases(max_count=700), min_size=1, max_size=4), data=st.data())
def test_streaming_equals_one_shot(parts, data):
    """Calls with tables of their own make the stream of one call with all tables one after another."""
    first_table = np.cumsum([0, *[part.table.num_tables for part in parts]])
    all_rows = [row for part in parts for row in part.lists.cdf]
    offsets = [offset for part in parts for offset in part.lists.offset]
    together = make_case(np.random.default_rng(0), all_rows, offsets, 0, 0).table
    symbols = np.concatenate([part.symbols for part in parts])
    indexes = np.concatenate([part.indexes + first for part, first in zip(parts, first_table, strict=False)])
    encoder = sc.rans64.Encoder()
    for part in parts:
        encoder.append(part.symbols, part.indexes, part.table)
    stream = encoder.flush()
    assert stream == sc.rans64.encode(symbols, indexes, together)
    assert encoder.flush() == sc.rans64.encode(symbols[:0], indexes[:0], together)

    decoder = sc.rans64.Decoder(stream)
    for part in parts:
        cut = data.draw(st.integers(0, len(part.symbols)))
        pieces = [decoder.decode(piece, part.table) for piece in (part.indexes[:cut], part.indexes[cut:])]
        np.testing.assert_array_equal(np.concatenate(pieces), part.symbols)
    decoder.finish()


@given(case=cases(), tail=st.binary(min_size=1, max_size=12))
def test_strict_wants_the_end(case, tail):
    data = sc.rans64.encode(case.symbols, case.indexes, case.table)
    with pytest.raises(BitstreamError, match="multiple of 4" if len(tail) % 4 else "goes on"):
        sc.rans64.decode(data + tail, case.indexes, case.table)
    if len(tail) % 4 == 0:
        lenient = sc.rans64.decode(data + tail, case.indexes, case.table, strict=False)
        np.testing.assert_array_equal(lenient, case.symbols)


def test_queued_symbols_are_the_encoders_own():
    case = make_case(np.random.default_rng(5), [[0, 1, 300, 65536]], [0], 1000, 0.1)
    expected = sc.rans64.encode(case.symbols, case.indexes, case.table)
    encoder = sc.rans64.Encoder()
    encoder.append(case.symbols, case.indexes, case.table)
    case.symbols[:] = 0
    assert encoder.flush() == expected


def gaussian_case(seed: int, count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    indexes = rng.integers(64, size=count)
    scale = 0.11 * np.exp(np.log(256 / 0.11) * indexes / 63)
    return np.rint(scale * rng.standard_normal(count)).astype(np.int64), indexes


def test_eight_threads_share_one_table():
    table = sc.CdfTable.gaussian()
    pairs = [gaussian_case(seed, 60_000) for seed in range(8)]
    alone = [sc.rans64.encode(*pair, table) for pair in pairs]

    def work(number: int) -> bool:
        symbols, indexes = pairs[number]
        same = [sc.rans64.encode(symbols, indexes, table) == alone[number] for _ in range(4)]
        decoded = [sc.rans64.decode(alone[number], indexes, table) for _ in range(10)]
        return all(same) and all(np.array_equal(d, symbols) for d in decoded)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(8)))


def runs_beside(call) -> bool:
    """Whether another thread could run during `call`, which must not give up the GIL before its long part."""
    go, ran = threading.Lock(), []
    go.acquire()

    def other() -> None:
        with go:
            ran.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    go.release()  # from here on the other thread wants the GIL, and gets it only where it is given away
    call()
    result = bool(ran)
    thread.join()
    return result


@pytest.fixture
def no_forced_switches():
    before = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # seconds
    yield
    sys.setswitchinterval(before)


def test_gil_is_released(no_forced_switches):
    table = sc.CdfTable.gaussian()
    symbols, indexes = (np.tile(array.astype(np.int32), 40) for array in gaussian_case(0, 100_000))
    data = sc.rans64.encode(symbols, indexes, table)
    big = bytes(10**8)
    for _ in range(3):
        assert not runs_beside(lambda: big.count(b"1"))  # holds the GIL: the method can tell
    for call in (lambda: sc.rans64.encode(symbols, indexes, table), lambda: sc.rans64.decode(data, indexes, table)):
        # a busy machine may wake the other thread too late, but not every time
        assert any(runs_beside(call) for _ in range(20))


@pytest.mark.parametrize("count", [1, 10, 100, 1000, 30_000])
@pytest.mark.parametrize("seed", range(3))
def test_rate_is_near_the_entropy(seed, count):
    table = sc.CdfTable.gaussian()
    symbols, indexes = gaussian_case(seed, count)
    symbols[:: max(count // 3, 1)] += 10_000  # escapes, at their own price
    lists = oracle.Tables(table.cdf.tolist(), table.cdf_length.tolist(), table.offset.tolist())
    ideal = oracle.ideal_bits(symbols.tolist(), indexes.tolist(), lists)
    num_bits = 8 * len(sc.rans64.encode(symbols, indexes, table))
    assert num_bits <= ideal * 1.001 + 64
    assert num_bits >= ideal
