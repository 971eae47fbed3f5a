"""What is taken back: reports undone in any order, calls that fail half way."""

from __future__ import annotations

import copy

import pytest

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
