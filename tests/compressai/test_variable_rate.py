"""mbt2018-vbr: its compiled loop against CompressAI's own, at every stage and flag."""

from __future__ import annotations

import copy

import pytest
import torch

from scalecodec.errors import BitstreamError

from . import hosts
from .comparing import accelerate, same

variable_rate = pytest.importorskip("scalecodec.compressai.variable_rate")


@pytest.fixture(scope="module")
def host(compressai):
    return hosts.build("mbt2018-vbr", batch=2, size=(64, 128))


@pytest.fixture
def loops(monkeypatch):
    """What ran: one entry a string of the loop."""
    ran = []

    def packed(*args):
        found = variable_rate_packed(*args)
        ran.append("own" if found is None else "compiled")
        return found

    variable_rate_packed = variable_rate._packed
    monkeypatch.setattr(variable_rate, "_packed", packed)
    return ran


@pytest.mark.parametrize("rate", [{"s": 0}, {"s": 3}, {"s": 7}, {"inputscale": torch.tensor(0.3)}])
def test_the_loop_is_compiled(host, loops, rate):
    model = copy.deepcopy(host.model)
    stock = host.compress(**rate)
    accelerate(model)
    assert same(host.compress(model, **rate), stock)
    assert same(host.decompress(stock, model, **rate), host.decompress(stock, **rate))
    assert loops == ["compiled"] * 4


@pytest.mark.parametrize(
    ("flags", "options"),
    [({}, {"stage": 1}), ({"no_quantoffset": True}, {}), ({"ste_recursive": False}, {}), ({"scl2ctx": False}, {})],
)
@pytest.mark.parametrize("stream", ["compressai", "lanes"])
def test_other_stages_and_flags_are_its_own(host, loops, flags, options, stream):
    model, stock = copy.deepcopy(host.model), copy.deepcopy(host.model)
    for changed in (model, stock):
        for name, value in flags.items():
            setattr(changed, name, value)
    wanted = host.compress(stock, **options)
    accelerate(model, stream=stream)
    coded = host.compress(model, **options)
    assert same(coded["strings"][0], wanted["strings"][0])  # those of y
    assert same(host.decompress(coded, model, **options), host.decompress(wanted, stock, **options))
    assert loops == ["own"] * 4


def test_networks_of_another_kind_are_its_own(host, loops):
    def hook(layer, args, output):
        return output * 1.0

    for change in (
        lambda model: model.QuantABCD[0].register_forward_hook(hook),
        lambda model: setattr(model, "QuantABCD", torch.nn.Sequential(*model.QuantABCD, torch.nn.Identity())),
        lambda model: model.entropy_parameters.register_forward_hook(hook),
    ):
        model, stock = copy.deepcopy(host.model), copy.deepcopy(host.model)
        change(model)
        change(stock)
        accelerate(model)
        assert same(host.compress(model), host.compress(stock))
    assert loops == ["own"] * 6


def test_new_weights_count(host, loops):
    model, stock = copy.deepcopy(host.model), copy.deepcopy(host.model)
    accelerate(model)
    before = host.compress(model)
    for changed in (model, stock):
        changed.QuantABCD[4].bias.data.add_(0.2)
    wanted = host.compress(stock)
    assert not same(before["strings"], wanted["strings"])
    assert same(host.compress(model), wanted)
    for changed in (model, stock):
        changed.scale_to_context.bias.data.add_(0.2)
    wanted = host.compress(stock)
    assert same(host.compress(model), wanted)
    assert set(loops) == {"compiled"}


def test_damage_is_noticed_by_both_loops(host, loops, monkeypatch):
    model = copy.deepcopy(host.model)
    accelerate(model)
    coded = host.compress(model)
    right = host.decompress(coded, model)
    damaged = copy.deepcopy(coded)
    damaged["strings"][0][0] = damaged["strings"][0][0][:-4]
    with pytest.raises(BitstreamError):
        host.decompress(damaged, model)
    damaged["strings"][0][0] = coded["strings"][0][0][:-4] + b"\x01\x02\x03\x04"
    with pytest.raises(BitstreamError):
        host.decompress(damaged, model)

    def refuse(*args, **kwargs):
        raise BitstreamError("the state is not where it began")

    monkeypatch.setattr(variable_rate.ContextNetwork, "decode", refuse)
    with pytest.warns(UserWarning, match="torch's own"):
        assert same(host.decompress(coded, model), right)
    with pytest.raises(BitstreamError, match="where it began"):
        host.decompress(damaged, model)


def test_floats_that_cannot_be_found_leave_it_its_own(host, loops, monkeypatch):
    monkeypatch.setattr(variable_rate, "offset_orders_of", lambda *layers: None)
    model = copy.deepcopy(host.model)
    accelerate(model)
    with pytest.warns(UserWarning, match="own loop encodes"):
        assert same(host.compress(model), host.compress())
    assert loops == ["own"] * 2


def test_marked_strings(host, loops):
    model = copy.deepcopy(host.model)
    accelerate(model, stream="lanes", threads=2)
    coded = host.compress(model)
    assert same(host.decompress(coded, model), host.decompress(host.compress()), 1e-4)
    assert loops == ["compiled"] * 4
    plain = copy.deepcopy(host.model)
    accelerate(plain)
    stock = host.compress()
    for one, other in ((coded, plain), (stock, model)):
        mixed = {**one, "strings": [one["strings"][0], (stock if other is plain else coded)["strings"][1]]}
        with pytest.raises(BitstreamError):
            host.decompress(mixed, other)
