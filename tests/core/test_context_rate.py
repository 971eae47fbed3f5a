"""Rates of context networks: gain, shift and offsets by their formulas, and what the door refuses."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from scalecodec.context_rate import ContextRate, OffsetNetwork
from scalecodec.sums import measure_orders

from .context_kit import BOUND, SCALES, Model, gaussian_table

MODEL = Model(channels=6, params=4, context=8)
NETWORK = MODEL.build()
TABLE = gaussian_table()


def offset_layers(hidden=5, seed=0):
    noise = torch.Generator().manual_seed(seed)
    sizes = [(2, hidden), (hidden, hidden), (hidden, 1)]
    return [(torch.randn(n, m, generator=noise) / 3, torch.randn(n, generator=noise) / 9) for m, n in sizes]


def by_torch(layers, scales, gain):
    values = torch.stack([scales, torch.full_like(scales, gain)], 1)
    for place, (weight, bias) in enumerate(layers):
        values = F.linear(values, weight, bias)
        values = F.relu(values) if place + 1 < len(layers) else values
    return values[:, 0]


def test_an_offset_network_is_its_layers():
    layers = offset_layers()
    network = OffsetNetwork(layers, [0] * 6)
    scales = torch.rand(6) * 4
    assert torch.allclose(network(scales, 0.3), by_torch(layers, scales, 0.3), atol=1e-6)


def test_channels_may_add_up_in_orders_of_their_own():
    layers = offset_layers(hidden=9)

    def backwards(weight, bias, inputs):
        total = torch.zeros(len(weight))
        for i in range(len(inputs) - 1, -1, -1):
            total = total + weight[:, i] * inputs[i]
        return total + bias

    sums = [[measure_orders(order, weight.shape[1], len(weight)) for order in (backwards,)] for weight, _ in layers]
    one, other = OffsetNetwork(layers, [0] * 400, sums), OffsetNetwork(layers, [0] * 400)
    scales = torch.rand(400) * 4
    wanted = []
    for scale in scales:
        values = torch.stack([scale, torch.tensor(0.3)])
        for place, (weight, bias) in enumerate(layers):
            values = backwards(weight, bias, values)
            values = F.relu(values) if place + 1 < len(layers) else values
        wanted.append(values[0])
    assert torch.equal(one(scales, 0.3), torch.stack(wanted))
    assert not torch.equal(one(scales, 0.3), other(scales, 0.3))


@pytest.mark.parametrize("order", ["raster", "wavefront"])
@pytest.mark.parametrize("gain", [0.1, 0.7, 1.0, 3.0])
def test_latents_follow_the_formula(gain, order):
    """arXiv:2402.18930, section 3: sign(q) (|q| - offset) / gain + mean, and zeros stay where they are."""
    layers = offset_layers()
    rate = ContextRate(gain, torch.linspace(-1, 1, MODEL.context), OffsetNetwork(layers, [0] * MODEL.channels))
    y, params = MODEL.inputs(2, 5, 6)
    strings, y_hat = NETWORK.encode(y, params, SCALES, BOUND, TABLE, order=order, rate=rate, threads=2)
    assert torch.equal(NETWORK.decode(strings, params, SCALES, BOUND, TABLE, order=order, rate=rate), y_hat)
    scales, means = NETWORK.predict(y_hat, params, rate=rate)
    symbols = torch.round((y - means) * gain)
    scaled = (scales * gain).clamp(min=BOUND).permute(0, 2, 3, 1).reshape(-1)
    offsets = by_torch(layers, scaled, gain).view(2, 5, 6, -1).permute(0, 3, 1, 2)
    wanted = torch.sign(symbols) * (symbols.abs() - offsets) / gain + means
    torch.testing.assert_close(y_hat, torch.where(symbols == 0, means, wanted), rtol=1e-5, atol=1e-5)
    assert 0 < float((symbols == 0).float().mean()) < 1


def test_a_rate_is_part_of_the_stream_s_meaning():
    y, params = MODEL.inputs(1, 4, 4)
    rates = [ContextRate(), ContextRate(0.5), ContextRate(1.0, torch.full((MODEL.context,), 0.5))]
    strings = [NETWORK.encode(y, params, SCALES, BOUND, TABLE, rate=rate)[0] for rate in rates]
    assert len({string for (string,) in strings}) == len(rates)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"gain": 0.0}, ValueError),
        ({"gain": -1.0}, ValueError),
        ({"gain": math.inf}, ValueError),
        ({"gain": math.nan}, ValueError),
        ({"gain": 1e39}, ValueError),  # none in float32
        ({"gain": "one"}, TypeError),
        ({"shift": torch.zeros(MODEL.context - 1)}, ValueError),
        ({"shift": torch.zeros(MODEL.context, 1)}, ValueError),
        ({"shift": torch.full((MODEL.context,), math.nan)}, ValueError),
        ({"shift": torch.zeros(MODEL.context).double()}, TypeError),
        ({"shift": [0.0] * MODEL.context}, TypeError),
        ({"offsets": OffsetNetwork(offset_layers(), [0] * 5)}, ValueError),
        ({"offsets": offset_layers()}, TypeError),
    ],
)
def test_rates_are_checked(change, error):
    y, params = MODEL.inputs(1, 2, 2)
    with pytest.raises(error):
        NETWORK.encode(y, params, SCALES, BOUND, TABLE, rate=ContextRate(**change))


def test_offset_networks_are_checked():
    good = offset_layers()
    weight, bias = good[1]
    for wrong in ([], good[1:], good[:1], good[:2], [good[0], (weight[:, 1:], bias), good[2]]):
        with pytest.raises(ValueError, match=r"layer|output"):
            OffsetNetwork(wrong, [0] * 6)
    for wrong in ((weight[0], bias), (weight, bias[1:]), (weight, bias[None]), (weight[:0], bias[:0])):
        with pytest.raises(ValueError, match="weight"):
            OffsetNetwork([good[0], wrong, good[2]], [0] * 6)
    for wrong in ((weight.double(), bias), (weight, bias.numpy()), (weight, None)):
        with pytest.raises(TypeError):
            OffsetNetwork([good[0], wrong, good[2]], [0] * 6)
    with pytest.raises(ValueError, match="finite"):
        OffsetNetwork([good[0], (weight / 0, bias), good[2]], [0] * 6)
    for kinds in ([1] * 6, [-1] * 6):
        with pytest.raises(ValueError, match="kinds"):
            OffsetNetwork(good, kinds)
    for scales in (torch.ones(5), torch.ones(6, 1)):
        with pytest.raises(ValueError, match="num_channels"):
            OffsetNetwork(good, [0] * 6)(scales, 1.0)
