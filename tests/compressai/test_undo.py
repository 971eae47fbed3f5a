"""What is taken back: reports undone in any order, calls that fail half way."""

from __future__ import annotations

import copy

import pytest
import torch

from scalecodec.errors import BackendError

from . import hosts
from .comparing import accelerate, contents, same


@pytest.fixture(scope="module")
def host(compressai):
    return hosts.build("mbt2018", batch=1, size=(64, 64))


def test_reports_are_undone_in_any_order(host):
    model, coded = copy.deepcopy(host.model), host.compress()
    before = contents(model)
    first = accelerate(model, stream="lanes")
    second = accelerate(model)
    first.undo()
    assert contents(model) != before  # the second still holds
    assert same(host.compress(model)["strings"], coded["strings"])
    third = accelerate(model, stream="lanes")
    second.undo()
    assert not same(host.compress(model)["strings"], coded["strings"])
    third.undo()
    assert contents(model) == before


def test_a_call_that_fails_changes_nothing(host, monkeypatch):
    from scalecodec.compressai import transforms

    monkeypatch.setattr(transforms, "has_bfloat16", lambda: False)
    model = copy.deepcopy(host.model)
    before = contents(model)
    with pytest.raises(BackendError):
        accelerate(model, networks="bf16")
    assert contents(model) == before


def test_new_instances_of_an_accelerated_model_s_class(host):
    model = copy.deepcopy(host.model)
    accelerate(model)
    new = host.dress(model.from_state_dict(copy.deepcopy(host.model.state_dict())).eval())
    assert same(host.compress(new)["strings"], host.compress()["strings"])
    bottleneck = type(model.entropy_bottleneck)(4)
    bottleneck.update()
    x = torch.arange(24.0).reshape(2, 4, 3)
    assert torch.equal(bottleneck.decompress(bottleneck.compress(x), (3,)), x)
