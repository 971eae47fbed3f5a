"""Both streams against CompressAI, whose bytes rans64 writes, and constriction: `pytest bench`; `scalecodec bench` is
the short form. One thread is timed by its processor time, whatever else the machine does.

SCALECODEC_BENCH_PICTURES names a folder of pictures: their latents, by the shipped model, are measured too.
"""

from __future__ import annotations

import os
import time
from functools import lru_cache

import numpy as np
import pytest

from scalecodec.speed import Trial, workloads
from scalecodec.speed.rivals import OUR_MODELS, OURS, RIVALS
from scalecodec.speed.trial import MIN_ITEMS

from .latents import of_pictures

PICTURES = "SCALECODEC_BENCH_PICTURES"
CODERS = (*OURS, *OUR_MODELS, *RIVALS)
WORKLOADS = [
    *((name, count, False) for count in (10_000, 300_000, 4_000_000) for name in workloads.SETS),  # the coder
    *(("mid", count, False) for count in (10, 100, 1_000)),  # small calls
    *((name, 300_000, True) for name in workloads.SETS),  # indexes as in latents: like their neighbours'
    ("pictures", 0, True),
]


@lru_cache(maxsize=2)
def draw(name: str, count: int, smooth: bool) -> list[workloads.Latents]:
    if count > 1_000_000:
        return [workloads.latents(name, count, 0, smooth=smooth)]
    return workloads.varied(name, count, smooth=smooth)


def workload_id(value: tuple[str, int, bool]) -> str:
    name, count, smooth = value
    return name if name == "pictures" else f"{name}{'-smooth' if smooth else ''}-{count}"


@pytest.fixture(scope="module")
def workload(request):
    """The sets to be coded in turn, and what they are called."""
    name, count, smooth = request.param
    if name != "pictures":
        return workload_id(request.param), draw(name, count, smooth)
    folder = os.environ.get(PICTURES)
    if not folder:
        pytest.skip(f"{PICTURES} names no folder of pictures")
    return name, of_pictures(folder)


@pytest.fixture(scope="module")
def trial(coder, workload, quick):
    """The coder on the sets; that it gives back what it was given is checked here, for both directions."""
    return Trial(coder, workload[1][:1] if quick else workload[1])


pytestmark = [
    pytest.mark.parametrize("workload", WORKLOADS, ids=workload_id, indirect=True, scope="module"),
    pytest.mark.parametrize("coder", CODERS, indirect=True, scope="module"),
    pytest.mark.benchmark(timer=time.thread_time),
]


def run(benchmark, trial, call):
    """Time ``call`` on the sets in turn; the last one, and what it gave."""
    last = None

    def step():
        nonlocal last
        last = trial.next()
        return call(last)

    with trial.coder.running():
        result = benchmark(step)
    return last, result


def mean_bytes(trial):
    """Over those sets that every coder has coded, however slow."""
    items = trial.items[:MIN_ITEMS]
    return sum(len(item.data) for item in items) / len(items)


def bench_encode(benchmark, record, trial, workload):
    benchmark.group = f"encode-{workload[0]}"
    item, data = run(benchmark, trial, lambda item: trial.coder.encode(item.prepared))
    assert data == item.data
    record(trial.num_symbols, mean_bytes(trial))


def bench_decode(benchmark, record, trial, workload):
    benchmark.group = f"decode-{workload[0]}"
    item, symbols = run(benchmark, trial, lambda item: trial.coder.decode(item.data, item.prepared))
    np.testing.assert_array_equal(symbols, item.latents.symbols)
    record(trial.num_symbols, mean_bytes(trial))
