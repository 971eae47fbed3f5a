"""The lane stream's doors: batches, threads, arrays that overlap, many tables, processes that fork."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import scalecodec as sc
from scalecodec.errors import BitstreamError

from .stream_kit import BACKENDS, STREAMS, cases, gaussian, latents, on

THREADS = (1, 2, 3, 4)
SIZES = (0, 1, 31, 32, 33, 1000, 4096, 20_000, 50_000, 150_000)  # 150,000 are several chunks


def some(name: str, sizes: tuple[int, ...] = SIZES, seed: int = 0):
    """Symbols and indexes of these sizes."""
    pairs = [latents(np.random.default_rng([seed, i]), name, size) for i, size in enumerate(sizes)]
    return [list(arrays) for arrays in zip(*pairs, strict=True)]


# ---- batches


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("name", ["low", "mid", "mix"])
def test_batch_is_its_items(name, threads):
    symbols, indexes = some(name)
    singles = [sc.rans.encode(s, i, gaussian()) for s, i in zip(symbols, indexes, strict=True)]
    for order in (slice(None), slice(None, None, -1)):
        batch = sc.rans.encode_batch(symbols[order], indexes[order], gaussian(), threads=threads)
        assert batch == singles[order]
        decoded = sc.rans.decode_batch(batch, indexes[order], gaussian(), threads=threads)
        for values, expected in zip(decoded, symbols[order], strict=True):
            assert values.dtype == np.int32
            np.testing.assert_array_equal(values, expected)


@given(batch=st.lists(cases(max_count=100), max_size=5), threads=st.sampled_from(THREADS))
def test_batch_of_oracle_streams(batch, threads):
    """Items of one table set: that of the first case, whose symbols the others take."""
    table = batch[0].table if batch else gaussian()
    symbols = [case.symbols for case in batch]
    indexes = [case.indexes % table.num_tables for case in batch]
    expected = [
        STREAMS["rans"].encode(batch[0]._replace(symbols=s, indexes=i)) for s, i in zip(symbols, indexes, strict=True)
    ]
    assert sc.rans.encode_batch(symbols, indexes, table, threads=threads) == expected
    decoded = sc.rans.decode_batch(expected, indexes, table, threads=threads)
    assert len(decoded) == len(batch)
    for values, wanted in zip(decoded, symbols, strict=True):
        np.testing.assert_array_equal(values, wanted)


@pytest.mark.parametrize("threads", [1, 256])
def test_empty_batch(threads):
    assert sc.rans.encode_batch([], [], gaussian(), threads=threads) == []
    assert sc.rans.decode_batch([], [], gaussian(), threads=threads) == []
    assert sc.rans.decode_batch([], [], gaussian(), threads=threads, outs=[]) == []


def test_batch_takes_any_sequence_of_any_arrays():
    symbols, indexes = some("mid", (24, 24, 24))
    expected = sc.rans.encode_batch(symbols, indexes, gaussian())
    block = np.stack(symbols), np.stack(indexes)
    assert sc.rans.encode_batch(*block, gaussian()) == expected  # the rows of an array
    mixed = (symbols[0].astype(">i8"), torch.from_numpy(symbols[1]).short(), symbols[2].reshape(2, 3, 4))
    shaped = (indexes[0].astype(np.uint8), torch.from_numpy(indexes[1]).long(), indexes[2].reshape(2, 3, 4))
    assert sc.rans.encode_batch(mixed, shaped, gaussian()) == expected
    data = (bytearray(expected[0]), memoryview(expected[1]), np.frombuffer(expected[2], np.uint8))
    decoded = sc.rans.decode_batch(data, shaped, gaussian())
    assert [values.shape for values in decoded] == [(24,), (24,), (2, 3, 4)]
    for values, wanted in zip(decoded, symbols, strict=True):
        np.testing.assert_array_equal(values.ravel(), wanted)


def test_batch_decodes_into_what_it_is_given():
    symbols, indexes = some("mid", (1000, 40_000, 0))
    data = sc.rans.encode_batch(symbols, indexes, gaussian())
    outs = [np.zeros(1000, np.int8), torch.zeros(40_000, dtype=torch.int64), np.zeros(0, np.int16)]
    decoded = sc.rans.decode_batch(data, indexes, gaussian(), threads=2, outs=outs)
    assert all(got is given_out for got, given_out in zip(decoded, outs, strict=True))
    for values, wanted in zip(decoded, symbols, strict=True):
        np.testing.assert_array_equal(np.asarray(values), wanted)


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("bad", [0, 4, 7])
def test_one_bad_stream_fails_the_batch(bad, threads):
    """Wherever it is, and whichever others are coded in turns with it."""
    symbols, indexes = some("mix", (40_000,) * 8)
    data = sc.rans.encode_batch(symbols, indexes, gaussian())
    for damage in (b"", data[bad][:-1], data[bad][: len(data[bad]) // 2], data[bad] + b"\0"):
        with pytest.raises(BitstreamError):
            sc.rans.decode_batch([*data[:bad], damage, *data[bad + 1 :]], indexes, gaussian(), threads=threads)
    wrong_index = [index.copy() for index in indexes]
    wrong_index[bad][-1] = 64
    with pytest.raises(ValueError, match=r"indexes must lie in \[0, 64\), got 64 \(element 39999\)"):
        sc.rans.encode_batch(symbols, wrong_index, gaussian(), threads=threads)
    with pytest.raises(ValueError, match=r"indexes must lie in \[0, 64\), got 64 \(element 39999\)") as caught:
        sc.rans.decode_batch(data, wrong_index, gaussian(), threads=threads)
    assert not isinstance(caught.value, BitstreamError)


# ---- threads


@pytest.mark.parametrize("name", ["low", "mid", "mix"])
def test_threads_and_kernels_change_no_byte(name):
    symbols, indexes = latents(np.random.default_rng(1), name, 300_000)
    expected = sc.rans.encode(symbols, indexes, gaussian())
    for backend in BACKENDS:
        for threads in (*THREADS, 256):
            assert on(backend, sc.rans.encode, symbols, indexes, gaussian(), threads=threads) == expected
            decoded = on(backend, sc.rans.decode, expected, indexes, gaussian(), threads=threads)
            np.testing.assert_array_equal(decoded, symbols)


def test_callers_share_the_pool():
    """Threads of Python, each asking for threads of the core."""
    table = sc.CdfTable.gaussian()  # a new one: its lane tables are made once, whoever comes first
    pairs = [latents(np.random.default_rng(seed), "mix", 100_000 + seed) for seed in range(6)]
    alone = [sc.rans.encode(*pair, gaussian()) for pair in pairs]

    def work(number: int) -> bool:
        symbols, indexes = pairs[number]
        for turn in range(6):
            threads = 1 + (number + turn) % 4
            if sc.rans.encode(symbols, indexes, table, threads=threads) != alone[number]:
                return False
            if not np.array_equal(sc.rans.decode(alone[number], indexes, table, threads=threads), symbols):
                return False
        return True

    with ThreadPoolExecutor(6) as callers:
        assert all(callers.map(work, range(6)))


FORKING = """
import os, sys, threading, time
import numpy as np, scalecodec as sc

