"""Orders of sums, measured from outside, of layers whose order is known and of what is no such layer."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from scalecodec.sums import measure_orders

from .sums_kit import by_steps, layer_of, random_tree


def draw(num_outputs, num_inputs, seed):
    noise = np.random.default_rng(seed)
    return [noise.normal(size=size).astype(np.float32) for size in ((num_outputs, num_inputs), num_outputs, num_inputs)]


def same_sums(layer, num_inputs, num_outputs, orders, seeds=range(4)):
    assert sorted(np.concatenate([order.outputs for order in orders])) == list(range(num_outputs))
    for seed in seeds:
        weight, bias, inputs = draw(num_outputs, num_inputs, seed)
        wanted = layer(*(torch.from_numpy(array) for array in (weight, bias, inputs))).numpy()
        for order in orders:
            assert sorted(order.inputs) == list(range(num_inputs))
            found = by_steps(order, weight[order.outputs], bias[order.outputs], inputs)
            assert (found == wanted[order.outputs]).all()


@pytest.mark.parametrize("seed", range(40))
def test_any_order_is_found(seed):
    rng = random.Random(seed)
    num_inputs = rng.choice([1, 2, 3, 7, 20, 45])
    layer = layer_of([random_tree(range(num_inputs), num_inputs, rng)] * 3)
    same_sums(layer, num_inputs, 3, measure_orders(layer, num_inputs, 3))


def test_a_bias_alone():
    (order,) = measure_orders(lambda weight, bias, inputs: bias, 0, 3)
    weight, bias, inputs = draw(3, 0, 0)
    assert (by_steps(order, weight, bias, inputs) == bias).all()


def test_outputs_of_other_orders_are_told_apart():
    rng = random.Random(1)
    one, other = (random_tree(range(30), 30, rng) for _ in range(2))
    layer = layer_of([one, one, other, one, one])
    orders = measure_orders(layer, 30, 5)
    assert [order.outputs.tolist() for order in orders] == [[0, 1, 3, 4], [2]]
    same_sums(layer, 30, 5, orders)


@pytest.mark.parametrize(("num_inputs", "num_outputs"), [(64, 32), (37, 30), (250, 13), (17, 1), (96, 66)])
def test_torchs_own_layers(num_inputs, num_outputs):
    """Whatever it is on this machine."""

    def layer(weight, bias, inputs):
        return F.conv2d(inputs.view(1, -1, 1, 1), weight[:, :, None, None], bias)[0, :, 0, 0]

    same_sums(layer, num_inputs, num_outputs, measure_orders(layer, num_inputs, num_outputs))


def test_what_is_no_sum_is_refused():
    def product(weight, bias, inputs):
        return (weight * inputs).prod(1) + bias

    def moving(weight, bias, inputs):
        moving.calls += 1
        order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(moving.calls))
        total = bias.clone()
        for i in order:
            total += weight[:, i] * inputs[i]
        return total

    moving.calls = 0

    def missing(weight, bias, inputs):
        return (weight * inputs).sum(1) * float("nan") + bias

    def first_only(weight, bias, inputs):
        return weight[:, 0] * inputs[0] + bias

    for layer in (product, moving, missing, first_only):
        with pytest.raises(ValueError, match="sum"):
            measure_orders(layer, 20, 8)


def test_an_order_that_takes_too_long_is_refused():
    """Every sum nested into the next one, the first input outermost."""
    tree = 60
    for term in range(59, -1, -1):
        tree = ("sum", term, tree)
    layer = layer_of([tree] * 4)
    with pytest.raises(ValueError, match="too unlike"):
        measure_orders(layer, 60, 4)


def test_too_many_orders_are_refused():
    rng = random.Random(5)
    layer = layer_of([random_tree(range(40), 40, rng) for _ in range(12)])
    with pytest.raises(ValueError, match="too many orders"):
        measure_orders(layer, 40, 12)
