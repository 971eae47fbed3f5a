"""CompressAI's models, stock and accelerated: the same strings and pictures; the lane stream; the way back."""

from __future__ import annotations

import copy

import pytest
import torch

from scalecodec.errors import BitstreamError

from . import hosts
from .comparing import accelerate, contents, flatten, same

VBR = [name for name in hosts.NAMES if "vbr" in name]


def test_streams_and_pictures_are_stocks(case, stock_calls):
    host = case.host
    assert same(host.compress(), case.coded)
    assert stock_calls
    model = case.copy()
    accelerate(model)
    stock_calls.clear()
    coded = host.compress(model)
    assert same(coded, case.coded)
    assert same(host.decompress(case.coded, model), case.decoded)
    assert not stock_calls
    assert same(host.decompress(coded), case.decoded)


def test_lanes_round_trip_and_no_decoder_takes_the_other_stream(case, stock_calls):
    host, model = case.host, case.copy()
    accelerate(model, stream="lanes", threads=2)
    coded = host.compress(model)
    assert all(type(string) is bytes for string in hosts.strings_of(coded["strings"]))
    assert not same(coded["strings"], case.coded["strings"])
    # Loops that we compile add up in an order of our own here.
    rounding = 1e-5 if host.name in hosts.PIXEL_LOOPS else 0.0
    assert same({**coded, "strings": 0}, {**case.coded, "strings": 0}, rounding)
    assert same(host.decompress(coded, model), case.decoded, rounding)
    with pytest.raises(BitstreamError):
        host.decompress(case.coded, model)
    other = case.copy()
    accelerate(other)
    with pytest.raises(BitstreamError):
        host.decompress(coded, other)
    assert not stock_calls


def test_undo_leaves_nothing_behind(case, stock_calls):
    host, model = case.host, case.copy()
    before = contents(model)
    with accelerate(model, stream="lanes") as report:
        host.compress(model)
        assert any(name in str(report) for name, _ in model.named_modules() if name.endswith("entropy_bottleneck"))
    assert contents(model) == before
    report.undo()  # a second time: nothing to do
    with pytest.raises(KeyError), accelerate(model):
        raise KeyError
    assert contents(model) == before
    assert not stock_calls
    assert same(host.compress(model), case.coded)
    assert stock_calls


@pytest.mark.parametrize("rate", [{"s": 0}, {"s": 7}, {"inputscale": torch.tensor(0.31)}, {"stage": 1}])
@pytest.mark.parametrize("name", VBR)
def test_every_rate_of_a_variable_rate_model(compressai, name, rate):
    host = hosts.build(name, batch=1, size=(64, 64))
    model = copy.deepcopy(host.model)
    accelerate(model)
    coded = host.compress(**rate)
    assert same(host.compress(model, **rate), coded)
    assert same(host.decompress(coded, model, **rate), host.decompress(coded, **rate))


# Pixels of z: one, three; of a factorized model's y: one, forty-eight.
OTHERS = [
    *((name, 1, (16, 16) if "factorized" in name else (64, 64)) for name in hosts.NAMES if name != "ssf2020"),
    *((name, 3, (192, 64)) for name in hosts.NAMES if name not in (*hosts.SLOW, "ssf2020")),
]


@pytest.mark.parametrize(("name", "batch", "size"), OTHERS)
def test_other_batches_and_sizes(compressai, name, batch, size):
    host = hosts.build(name, batch, size)
    model = copy.deepcopy(host.model)
    accelerate(model, threads=2)
    coded = host.compress()
    assert same(host.compress(model), coded)
    assert same(host.decompress(coded, model), host.decompress(coded))


def test_mixture_of_gaussians(compressai):
    """No registered model has one; it calls the coders by itself."""
    model = compressai.models.CompressionModel()
    model.mixture = compressai.entropy_models.GaussianMixtureConditional(K=2)
    generator = torch.Generator().manual_seed(0)
    scales, means = torch.rand(2, 1, 8, 3, 5, generator=generator).unbind()
    weights = torch.softmax(torch.rand(2, 4, 3, 5, generator=generator), 0).reshape(1, 8, 3, 5)
    y = torch.randn(1, 4, 3, 5, generator=generator) * 3
    y[:, 1] = 0  # a channel that is left out

    def code():  # it writes into its arguments
        coded, y_hat = model.mixture.compress(y, scales.clone(), means.clone(), weights.clone())
        return coded, y_hat, model.mixture.decompress(*coded, scales.clone(), means.clone(), weights.clone())

    wanted = code()
    assert torch.equal(wanted[1], wanted[2])
    with accelerate(model):
        assert same(code(), wanted)
    assert same(code(), wanted)


def test_bf16_networks_close_their_own_loop(case):
    """Other means and scales than float32 gives, so other strings; the same on both sides, and near by."""
    host, model = case.host, case.copy()
    accelerate(model, networks="bf16", stream="lanes")
    coded = host.compress(model)
    decoded = host.decompress(coded, model)
    for one, other in zip(flatten(decoded["x_hat"]), flatten(case.decoded["x_hat"]), strict=True):
        assert one.dtype == other.dtype
        assert (one - other).abs().mean() < 0.5 * other.std()


@pytest.mark.parametrize("wrong", [{"stream": "tar"}, {"networks": "int3"}])
def test_unknown_choices_are_refused(compressai, wrong):
    model = hosts.build("mbt2018-mean", size=(64, 64)).model
    before = contents(model)
    with pytest.raises(ValueError, match=r"tar|int3"):
        accelerate(model, **wrong)
    assert contents(model) == before
