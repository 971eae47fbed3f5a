"""Batches and sizes that loops over positions meet seldom."""

from __future__ import annotations

import copy

import pytest
import torch

from . import hosts
from .comparing import accelerate, same


@pytest.mark.parametrize("stream", ["compressai", "lanes"])
def test_a_picture_that_is_no_multiple_of_the_strides(compressai, stream):
    """Stock's raster-scan codec leaves out the params beyond the latents."""
    host = hosts.build("raster-scan", batch=1, size=(64, 64))
    host.x = torch.rand(1, 3, 80, 72, generator=torch.Generator().manual_seed(0))
    coded = host.compress()
    assert coded["shape"]["y"] == (5, 5)
    model = copy.deepcopy(host.model)
    accelerate(model, stream=stream)
    ours = host.compress(model)
    assert same(ours["strings"], coded["strings"]) == (stream == "compressai")
    assert same(host.decompress(ours, model), host.decompress(coded), 0.0 if stream == "compressai" else 1e-5)


@pytest.mark.parametrize("name", ["mbt2018", "raster-scan", "cheng2020-anchor-checkerboard"])
def test_an_empty_batch(compressai, name):
    host = hosts.build(name, batch=1, size=(64, 64))
    host.x = torch.empty(0, 3, 64, 64)
    accelerate(host.model)
    coded = host.compress()
    assert hosts.strings_of(coded["strings"]) == []
    assert host.decompress(coded)["x_hat"].shape[0] == 0
