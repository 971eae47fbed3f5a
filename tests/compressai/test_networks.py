"""Networks that are not, or no longer, the usual ones of a context model."""

from __future__ import annotations

import copy

import pytest
import torch

from . import hosts
from .comparing import accelerate, same


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
    with torch.no_grad():
        for module in context_models(model):
            for parameter in [*module.context_prediction.parameters(), *module.entropy_parameters.parameters()]:
                parameter.mul_(1.05)


def other_data(model):
    """In place too, but so that the tensor's version does not show it."""
    for module in context_models(model):
        module.entropy_parameters[2].weight.data.mul_(1.05)


def other_parameters(model):
    """New tensors, as a load_state_dict(assign=True) makes."""
    for module in context_models(model):
        weight = module.entropy_parameters[2].weight
        module.entropy_parameters[2].weight = torch.nn.Parameter(weight.detach() * 1.05)


CHANGES = (hook, other_activation, other_weights, other_data, other_parameters)
NAMES = (*hosts.PIXEL_LOOPS, "cheng2020-anchor-checkerboard")


@pytest.mark.parametrize(
    ("name", "change", "changed_first"),
    [
        *((name, change, False) for name in NAMES for change in CHANGES),
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
