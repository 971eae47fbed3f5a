"""Context networks that add up in given orders, and the orders that the door refuses."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

import scalecodec as sc
from scalecodec import backends
from scalecodec.context import ContextNetwork
from scalecodec.sums import SumOrder, measure_orders

from .context_kit import BOUND, SCALES, Model, activated, gaussian_table
from .sums_kit import by_steps, layer_of, random_tree

MODELS = [
    Model(channels=5, params=7, context=10),
    Model(channels=6, params=0, context=9, kernel=3, hidden=(70,), slopes=(0.1,)),
    Model(channels=4, params=9, context=6, hidden=(), slopes=()),
]


def random_orders(model: Model, seed: int) -> list[list[SumOrder]]:
    """For each layer those of two random trees, of which every third output has the second."""
    rng = random.Random(seed)
    sizes = [(model.kernel**2 // 2 * model.channels, model.context)]
    sizes += [(matrix.shape[1], len(matrix)) for matrix, _, _ in model.layers]
    all_orders = []
    for num_inputs, num_outputs in sizes:
        trees = [random_tree(range(num_inputs), num_inputs, rng) for _ in range(2)]
        layer = layer_of([trees[o % 3 == 2] for o in range(num_outputs)])
        all_orders.append(measure_orders(layer, num_inputs, num_outputs))
    return all_orders


def layer_sums(orders, weight, bias, inputs):
    outputs = np.empty(len(weight), np.float32)
    for order in orders:
        outputs[order.outputs] = by_steps(order, weight[order.outputs], bias[order.outputs], inputs)
    return outputs


def slow_predict(model, orders, y_hat, params):
    """Scales and means of one item, [2 * channels, H, W]."""
    pad = model.kernel // 2
    padded = np.pad(y_hat, ((0, 0), (pad, pad), (pad, pad)))
    before = model.kernel**2 // 2
    taps = model.weight.numpy().reshape(model.context, model.channels, -1)[:, :, :before]
    weight = taps.transpose(0, 2, 1).reshape(model.context, -1)
    out = np.empty((2 * model.channels, *y_hat.shape[1:]), np.float32)
    for h, w in np.ndindex(*y_hat.shape[1:]):
        crop = padded[:, h : h + model.kernel, w : w + model.kernel].reshape(model.channels, -1)[:, :before]
        context = layer_sums(orders[0], weight, model.bias.numpy(), crop.T.ravel())
        values = np.concatenate([params[:, h, w], context])
        for own, (matrix, bias, slope) in zip(orders[1:], model.layers, strict=True):
            values = activated(layer_sums(own, matrix.numpy(), bias.numpy(), values), slope)
        out[:, h, w] = values
    return out


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("model", MODELS)
def test_given_orders_are_kept(model, seed):
    orders = random_orders(model, seed)
    network = ContextNetwork(model.weight, model.bias, model.layers, model.params, orders)
    y, params = model.inputs(2, 3, 4)
    for name in backends.available():
        with backends.use(name):
            both = torch.cat(network.predict(y, params), 1).numpy()
            for item in range(2):
                assert (both[item] == slow_predict(model, orders, y[item].numpy(), params[item].numpy())).all()


@pytest.mark.parametrize("model", MODELS)
def test_orders_hold_in_both_directions(model):
    network = ContextNetwork(model.weight, model.bias, model.layers, model.params, random_orders(model, 9))
    y, params = model.inputs(3, 5, 6)
    arguments = (params, SCALES, BOUND, gaussian_table())
    for order in ("raster", "wavefront"):
        strings, y_hat = network.encode(y, *arguments, order=order, threads=2)
        assert torch.equal(network.decode(strings, *arguments, order=order), y_hat)
        # What was coded is what the network says of the decoded latents.
        scales, means = network.predict(y_hat, params)
        symbols = torch.round(y - means)
        assert torch.equal(symbols + means, y_hat)
        if order == "raster":
            indexes = torch.bucketize(scales.clamp(min=BOUND), SCALES[:-1])
            turned = [values.permute(0, 2, 3, 1).int() for values in (symbols, indexes)]
            assert sc.rans64.encode_batch(list(turned[0]), list(turned[1]), arguments[-1]) == strings


def test_predict_checks_its_arguments():
    model = MODELS[0]
    network = model.build()
    y, params = model.inputs(2, 3, 4)
    for wrong in ((y[:, 1:], params), (y, params[:, 1:]), (y[:1], params), (y[:0], params[:0]), (y[..., 1:], params)):
        with pytest.raises(ValueError, match="latents"):
            network.predict(*wrong)
    for wrong in ((y.double(), params), (y, params.numpy())):
        with pytest.raises(TypeError):
            network.predict(*wrong)
    with pytest.raises(ValueError, match="threads"):
        network.predict(y, params, threads=0)


INPUTS = [0, 1, 2]
GOOD = [[0, 0, 2, 1], [0, 1, 1, 0], [2, 0, 1, 0], [3, 0, 0, 0]]
OUTPUTS = [0, 1]


@pytest.mark.parametrize(
    ("outputs", "inputs", "steps"),
    [
        ([0], INPUTS, GOOD),  # an output without a sum
        ([0, 1, 1], INPUTS, GOOD),
        ([0, 2], INPUTS, GOOD),
        ([0, -1], INPUTS, GOOD),
        ([], INPUTS, GOOD),
        (OUTPUTS, [0, 1], GOOD),
        (OUTPUTS, [0, 1, 1], GOOD),
        (OUTPUTS, [0, 1, 3], GOOD),
        (OUTPUTS, [0, 1, -1], GOOD),
        (OUTPUTS, INPUTS, []),
        (OUTPUTS, INPUTS, GOOD[:3]),  # no bias
        (OUTPUTS, INPUTS, [*GOOD, GOOD[3]]),  # two
        (OUTPUTS, INPUTS, [*GOOD, GOOD[2]]),  # slot 1 is taken
        (OUTPUTS, INPUTS, [*GOOD, [1, 1, 0, 1]]),
        (OUTPUTS, INPUTS, [*GOOD, [0, 0, 0, 1]]),  # started twice
        (OUTPUTS, INPUTS, [*GOOD, [0, 2, 0, 1]]),  # left over
        (OUTPUTS, INPUTS, [GOOD[0], GOOD[1], GOOD[3]]),
        (OUTPUTS, INPUTS, [GOOD[0], GOOD[1], [2, 1, 0, 0], [3, 1, 0, 0]]),  # ends in slot 1
        (OUTPUTS, INPUTS, [GOOD[0], GOOD[1], [2, 0, 0, 0], GOOD[3]]),
        (OUTPUTS, INPUTS, [[1, 0, 2, 1], *GOOD[1:]]),  # goes on from nothing
        (OUTPUTS, INPUTS, [[0, 0, 3, 1], *GOOD[1:]]),  # more inputs than there are
        (OUTPUTS, INPUTS, [[0, 0, 1, 1], *GOOD[1:]]),
        (OUTPUTS, INPUTS, [[0, 0, -2, 1], *GOOD[1:]]),
        (OUTPUTS, INPUTS, [[7, 0, 2, 1], *GOOD[1:]]),
        (OUTPUTS, INPUTS, [[-1, 0, 2, 1], *GOOD[1:]]),
        (OUTPUTS, INPUTS, [[0, 2**31 - 1, 2, 1], *GOOD[1:]]),
    ],
)
def test_wrong_orders_are_refused(outputs, inputs, steps):
    model = Model(channels=1, params=2, context=1, kernel=1, hidden=(), slopes=())
    context = SumOrder(np.array([0]), np.array([]), np.array([[0, 0, 0, 1], [3, 0, 0, 0]]))

    def build(*layer):
        arrays = [np.array(value, np.int32) for value in layer]
        arrays[2] = arrays[2].reshape(-1, 4)
        return ContextNetwork(model.weight, None, model.layers, model.params, [[context], [SumOrder(*arrays)]])

    build(OUTPUTS, INPUTS, GOOD)
    with pytest.raises(ValueError, match=r"sum|slot|step|run"):
        build(outputs, inputs, steps)


def test_too_many_slots_at_a_time_are_refused():
    model = Model(channels=1, params=199, context=1, kernel=1, hidden=(), slopes=())
    context = SumOrder(np.array([0]), np.array([]), np.array([[0, 0, 0, 1], [3, 0, 0, 0]]))
    starts = [[0, slot, 1, 1] for slot in range(200)]
    steps = np.array([*starts, *([2, 0, slot, 0] for slot in range(1, 200)), [3, 0, 0, 0]])
    order = SumOrder(np.arange(2), np.arange(200), steps)
    with pytest.raises(ValueError, match="so many slots"):
        ContextNetwork(model.weight, None, model.layers, model.params, [[context], [order]])
    with pytest.raises(ValueError, match="each layer"):
        ContextNetwork(model.weight, None, model.layers, model.params, [[context]])
