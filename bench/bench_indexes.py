"""Scales to indexes, latents to symbols and back: by each kernel set, by torch's passes and by CompressAI."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import scalecodec as sc
from scalecodec.quantize import build_indexes, dequantize, quantize_and_index
from scalecodec.speed.workloads import SCALE_TABLE

COUNT = 200_000
NUM_SETS = 3  # taken in turn: no predictor learns them by heart
TABLE = torch.from_numpy(SCALE_TABLE).float()
BOUND = float(TABLE[0])
GAIN = 0.35


class Given(NamedTuple):
    latent: Tensor
    scale: Tensor
    mean: Tensor


class Core:
    def indexes(self, given: Given) -> Tensor:
        return build_indexes(given.scale, TABLE, scale_bound=BOUND)

    def symbols_and_indexes(self, given: Given) -> tuple[Tensor, Tensor]:
        return quantize_and_index(given.latent, given.scale, TABLE, mean=given.mean, scale_bound=BOUND)

    def latent(self, symbols: Tensor, mean: Tensor) -> Tensor:
        return dequantize(symbols, mean, gain=GAIN)


class Torch:
    def indexes(self, given: Given) -> Tensor:
        return torch.bucketize(given.scale.clamp(min=BOUND), TABLE[:-1], out_int32=True)

    def symbols_and_indexes(self, given: Given) -> tuple[Tensor, Tensor]:
        """With the check of the range, as a stream needs it."""
        rounded = torch.round(given.latent - given.mean)
        if not bool(((rounded >= -(2.0**31)) & (rounded < 2.0**31)).all()):
            raise ValueError("a latent that int32 does not hold")
        return rounded.int(), self.indexes(given)

    def latent(self, symbols: Tensor, mean: Tensor) -> Tensor:
        return symbols.float() / GAIN + mean


class CompressAI:
    def __init__(self, compressai: Any) -> None:
        self.model = compressai.entropy_models.GaussianConditional(SCALE_TABLE.tolist(), scale_bound=BOUND)

    def indexes(self, given: Given) -> Tensor:
        return self.model.build_indexes(given.scale)

    def symbols_and_indexes(self, given: Given) -> tuple[Tensor, Tensor]:
        return self.model.quantize(given.latent, "symbols", given.mean), self.indexes(given)

    def latent(self, symbols: Tensor, mean: Tensor) -> Tensor:
        return self.model.dequantize(symbols) / GAIN + mean


WHO = (*sc.backends.available(), "torch", "compressai")


@pytest.fixture(params=WHO)
def who(request: Any) -> Iterator[Core | Torch | CompressAI]:
    """Ours on the kernel set of this name, or a rival."""
    if request.param == "torch":
        yield Torch()
    elif request.param == "compressai":
        yield CompressAI(request.getfixturevalue("compressai"))
    else:
        with sc.backends.use(request.param):
            yield Core()


@pytest.fixture(scope="module")
def sets() -> list[Given]:
    rng = np.random.default_rng(0)

    def draw() -> Given:
        scale = np.exp(rng.uniform(np.log(0.05), np.log(40), COUNT))
        mean = 3 * rng.standard_normal(COUNT)
        latent = mean + scale * rng.standard_normal(COUNT)
        return Given(*(torch.from_numpy(array).float() for array in (latent, scale, mean)))

    return [draw() for _ in range(NUM_SETS)]


def bench_build_indexes(benchmark, record, who, sets):
    """Scales below the bound included."""
    benchmark.group = "build-indexes-64"
    turn = cycle(sets)
    benchmark(lambda: who.indexes(next(turn)))
    record(COUNT)
    for given in sets:
        assert torch.equal(who.indexes(given), Torch().indexes(given))


def bench_symbols_and_indexes(benchmark, record, who, sets):
    """All that an encoder does before coding."""
    benchmark.group = "symbols-and-indexes-64"
    turn = cycle(sets)
    benchmark(lambda: who.symbols_and_indexes(next(turn)))
    record(COUNT)
    for given in sets:
        assert all(map(torch.equal, who.symbols_and_indexes(given), Torch().symbols_and_indexes(given)))


def bench_dequantize(benchmark, record, who, sets):
    """All that a variable-rate decoder does after it."""
    benchmark.group = "dequantize"
    coded = [(Torch().symbols_and_indexes(given)[0], given.mean) for given in sets]
    turn = cycle(coded)
    benchmark(lambda: who.latent(*next(turn)))
    record(COUNT)
    for symbols, mean in coded:
        assert torch.equal(who.latent(symbols, mean), Torch().latent(symbols, mean))
