"""The rans64 stream against CompressAI, which writes the same bytes, and against constriction: `pytest bench`."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest

from .rivals import CODERS, make_coder
from .workloads import SETS, varied

pytestmark = [
    pytest.mark.parametrize("name", SETS),
    pytest.mark.parametrize("count", [10_000, 300_000]),
]


@pytest.fixture
def coder(request):
    return make_coder(request.param, request.getfixturevalue)


@pytest.fixture
def prepared(coder, name, count):
    sets = varied(name, count)
    return [(latents, coder.prepare(latents)) for latents in sets]


@pytest.mark.parametrize("coder", CODERS, indirect=True)
def bench_encode(benchmark, record, coder, prepared, name, count):
    benchmark.group = f"rans64-encode-{name}-{count}"
    turn = cycle(prepared)
    benchmark(lambda: coder.encode(next(turn)[1]))
    num_bytes = 0
    for latents, given in prepared:
        data = coder.encode(given)
        num_bytes += len(data)
        np.testing.assert_array_equal(coder.decode(data, given), latents.symbols)
    record(count, num_bytes / len(prepared))


@pytest.mark.parametrize("coder", CODERS, indirect=True)
def bench_decode(benchmark, record, coder, prepared, name, count):
    benchmark.group = f"rans64-decode-{name}-{count}"
    streams = [(coder.encode(given), given) for _, given in prepared]
    turn = cycle(streams)
    benchmark(lambda: coder.decode(*next(turn)))
    for (latents, _), stream in zip(prepared, streams, strict=True):
        np.testing.assert_array_equal(coder.decode(*stream), latents.symbols)
    record(count, sum(len(data) for data, _ in streams) / len(streams))
