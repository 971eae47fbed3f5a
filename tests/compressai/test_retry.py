"""Strings of a machine that rounds otherwise: the second try in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from scalecodec.errors import BitstreamError

from . import hosts
from .comparing import accelerate

NAMES = ("mbt2018-mean", "bmshj2018-hyperprior", "cheng2020-anchor-checkerboard")


class Rounding(nn.Module):
    """A network whose float32 outputs are off, as if summed in another order; in float64 they are right."""

    def __init__(self, network: nn.Module, error: float):
        super().__init__()
        self.network = network
        self.error = error

    def forward(self, x):
        output = self.network(x)
        return output if output.dtype is torch.float64 else output * (1 + self.error)


def off(model, error):
    """The model with networks that choose its tables off by `error`."""
    if hasattr(model, "h_s"):
        model.h_s = Rounding(model.h_s, error)
    else:
        model.latent_codec.hyper.h_s = Rounding(model.latent_codec.hyper.h_s, error)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_decode_is_tried_in_float64(compressai, name):
    host = hosts.build(name, batch=1, size=(64, 128))
    coded = host.compress()
    right = host.decompress(coded)["x_hat"]
    model = off(copy.deepcopy(host.model), 0.02)
    accelerate(model)
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    with pytest.warns(UserWarning, match="float64"):
        decoded = host.decompress(coded, model)["x_hat"]
    assert torch.allclose(decoded, right, atol=1e-4)
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())
    assert all(tensor.dtype != torch.float64 for tensor in model.parameters())


@pytest.mark.parametrize("name", ["mbt2018-mean", "mbt2018-mean-vbr", "elic2022-official", "raster-scan"])
def test_a_damaged_string_stays_an_error(compressai, name):
    host = hosts.build(name, batch=1, size=(64, 64))
    coded = host.compress()
    accelerate(host.model)
    for strings in coded["strings"]:
        (whole,) = strings
        strings[0] = whole[:-4]
        with pytest.raises(BitstreamError):
            host.decompress(coded)
        strings[0] = whole


def test_channel_contexts_are_tried_in_float64(compressai):
    """They stand in a ModuleDict, of which the codec takes one at a time."""
    host = hosts.build("elic2022-official", batch=1, size=(64, 64))
    coded = host.compress()
    right = host.decompress(coded)["x_hat"]
    model = copy.deepcopy(host.model)
    contexts = model.latent_codec.y.channel_context
    contexts["y1"] = Rounding(contexts["y1"], 0.2)
    accelerate(model)
    with pytest.warns(UserWarning, match="float64"):
        decoded = host.decompress(coded, model)["x_hat"]
    assert torch.allclose(decoded, right, atol=1e-4)


def test_a_stock_string_of_a_loop_is_decoded_with_torch_s_arithmetic(compressai, monkeypatch):
    """As if the compiled loop had met a float that rounds otherwise: it refuses, and torch's loop takes over."""
    from scalecodec import context

    host = hosts.build("mbt2018", batch=2, size=(64, 64))
    coded = host.compress()
    right = host.decompress(coded)["x_hat"]
    accelerate(host.model)

    def refuse(*args, **kwargs):
        raise BitstreamError("the state is not where it began")

    monkeypatch.setattr(context.ContextNetwork, "decode", refuse)
    with pytest.warns(UserWarning, match="torch.s own"):
        decoded = host.decompress(coded)["x_hat"]
    assert torch.equal(decoded, right)
    coded["strings"][0][1] = coded["strings"][0][1][:-4]
    with pytest.raises(BitstreamError, match="where it began"):
        host.decompress(coded)