rng = np.random.default_rng(0)
table = sc.CdfTable.from_cdf(np.array([[0, 20000, 50000, 65535, 65536]]), np.array([5]), np.array([-1]))
symbols, indexes = rng.integers(-1, 2, 200_000), np.zeros(200_000, np.uint8)
data = sc.rans.encode(symbols, indexes, table, threads=2)

def codes():
    same = sc.rans.encode(symbols, indexes, table, threads=2) == data
    return same and np.array_equal(sc.rans.decode(data, indexes, table, threads=2), symbols)

def child_codes(depth):
    child = os.fork()
    if child == 0:
        os._exit(0 if codes() and (depth == 0 or child_codes(depth - 1)) else 1)
    deadline = time.monotonic() + 20
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, 9)
            sys.exit("a child hangs")
        time.sleep(0.001)
    return ended[1] == 0

assert codes()  # the pool is there
assert child_codes(1) and codes()
stop = []
def work():
    while not stop: codes()
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads: thread.start()
for _ in range(10): assert child_codes(0)  # while others code
stop.append(True)
for thread in threads: thread.join()
assert codes()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_codes():
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    done = subprocess.run(
        [sys.executable, "-c", FORKING], env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


# ---- arrays that overlap


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("dtype", [np.int32, np.int16, np.int64])
@pytest.mark.parametrize("shift", [-5, -1, 0, 1, 2000])
def test_out_may_lie_on_indexes(shift, dtype, threads):
    symbols, indexes = latents(np.random.default_rng(2), "mid", 100_000)
    data = sc.rans.encode(symbols, indexes, gaussian())
    memory = np.zeros(104_000, dtype)
    given_indexes, out = memory[2000:102_000], memory[2000 + shift : 102_000 + shift]
    given_indexes[:] = indexes
    assert sc.rans.decode(data, given_indexes, gaussian(), threads=threads, out=out) is out
    np.testing.assert_array_equal(out, symbols)


def test_out_must_not_lie_on_data():
    symbols, indexes = latents(np.random.default_rng(2), "mid", 1000)
    data = sc.rans.encode(symbols, indexes, gaussian())
    memory = bytearray(data + bytes(4096 - len(data)))
    for first in (0, (len(data) - 1) // 4):
        out = np.frombuffer(memory, np.int32)[first:][:900]
        with pytest.raises(ValueError, match="out must not share memory with data") as caught:
            sc.rans.decode(memoryview(memory)[: len(data)], indexes[:900], gaussian(), out=out)
        assert not isinstance(caught.value, BitstreamError)
    assert bytes(memory[: len(data)]) == data
    outs = [np.zeros(1000, np.int32), np.frombuffer(memory, np.int32)[:1000]]
    with pytest.raises(ValueError, match="share memory"):
        sc.rans.decode_batch([data, memoryview(memory)[: len(data)]], [indexes] * 2, gaussian(), outs=outs)


def test_arrays_are_left_as_they_are():
    symbols, indexes = latents(np.random.default_rng(3), "mix", 50_000)
    before = symbols.copy(), indexes.copy()
    data = sc.rans.encode(symbols, indexes, gaussian(), threads=2)
    stream = bytearray(data)
    sc.rans.decode(stream, indexes, gaussian(), threads=2)
    assert stream == data
    np.testing.assert_array_equal(symbols, before[0])
    np.testing.assert_array_equal(indexes, before[1])


@pytest.mark.parametrize("size", [0, 1, 5, 1000])
def test_neighbours_of_out_are_left_as_they_are(size):
    symbols, indexes = latents(np.random.default_rng(3), "mix", size)
    data = sc.rans.encode(symbols, indexes, gaussian())
    for dtype in (np.int16, np.int32, np.int64):
        for backend in BACKENDS:
            memory = np.full(size + 128, 77, dtype)
            on(backend, sc.rans.decode, data, indexes, gaussian(), out=memory[64 : size + 64])
            np.testing.assert_array_equal(memory[64 : size + 64], symbols)
            assert (memory[:64] == 77).all()
            assert (memory[size + 64 :] == 77).all()


# ---- tables


def page_tables(num_tables: int) -> sc.CdfTable:
    cdf = np.tile([0, 20000, 50000, 65535, 65536], (num_tables, 1))
    return sc.CdfTable.from_cdf(cdf, np.full(num_tables, 5), np.full(num_tables, -1))


@pytest.mark.parametrize("num_tables", [65537, 70000])
def test_more_tables_than_the_stream_has_are_refused(num_tables):
    table = page_tables(num_tables)
    one = np.zeros(1, np.int32)
    for call in (
        lambda: sc.rans.encode(one, one, table),
        lambda: sc.rans.decode(b"\0\0\0\1", one, table),
        lambda: sc.rans.encode_batch([], [], table),
    ):
        with pytest.raises(ValueError, match=f"at most 65536 tables, got {num_tables}") as caught:
            call()
        assert type(caught.value) is ValueError
    assert sc.rans64.decode(sc.rans64.encode(one, one, table), one, table) == 0


def test_as_many_tables_as_the_stream_has():
    table = page_tables(65536)
    rng = np.random.default_rng(4)
    symbols, indexes = rng.integers(-2, 3, 40_000), rng.integers(65536, size=40_000)
    indexes[:3] = 0, 65535, 65534
    expected = sc.rans.encode(symbols, np.zeros(40_000, int), page_tables(1))  # all are the same table
    for backend in BACKENDS:
        assert on(backend, sc.rans.encode, symbols, indexes, table) == expected
        np.testing.assert_array_equal(on(backend, sc.rans.decode, expected, indexes, table), symbols)
    for index in (65536, -1, 2**32, 2**63 - 1):
        with pytest.raises(ValueError, match=rf"indexes must lie in \[0, 65536\), got {index} \(element 7\)"):
            sc.rans.encode(symbols[:9], np.where(np.arange(9) == 7, index, 0), table)


def test_a_table_of_another_kind_is_named():
    one = np.zeros(1, np.int32)
    for wrong in (None, gaussian().cdf, sc.CdfTable, gaussian()._core):
        with pytest.raises(TypeError, match=f"table must be a CdfTable, got {type(wrong).__name__}"):
            sc.rans.encode(one, one, wrong)
        with pytest.raises(TypeError, match=f"table must be a CdfTable, got {type(wrong).__name__}"):
            sc.rans.decode(b"\0\0\0\1", one, wrong)
