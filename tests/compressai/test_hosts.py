"""CompressAI's models, stock and accelerated: the same strings and pictures, and nothing else changed."""

from __future__ import annotations

import copy
import io
import pickle  # noqa: TID251 - users send models to worker processes
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from scalecodec.errors import BitstreamError

from . import hosts

CODERS = {"compressai.models.google", "compressai.models.vbr", "compressai.latent_codecs.rasterscan"}
VBR = [name for name in hosts.NAMES if "vbr" in name]
# Stock raises: it makes float32 tensors on its own in these.
NO_FLOAT64 = {*hosts.PIXEL_LOOPS, "elic2022-chandelier", "elic2022-official"}
# Stock cannot pickle classes and functions that live inside of a function.
NO_PICKLE = {"cheng2020-attn", "elic2022-chandelier", "elic2022-official", "ssf2020"}


@dataclass(repr=False)
class Case:
    host: hosts.Host
    coded: dict[str, Any]  # by stock, before anything of scalecodec was near
    decoded: dict[str, Any]

    def copy(self) -> torch.nn.Module:
        return copy.deepcopy(self.host.model)


@pytest.fixture(scope="module", params=hosts.NAMES)
def case(request, compressai):
    host = hosts.build(request.param)
    coded = host.compress()
    return Case(host, coded, host.decompress(coded))


@pytest.fixture
def stock_calls(compressai, monkeypatch):
    """How often CompressAI's own coders were asked for, or used."""
    calls: Counter[str] = Counter()

    def counting(name, called):
        def call(*args, **kwargs):
            calls[name] += 1
            return called(*args, **kwargs)

        return call

    coder = compressai.entropy_models.entropy_models._EntropyCoder
    for owner, name in [
        *((coder, f"{way}_with_indexes") for way in ("encode", "decode")),
        *((module, name) for module in modules(CODERS) for name in ("BufferedRansEncoder", "RansDecoder")),
    ]:
        monkeypatch.setattr(owner, name, counting(name, getattr(owner, name)))
    return calls


def modules(names):
    import importlib

    return [importlib.import_module(name) for name in sorted(names)]


def accelerate(model, **options):
    from scalecodec.compressai import accelerate

    return accelerate(model, **options)


def same(one, other) -> bool:
    """Equal in structure, types and every bit."""
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


def contents(model):
    """What a model is made of, to be compared after an undo; buffers and parameters by identity."""
    return {
        name: (type(module), list(vars(module)), [id(tensor) for tensor in [*module.parameters(), *module.buffers()]])
        for name, module in model.named_modules()
    }


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
    assert same(host.compress(model), coded)
    assert not same(coded["strings"], case.coded["strings"])
    assert same({**coded, "strings": 0}, {**case.coded, "strings": 0})
    assert same(host.decompress(coded, model), case.decoded)
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


def test_state_dict_goes_both_ways(case):
    host, model = case.host, case.copy()
    wanted = host.model.state_dict()
    accelerate(model)
    host.compress(model)  # whatever is kept for the next call is there
    state = model.state_dict()
    assert list(state) == list(wanted)
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in state.items())
    assert [name for name, _ in model.named_parameters()] == [name for name, _ in host.model.named_parameters()]
    if host.name.endswith("+zstep"):  # stock does not resize its tables
        return
    fresh = host.fresh()
    assert not fresh.load_state_dict(copy.deepcopy(state), strict=True).missing_keys
    assert same(host.compress(fresh), case.coded)
    fresh = host.fresh()
    accelerate(fresh)
    fresh.load_state_dict(copy.deepcopy(wanted), strict=True)
    assert same(host.compress(fresh), case.coded)


