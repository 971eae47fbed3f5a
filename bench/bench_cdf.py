"""Making tables: from scales, from probabilities, and from ready buffers, which CompressAI converts at every call."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
import torch

import scalecodec as sc
from scalecodec.speed.workloads import SCALE_TABLE

WHO = ("scalecodec", "compressai")


@pytest.fixture
def rival(who, request):
    """CompressAI, or None where scalecodec itself is measured."""
    return None if who == "scalecodec" else request.getfixturevalue("compressai")


def their_model(compressai, scales):
    model = compressai.entropy_models.GaussianConditional(None)
    model.update_scale_table(scales, force=True)
    return model


@pytest.mark.parametrize("who", WHO)
def bench_gaussian(benchmark, rival, who):
    """Scales to coding tables; the scales vary, as those of a variable-rate model do."""
    benchmark.group = "table-gaussian-64"
    turn = cycle([SCALE_TABLE * factor for factor in np.linspace(0.9, 1.1, 16)])
    if rival is None:
        table = benchmark(lambda: sc.CdfTable.gaussian(next(turn)))
        assert table.num_tables == 64
    else:
        model = benchmark(lambda: their_model(rival, torch.from_numpy(next(turn)).float()))
        assert len(model.cdf_length) == 64
    expected = sc.CdfTable.gaussian(SCALE_TABLE)
    if rival is not None:
        model = their_model(rival, torch.from_numpy(SCALE_TABLE).float())
        assert sc.CdfTable.from_cdf(model.quantized_cdf, model.cdf_length, model.offset) == expected


@pytest.mark.parametrize("who", WHO)
def bench_from_buffers(benchmark, rival, who):
    """int32 buffers to what the coder reads: our prepared tables, once; their lists, every time."""
    benchmark.group = "table-from-buffers-64"
    table = sc.CdfTable.gaussian(SCALE_TABLE)
    buffers = [torch.from_numpy(array.copy()) for array in (table.cdf, table.cdf_length, table.offset)]
    if rival is None:
        assert benchmark(lambda: sc.CdfTable.from_cdf(*buffers)) == table
    else:
        lists = benchmark(lambda: [buffer.tolist() for buffer in buffers])
        assert lists == [table.cdf.tolist(), table.cdf_length.tolist(), table.offset.tolist()]


def pmfs(count, zeros):
    """Bells of different widths; beyond some of them the entries are zero and must be given a count each."""
    rng = np.random.default_rng(count)
    x = np.arange(count) - count / 2
    widths = count / (rng.uniform(20, 40, 32) if zeros else rng.uniform(6, 8, 32))
    bells = np.exp(-0.5 * (x / widths[:, None]) ** 2)
    return (bells / bells.sum(1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("zeros", [False, True], ids=["full", "zeros"])
@pytest.mark.parametrize("count", [63, 3131])
@pytest.mark.parametrize("who", WHO)
def bench_pmf_to_quantized_cdf(benchmark, record, rival, who, count, zeros):
    benchmark.group = f"quantized-cdf-{count}-{'zeros' if zeros else 'full'}"
    rows = list(pmfs(count, zeros))
    if rival is None:
        turn = cycle(rows)
        benchmark(lambda: sc.pmf_to_quantized_cdf(next(turn), 16))
    else:
        turn = cycle([row.tolist() for row in rows])
        benchmark(lambda: rival._CXX.pmf_to_quantized_cdf(next(turn), 16))
    for row in rows:
        cdf = sc.pmf_to_quantized_cdf(row, 16)
        assert cdf[-1] == 65536
        assert rival is None or cdf.tolist() == rival._CXX.pmf_to_quantized_cdf(row.tolist(), 16)
    record(count)
