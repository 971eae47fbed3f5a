"""The hosts themselves: every registered model is there and codes as a trained one does."""

from __future__ import annotations

import copy

import pytest
import torch

from . import hosts


def test_every_registered_model_has_a_host(compressai):
    assert {*hosts.SMALL, *hosts.NOT_BUILT} == {*compressai.registry.MODELS}
    assert {*compressai.zoo.image_models} <= {*hosts.ZOO}


def test_the_rate_is_a_real_one(case):
    """Few bits a latent, tables that are really used, a picture that is not all black or white."""
    strings = hosts.strings_of(case.coded["strings"])
    assert 0.1 < 8 * sum(map(len, strings)) / case.host.latents() < 2
    pictures = case.decoded["x_hat"]
    picture = torch.cat(pictures) if isinstance(pictures, list) else pictures
    assert ((picture > 0) & (picture < 1)).float().mean() > 0.5
    assert picture.std() > 0.02


@pytest.mark.parametrize("gain", [0.1, 1.5])
def test_the_gain_sets_the_rate(compressai, gain):
    host = hosts.build("mbt2018-mean", gain=gain)
    bits = 8 * sum(map(len, hosts.strings_of(host.compress()["strings"]))) / host.latents()
    assert (0.1 < bits < 0.5) if gain < 1 else (1.5 < bits < 2.5)


@pytest.mark.parametrize("name", hosts.PIXEL_LOOPS)
def test_the_loop_over_pixels_depends_on_its_context(compressai, name):
    host = hosts.build(name, batch=1, size=(64, 64))
    blind = copy.deepcopy(host.model)
    for module in blind.modules():
        if hasattr(module, "context_prediction"):
            torch.nn.init.zeros_(module.context_prediction.weight)
    one, other = (hosts.strings_of(host.compress(model)["strings"]) for model in (host.model, blind))
    assert one[0] != other[0]
    assert one[-1] == other[-1]  # z
