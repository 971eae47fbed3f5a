"""CompressAI's models, stock and accelerated, and its coder's classes, call by call.
Latents are drawn as of trained models (tests/compressai/hosts.py). ``rest`` is everything but analysis and synthesis:
what of a model's time an entropy coder can touch.
"""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
import pytest
import torch

from scalecodec.compressai import accelerate, ans

MODELS = ("bmshj2018-factorized", "mbt2018-mean", "elic2022-official", "mbt2018", "cheng2020-anchor")
WAYS = {
    "stock": None,
    "exact": {"stream": "compressai"},
    "lanes": {"stream": "lanes"},
    "bf16": {"stream": "compressai", "networks": "bf16"},
    "lanes-bf16": {"stream": "lanes", "networks": "bf16"},
}
DIRECTIONS = ("compress", "decompress")

pytestmark = pytest.mark.benchmark(timer=time.thread_time)


class Still(torch.nn.Module):
    """A transform that takes no time: it gives what it gave once."""

    def __init__(self, output: torch.Tensor) -> None:
        super().__init__()
        self.output = output

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.output.clone()


@pytest.fixture(scope="module")
def host(request, hosts, quick) -> Any:
    return hosts.build(request.param, batch=1, size=(128, 128) if quick else (512, 768), gain=0.5, zoo=not quick)


def without_transforms(host: Any) -> Any:
    """The model with g_a and g_s that give what they gave."""
    model = copy.deepcopy(host.model)
    with torch.no_grad():
        y = model.g_a(host.x)
        x_hat = model.g_s(y)
    model.g_a, model.g_s = Still(y), Still(x_hat)
    return model


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("host", MODELS, indirect=True)
def bench_whole(benchmark, host, way, direction):
    run(benchmark, host, copy.deepcopy(host.model), way, direction, "whole")


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("way", [way for way in WAYS if "bf16" not in way])
@pytest.mark.parametrize("host", MODELS, indirect=True)
def bench_rest(benchmark, host, way, direction):
    run(benchmark, host, without_transforms(host), way, direction, "rest")


def run(benchmark: Any, host: Any, model: Any, way: str, direction: str, part: str) -> None:
    benchmark.group = f"{host.name}, {part}, {direction}"
    stock = host.compress(model)
    if WAYS[way] is not None:
        accelerate(model, threads=1, **WAYS[way])
    coded = host.compress(model)
    if way == "exact":
        assert coded["strings"] == stock["strings"]
    call = (lambda: host.compress(model)) if direction == "compress" else (lambda: host.decompress(coded, model))
    benchmark.pedantic(call, rounds=3, warmup_rounds=1)
    benchmark.extra_info["bytes"] = sum(map(len, strings_of(coded["strings"])))


def strings_of(strings: Any) -> list[bytes]:
    return [strings] if isinstance(strings, bytes) else [s for item in strings for s in strings_of(item)]


@pytest.mark.parametrize("count", [192, 4096, 65536, 1_000_000])
@pytest.mark.parametrize("who", ["CompressAI", "lists", "arrays"])
@pytest.mark.parametrize("direction", DIRECTIONS)
def bench_coder_classes(benchmark, compressai, who, count, direction):
    """The 64 Gaussians as a list of lists, as CompressAI passes them with every call."""
    benchmark.group = f"{direction}, {count} symbols a call"
    model = compressai.entropy_models.GaussianConditional(None)
    model.update_scale_table(compressai.models.base.get_scale_table())
    tables = [buffer.tolist() for buffer in (model.quantized_cdf, model.cdf_length, model.offset)]
    pick = np.random.default_rng(0)
    indexes = pick.integers(0, 30, count).astype(np.int32)
    symbols = np.rint(pick.normal(size=count) * 0.11 * 1.13**indexes).astype(np.int32)
    module = compressai.ans if who == "CompressAI" else ans
    given = (symbols, indexes) if who == "arrays" else (symbols.tolist(), indexes.tolist())
    data = module.RansEncoder().encode_with_indexes(*given, *tables)
    if direction == "compress":
        assert benchmark(module.RansEncoder().encode_with_indexes, *given, *tables) == data
    else:
        assert list(benchmark(module.RansDecoder().decode_with_indexes, data, given[1], *tables)) == symbols.tolist()
