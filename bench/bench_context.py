"""The coding loop of an autoregressive model of mbt2018's size: compiled, one thread and two, and CompressAI's own.

A quarter of a 768x512 picture: 8 rows of 48 positions. The encoder's batches grow with the rows, so it gains from more.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import scalecodec as sc
from scalecodec.context import ContextNetwork
from scalecodec.speed.workloads import SCALE_TABLE

CHANNELS, HEIGHT, WIDTH = 192, 8, 48
HOW = {
    "threads-1": {"threads": 1},
    "threads-2": {"threads": 2},
    "wavefront": {"order": "wavefront"},
}


@lru_cache(maxsize=1)
def weights() -> tuple[Any, ...]:
    noise = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=noise)

    sizes = [4 * CHANNELS, 10 * CHANNELS // 3, 8 * CHANNELS // 3, 2 * CHANNELS]
    layers = [(randn(n, m) * (1.5 / m) ** 0.5, randn(n) / 10) for m, n in pairwise(sizes)]
    layers[-1][1][:CHANNELS] += 2
    return randn(2 * CHANNELS, CHANNELS, 5, 5) / 100, randn(2 * CHANNELS) / 10, layers


class Core:
    def __init__(self, how: dict[str, Any]) -> None:
        weight, bias, layers = weights()
        slopes = [0.01] * (len(layers) - 1) + [None]
        dense = [(*layer, slope) for layer, slope in zip(layers, slopes, strict=True)]
        self.network = ContextNetwork(weight, bias, dense, 2 * CHANNELS)
        scales = torch.from_numpy(SCALE_TABLE).float()
        self.how = {"scale_table": scales, "scale_bound": 0.11, "table": sc.CdfTable.gaussian(SCALE_TABLE), **how}

    def encode(self, y: torch.Tensor, params: torch.Tensor) -> bytes:
        return self.network.encode(y, params, **self.how)[0][0]

    def decode(self, data: bytes, params: torch.Tensor) -> torch.Tensor:
        return self.network.decode([data], params, **self.how)


class CompressAI:
    def __init__(self, compressai: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = compressai.models.JointAutoregressiveHierarchicalPriors(CHANNELS, CHANNELS).eval()
        weight, bias, layers = weights()
        with torch.no_grad():
            self.model.context_prediction.weight.copy_(weight * self.model.context_prediction.mask)
            self.model.context_prediction.bias.copy_(bias)
            dense = [module for module in self.model.entropy_parameters if hasattr(module, "weight")]
            for module, (matrix, offsets) in zip(dense, layers, strict=True):
                module.weight.copy_(matrix[:, :, None, None])
                module.bias.copy_(offsets)
        self.model.update(force=True)

    @torch.no_grad()
    def encode(self, y: torch.Tensor, params: torch.Tensor) -> bytes:
        return self.model._compress_ar(F.pad(y, (2, 2, 2, 2)), params, HEIGHT, WIDTH, 5, 2)

    @torch.no_grad()
    def decode(self, data: bytes, params: torch.Tensor) -> torch.Tensor:
        padded = torch.zeros(1, CHANNELS, HEIGHT + 4, WIDTH + 4)
        self.model._decompress_ar(data, padded, params, HEIGHT, WIDTH, 5, 2)
        return padded[:, :, 2:-2, 2:-2]


@pytest.fixture(scope="module", params=[*HOW, "compressai"])
def coder(request: pytest.FixtureRequest) -> Core | CompressAI:
    if request.param == "compressai":
        return CompressAI(request.getfixturevalue("compressai"))
    return Core(HOW[request.param])


@pytest.fixture(scope="module")
def given() -> tuple[torch.Tensor, torch.Tensor]:
    noise = torch.Generator().manual_seed(1)
    y = torch.randn(1, CHANNELS, HEIGHT, WIDTH, generator=noise) * 3
    return y, torch.randn(1, 2 * CHANNELS, HEIGHT, WIDTH, generator=noise)


def bench_encode(benchmark: Any, record: Any, coder: Core | CompressAI, given: Any) -> None:
    benchmark.group = f"context-encode-{CHANNELS}"
    data = benchmark(coder.encode, *given)
    record(given[0].numel(), len(data))


def bench_decode(benchmark: Any, record: Any, coder: Core | CompressAI, given: Any) -> None:
    benchmark.group = f"context-decode-{CHANNELS}"
    y, params = given
    data = coder.encode(y, params)
    decoded = benchmark(coder.decode, data, params)
    assert float((decoded - y).abs().max()) < 0.501
    record(y.numel(), len(data))
