"""Properties of both streams' doors on random tables and symbols: the oracle's bytes, round trips, dtypes, threads."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import scalecodec as sc
from tests.oracle import rans64 as oracle

from .stream_kit import INT32, LAYOUTS, STREAMS, Case, cases, gaussian, laid_out, latents, rows

DTYPES = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", ">i2", ">i4", ">i8", ">u2"]
TORCH_DTYPES = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8]

pytestmark = pytest.mark.parametrize("stream", STREAMS.values(), ids=STREAMS)


@given(case=cases())
def test_oracle_writes_the_same_bytes(stream, case):
    data = stream.door.encode(case.symbols, case.indexes, case.table)
    assert data == stream.encode(case)
    assert stream.decode(data, case) == case.symbols.tolist()
    decoded = stream.door.decode(data, case.indexes, case.table)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, case.symbols)


@given(data=st.data())
def test_oracle_agrees_that_an_edge_is_an_edge(stream, data):
    """Symbols at both ends of int32, at a table's ends, and one beyond each."""
    row, offset = data.draw(rows()), data.draw(st.sampled_from([INT32.min, -3, 0, INT32.max - 300]))
    last = offset + len(row) - 2
    edges = [INT32.min, INT32.min + 1, offset - 1, offset, last - 1, last, last + 1, INT32.max - 1, INT32.max]
    drawn = data.draw(st.lists(st.sampled_from(edges), max_size=20))
    symbols = np.clip(np.array(drawn, dtype=np.int64), INT32.min, INT32.max)
    indexes = np.zeros(symbols.shape, np.uint8)
    table = sc.CdfTable.from_cdf(np.array([row]), np.array([len(row)]), np.array([offset]))
    expected = stream.encode(Case(symbols, indexes, oracle.Tables([row], [len(row)], [offset]), table))
    assert stream.door.encode(symbols, indexes, table) == expected
    np.testing.assert_array_equal(stream.door.decode(expected, indexes, table), symbols)


@settings(max_examples=300)
@given(
    case=cases(small=True),
    dtypes=st.tuples(*[st.sampled_from(DTYPES) | st.sampled_from(TORCH_DTYPES)] * 2),
    layouts=st.tuples(*[st.sampled_from(LAYOUTS)] * 2),
)
def test_dtype_layout_and_home_change_nothing(stream, case, dtypes, layouts):
    given_arrays = []
    for array, dtype, layout in zip(case[:2], dtypes, layouts, strict=True):
        if isinstance(dtype, torch.dtype):
            tensor = torch.from_numpy(array).to(dtype)
            given_arrays.append(tensor.repeat_interleave(3)[::3] if layout == "every third" else tensor)
        else:
            given_arrays.append(laid_out(array.astype(dtype), layout))
    shape = max((tuple(array.shape) for array in given_arrays), key=len)
    symbols, indexes = (array.reshape(shape) for array in given_arrays)
    data = stream.door.encode(symbols, indexes, case.table)
    assert data == stream.door.encode(case.symbols, case.indexes, case.table)
    decoded = stream.door.decode(data, indexes, case.table)
    assert decoded.shape == shape
    np.testing.assert_array_equal(decoded.ravel(), case.symbols)


@given(case=cases(), dtype=st.sampled_from(DTYPES[:8]))
def test_out_holds_the_symbols_or_is_refused(stream, case, dtype):
    data = stream.door.encode(case.symbols, case.indexes, case.table)
    out = np.zeros(case.symbols.shape, dtype)
    wide = case.symbols.astype(np.int64)
    fits = bool(((wide >= np.iinfo(dtype).min) & (wide <= min(np.iinfo(dtype).max, INT32.max))).all())
    if not fits:
        with pytest.raises(ValueError, match="out"):
            stream.door.decode(data, case.indexes, case.table, out=out)
        return
    assert stream.door.decode(data, case.indexes, case.table, out=out) is out
    np.testing.assert_array_equal(out, case.symbols)


def test_eight_threads_share_one_table(stream):
    table = sc.CdfTable.gaussian()  # a new one: what it prepares on first use, it prepares once
    pairs = [latents(np.random.default_rng(seed), "mix", 60_000) for seed in range(8)]
    alone = [stream.door.encode(*pair, gaussian()) for pair in pairs]

    def work(number: int) -> bool:
        symbols, indexes = pairs[number]
        same = [stream.door.encode(symbols, indexes, table) == alone[number] for _ in range(4)]
        decoded = [stream.door.decode(alone[number], indexes, table) for _ in range(10)]
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


def test_gil_is_released(stream, no_forced_switches):
    symbols, indexes = (np.tile(array, 40) for array in latents(np.random.default_rng(0), "mix", 100_000))
    data = stream.door.encode(symbols, indexes, gaussian())
    big = bytes(10**8)
    for _ in range(3):
        assert not runs_beside(lambda: big.count(b"1"))  # holds the GIL: the method can tell
    for call in (
        lambda: stream.door.encode(symbols, indexes, gaussian()),
        lambda: stream.door.decode(data, indexes, gaussian()),
    ):
        # a busy machine may wake the other thread too late, but not every time
        assert any(runs_beside(call) for _ in range(20))
