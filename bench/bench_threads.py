"""Several threads, on one large input and on a batch of latents, by the wall clock; CompressAI has one thread."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import pytest
import torch

import scalecodec as sc
from scalecodec.speed import Trial, workloads
from scalecodec.speed.rivals import Lanes, make_coder

COUNT = 4_000_000
SHAPE = (16, 192, 32, 32)  # a batch: latents of 512 x 512 pictures
THREADS = (1, 2)


@pytest.fixture(scope="module", params=THREADS)
def trial(request):
    return Trial(Lanes(sc.backends.active(), request.param), [workloads.latents("mid", COUNT, 0)])


def bench_encode(benchmark, record, trial):
    benchmark.group = f"threads-encode-mid-{COUNT}"
    (item,) = trial.items
    data = benchmark(trial.coder.encode, item.prepared)
    assert data == item.data
    record(COUNT, len(data))


def bench_decode(benchmark, record, trial):
    benchmark.group = f"threads-decode-mid-{COUNT}"
    (item,) = trial.items
    symbols = benchmark(trial.coder.decode, item.data, item.prepared)
    np.testing.assert_array_equal(symbols, item.latents.symbols)
    record(COUNT, len(item.data))


@lru_cache(maxsize=1)
def batch():
    return [array.reshape(SHAPE) for array in workloads.latents("mid", np.prod(SHAPE), 0)]


@pytest.fixture(params=[*THREADS, "compressai"], ids=lambda who: who if who == "compressai" else f"threads-{who}")
def coding(request):
    """(encode, decode) of the batch: to streams, one a picture, and from them."""
    symbols, indexes = batch()
    if request.param == "compressai":
        request.getfixturevalue("compressai")
        model = make_coder("compressai-model").model
        values, indexes = torch.from_numpy(symbols).float(), torch.from_numpy(indexes)
        return lambda: model.compress(values, indexes), lambda streams: model.decompress(streams, indexes)
    table = sc.CdfTable.gaussian(workloads.SCALE_TABLE)
    symbols, indexes = list(symbols), list(indexes)
    return (
        lambda: sc.rans.encode_batch(symbols, indexes, table, threads=request.param),
        lambda streams: sc.rans.decode_batch(streams, indexes, table, threads=request.param),
    )


def bench_encode_batch(benchmark, record, coding):
    benchmark.group = f"batch-encode-mid-{SHAPE[0]}"
    encode, decode = coding
    streams = benchmark(encode)
    np.testing.assert_array_equal(decode(streams), batch()[0])
    record(np.prod(SHAPE), sum(map(len, streams)))


def bench_decode_batch(benchmark, record, coding):
    benchmark.group = f"batch-decode-mid-{SHAPE[0]}"
    encode, decode = coding
    streams = encode()
    np.testing.assert_array_equal(benchmark(decode, streams), batch()[0])
    record(np.prod(SHAPE), sum(map(len, streams)))
