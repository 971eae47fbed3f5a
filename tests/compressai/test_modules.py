"""An accelerated model is still the module it was: state, tables, copies, gradients, types."""

from __future__ import annotations

import copy
import io
import pickle  # noqa: TID251 - users send models to worker processes

import pytest
import torch

from . import hosts
from .comparing import accelerate, flatten, same, shake

# Stock raises: it makes float32 tensors on its own in these.
NO_FLOAT64 = {*hosts.PIXEL_LOOPS, "elic2022-chandelier", "elic2022-official"}
# Stock cannot pickle classes and functions that live inside of a function.
NO_PICKLE = {"cheng2020-attn", "elic2022-chandelier", "elic2022-official", "ssf2020"}


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


def test_tables_follow_a_load_in_inference_mode(compressai):
    """Tensors made there do not count how often they are written to."""
    with torch.inference_mode():
        host = hosts.build("bmshj2018-factorized", batch=1, size=(64, 64))
        other, model = copy.deepcopy(host.model), copy.deepcopy(host.model)
        shake(other)
        host.make_tables(other, force=True)
        accelerate(model)
        before = host.compress(model)
        model.load_state_dict(other.state_dict())
        wanted = host.compress(other)
        assert not same(wanted, before)
        assert same(host.compress(model), wanted)


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
    model.eval()
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