def shake(model):
    """Other tables of the same sizes: the quantiles set the sizes."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if "biases" in name or "_bias" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.2)


def test_tables_follow_update_and_load(case):
    """What was kept of the old tables would give the old strings."""
    host, model, stock = case.host, case.copy(), case.copy()
    accelerate(model)
    host.compress(model)
    for changed in (model, stock):
        shake(changed)
        assert not host.make_tables(changed)
        assert host.make_tables(changed, force=True)
    wanted = host.compress(stock)
    assert not same(wanted["strings"], case.coded["strings"])
    assert same(host.compress(model), wanted)
    model.load_state_dict(copy.deepcopy(host.model.state_dict()))  # into the same tensors
    assert same(host.compress(model), case.coded)
    assert same(host.decompress(case.coded, model), case.decoded)


def test_scale_tables_of_another_length(case):
    host, model, stock = case.host, case.copy(), case.copy()
    if "factorized" in host.name:
        return
    accelerate(model)
    host.compress(model)
    for changed in (model, stock):
        host.make_tables(changed, scale_table=torch.exp(torch.linspace(-2, 3, 20)), force=True)
    coded = host.compress(stock)
    assert same(host.compress(model), coded)
    assert not same(coded["strings"], case.coded["strings"])


def context_models(model):
    return [module for module in model.modules() if hasattr(module, "context_prediction")]


def hook(model):
    for module in context_models(model):
        module.entropy_parameters.register_forward_hook(lambda network, args, output: output * 1.1)


def other_activation(model):
    for module in context_models(model):
        module.entropy_parameters[1] = torch.nn.Tanh()


def other_weights(model):
    """In place, as an optimizer does."""
    for module in context_models(model):
        for parameter in [*module.context_prediction.parameters(), *module.entropy_parameters.parameters()]:
            parameter.data.mul_(1.05)


def other_parameters(model):
    """New tensors, as a load_state_dict(assign=True) makes."""
    for module in context_models(model):
        weight = module.entropy_parameters[2].weight
        module.entropy_parameters[2].weight = torch.nn.Parameter(weight.detach() * 1.05)


CHANGES = (hook, other_activation, other_weights, other_parameters)


@pytest.mark.parametrize(
    ("name", "change", "changed_first"),
    [
        *(
            (name, change, False)
            for name in (*hosts.PIXEL_LOOPS, "cheng2020-anchor-checkerboard")
            for change in CHANGES
        ),
        *(("mbt2018", change, True) for change in (hook, other_activation)),
    ],
)
def test_the_networks_that_code_are_those_of_now(compressai, name, change, changed_first):
    """A loop of its own may take neither an unknown network for the usual one nor old weights for the new."""
    host = hosts.build(name, batch=1, size=(64, 64))
    stock, model = host.model, copy.deepcopy(host.model)
    before = host.compress()
    if changed_first:
        change(model)
    accelerate(model)
    if not changed_first:
        host.compress(model)
        change(model)
    change(stock)
    coded = host.compress(stock)
    assert not same(coded["strings"], before["strings"])
    assert same(host.compress(model), coded)
    assert same(host.decompress(coded, model), host.decompress(coded, stock))


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


def test_copies_code_on_their_own(case):
    host, model = case.host, case.copy()
    report = accelerate(model)
    host.compress(model)
    copied = copy.deepcopy(model)
    report.undo()
    shake(model)
    host.make_tables(model, force=True)
    assert same(host.compress(copied), case.coded)
    assert same(host.decompress(case.coded, copied), case.decoded)


def test_pickles_as_far_as_stock_does(case):
    if case.host.name in NO_PICKLE:
        with pytest.raises((AttributeError, pickle.PicklingError)):
            pickle.dumps(case.host.model)
        return
    model = case.copy()
    accelerate(model)
    case.host.compress(model)
    file = io.BytesIO()
    pickle.dump(model, file)
    file.seek(0)
    assert same(case.host.compress(pickle.load(file)), case.coded)


def run_forward(host, model, training):
    torch.manual_seed(3)
    model.train(training)
    output = model(host.x, **({"stage": 1} if "vbr" in host.name else {}))
    if training:
        sum(part.square().mean() for part in flatten(output) if part.requires_grad).backward()
    return output, [parameter.grad for parameter in model.parameters()]


def flatten(value):
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items for tensor in flatten(item)]


@pytest.mark.parametrize("training", [False, True])
def test_training_and_estimates_are_stocks(case, compressai, training):
    host, model, stock = case.host, case.copy(), case.copy()
    accelerate(model)
    kinds = (compressai.entropy_models.EntropyBottleneck, compressai.entropy_models.GaussianConditional)
    for one, other in zip(model.modules(), stock.modules(), strict=True):
        assert isinstance(one, type(other))
        assert [isinstance(one, kind) for kind in kinds] == [isinstance(other, kind) for kind in kinds]
    (output, gradients), (wanted, wanted_gradients) = (run_forward(host, each, training) for each in (model, stock))
    assert same(output, wanted)
    assert training == (sum(gradient is not None for gradient in wanted_gradients) > 5)
    for one, other in zip(gradients, wanted_gradients, strict=True):
        assert one is other is None or torch.equal(one, other)
    assert same(model.aux_loss(), stock.aux_loss())


def test_dtype_and_mode_follow(case):
    host, model, stock = case.host, case.copy(), case.copy()
    accelerate(model)
    host.compress(model)
    assert same(host.compress(model.train()), case.coded)
    assert same(host.compress(model.eval()), case.coded)
    if host.name in NO_FLOAT64 or host.name == "ssf2020":  # video: slow
        return
    x = host.x
    try:
        host.x = convert(x, torch.float64)
        coded = host.compress(stock.double())
        assert same(host.compress(model.double()), coded)
        assert same(host.decompress(coded, model), host.decompress(coded, stock))
    finally:
        host.x = x
    assert same(host.compress(model.float()), case.coded)


def convert(x, dtype):
    return [frame.to(dtype) for frame in x] if isinstance(x, list) else x.to(dtype)


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


def test_bf16_networks_close_their_own_loop(case):
    """Other means and scales than float32 gives, so other strings; the same on both sides, and near by."""
    host, model = case.host, case.copy()
    accelerate(model, networks="bf16", stream="lanes")
    coded = host.compress(model)
    decoded = host.decompress(coded, model)
    assert same(host.decompress(coded, model), decoded)
    for one, other in zip(flatten(decoded["x_hat"]), flatten(case.decoded["x_hat"]), strict=True):
        assert one.dtype == other.dtype
        assert one.dtype == other.dtype
        assert (one - other).abs().mean() < 0.5 * other.std()


@pytest.mark.parametrize("wrong", [{"stream": "tar"}, {"networks": "int3"}])
def test_unknown_choices_are_refused(compressai, wrong):
    model = hosts.build("mbt2018-mean", size=(64, 64)).model
    before = contents(model)
    with pytest.raises(ValueError, match=r"tar|int3"):
        accelerate(model, **wrong)
    assert contents(model) == before
