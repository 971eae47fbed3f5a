"""Networks in integers: the core against the definition, the conversion against torch, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scalecodec.kernels import integer_conv_ref as ref
from torch import nn

from scalecodec import backends
from scalecodec.cdf import default_scale_table
from scalecodec.gains import GAIN_TABLE
from scalecodec.integer import (
    IntegerNetwork,
    assemble,
    exponents,
    fit,
    from_integers,
    integer_indexes,
    round_weights,
    scale_thresholds,
)
from scalecodec.integer.carried import CARRIER_BITS, CarriedNetwork
from scalecodec.quantize import build_indexes

from .integer_kit import NETWORKS, network, random_layers


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(1, 70), min_size=2, max_size=4),
    st.integers(1, 3),
    st.integers(1, 9),
    st.integers(1, 9),
    st.sampled_from([8, 12, 16]),
)
@settings(max_examples=60, deadline=None)
def test_every_kernel_set_gives_the_definitions_integers(seed, sizes, batch, height, width, weight_bits):
    rng = np.random.default_rng(seed)
    strides = rng.integers(1, 4, len(sizes) - 1).tolist()
    layers = random_layers(seed, sizes, strides, weight_bits)
    net = IntegerNetwork(limit := int(rng.integers(1, 32768)), layers)
    x = rng.integers(-2 * limit, 2 * limit, (batch, sizes[0], height, width)).astype(np.int32)
    wanted = ref.run(limit, layers, x)
    for name, threads in itertools.product(backends.available(), (1, 3)):
        with backends.use(name):
            assert np.array_equal(net.run(torch.from_numpy(x), threads).numpy(), wanted), (name, threads)
    assert max(net.sum_bits) <= CARRIER_BITS
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    carried = CarriedNetwork(limit, layers, device).run(torch.from_numpy(x).to(device))
    assert np.array_equal(carried.cpu().numpy(), wanted)


def test_the_order_of_a_sum_cannot_matter():
    layers = random_layers(3, (48, 32, 16), (2, 1), 16)
    order = np.random.default_rng(0).permutation(48)
    shuffled = [
        layers[0]._replace(
            phases=tuple(p._replace(weight=np.ascontiguousarray(p.weight[..., order])) for p in layers[0].phases)
        ),
        layers[1],
    ]
    x = torch.randint(-30000, 30000, (1, 48, 5, 7), dtype=torch.int32)
    assert torch.equal(IntegerNetwork(32767, layers).run(x), IntegerNetwork(32767, shuffled).run(x[:, order]))


def test_sums_at_the_very_edge_are_right():
    """All weights and inputs at their largest: two products and no more fit int32."""
    ones = np.ones(20, np.int32)
    for sign in (1, -1):
        phase = ref.Phase(
            np.full((20, 3, 3, 9), 32767 * sign, np.int16), (-1, -1), np.zeros(20, np.int64), ones, ones, ones * 8
        )
        layers = [ref.Layer(9, 20, 1, (-(2**31), 2**31 - 1), (phase,))]
        x = torch.full((1, 9, 3, 4), 32767, dtype=torch.int32)
        out = IntegerNetwork(32767, layers).run(x)
        assert out[0, 0, 1, 1].item() == min(2**31 - 1, max(-(2**31), (sign * 81 * 32767**2 + 128) >> 8))
        for name in backends.available():
            with backends.use(name):
                assert np.array_equal(IntegerNetwork(32767, layers).run(x).numpy(), ref.run(32767, layers, x.numpy()))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize(
    ("weight_bits", "activation_bits", "tolerance"), [(16, 16, 2e-4), (12, 16, 2e-3), (8, 8, 5e-2)]
)
def test_the_integer_form_is_near_the_float_one(name, weight_bits, activation_bits, tolerance):
    net = network(name)
    samples = [torch.randn(4, 6, 5, 7) * 5 for _ in range(3)]
    numbers = fit(net, samples, weight_bits=weight_bits, activation_bits=activation_bits)
    form = assemble(net, numbers)
    unit = 2.0**numbers.input_fraction
    x = (samples[0] * unit).round().int()
    with torch.no_grad():
        wanted = net(x / unit)
    found = from_integers(form.run(x))
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < tolerance * wanted.abs().max()


@pytest.mark.parametrize("name", NETWORKS)
def test_rounded_weights_are_the_integers(name):
    net = network(name)
    round_weights(net, 12)
    before = [parameter.clone() for parameter in net.parameters()]
    round_weights(net, 12)
    assert all(map(torch.equal, net.parameters(), before))
    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            by_output = module.weight.transpose(0, 1) if isinstance(module, nn.ConvTranspose2d) else module.weight
            scaled = by_output.double() * 2.0 ** exponents(module, 12).double().view(-1, 1, 1, 1)
            assert torch.equal(scaled, scaled.round())
            assert 1023 < scaled.abs().flatten(1).amax(1).min() <= scaled.abs().max() <= 2047
            assert torch.equal(module.weight, module.weight.half().float())


def test_an_output_without_weights_is_its_bias():
    net = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1))
    with torch.no_grad():
        net[0].weight[1] = 0
        net[0].bias[1] = 0.75
    found = assemble(net, fit(net, [torch.randn(1, 2, 4, 4)])).run(
        torch.randint(-99, 99, (1, 2, 4, 4), dtype=torch.int32)
    )
    assert from_integers(found)[:, 1].unique().tolist() == [0.75]


@pytest.mark.parametrize(
    ("layers", "words"),
    [
        ([nn.Conv2d(2, 2, 3)], "whole number of times as dense"),
        ([nn.Conv2d(2, 2, 3, padding=1, stride=2)], "whole number of times as dense"),
        ([nn.Conv2d(2, 2, 3, padding=1, groups=2)], "no integer form"),
        ([nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect")], "no integer form"),
        ([nn.Conv2d(2, 2, 3, padding="same")], "no integer form"),
        ([nn.ConvTranspose2d(2, 2, 5, 2, 2)], "whole number of times as dense"),
        ([nn.ConvTranspose2d(2, 2, 1, 2, 0, output_padding=1)], "whole number of times as dense"),
        ([nn.ReLU(), nn.Conv2d(2, 2, 1)], "no convolution stands before it"),
        ([nn.Conv2d(2, 2, 1), nn.ReLU(), nn.ReLU()], "no convolution stands before it"),
        ([nn.Conv2d(2, 2, 1), nn.Sigmoid()], "Sigmoid"),
        ([nn.Conv2d(2, 2, 1), nn.Softplus(), nn.Conv2d(2, 2, 1)], "Softplus"),
        ([nn.Conv2d(2, 2, 1), nn.LeakyReLU(-0.5)], "LeakyReLU"),
        ([], "has no convolution"),
    ],
)
def test_networks_without_an_integer_form_are_named(layers, words):
    with pytest.raises(TypeError, match=words):
        fit(nn.Sequential(*layers), [torch.zeros(1, 2, 8, 8)])


@pytest.mark.parametrize(
    ("samples", "bits", "words"),
    [
        ([], (12, 16), "are not finite, or there are none"),
        ([torch.full((1, 6, 2, 2), torch.inf)], (12, 16), "are not finite"),
        ([torch.zeros(1, 6, 2, 2)], (7, 16), "weight_bits must be 8 to 16"),
        ([torch.zeros(1, 6, 2, 2)], (12, 17), "activation_bits must be 8 to 16"),
    ],
)
def test_bad_samples_and_widths_are_refused(samples, bits, words):
    with pytest.raises(ValueError, match=words):
        fit(network("scale"), samples, weight_bits=bits[0], activation_bits=bits[1])


def test_a_form_is_of_its_network():
    net = network("mean-scale")
    numbers = fit(net, [torch.randn(1, 6, 4, 4)])
    with torch.no_grad():
        net[2].bias[3] += 1
    with pytest.raises(ValueError, match="the biases are not those"):
        assemble(net, numbers)
    for bad, words in (
        (numbers._replace(input_fraction=-1), "inputs must be in units of"),
        (numbers._replace(limits=(0, 9, 9)), "limits must lie in"),
        (numbers._replace(layers=numbers.layers[:2]), "numbers of 2 layers for a network of 3"),
    ):
        with pytest.raises(ValueError, match=words):
            assemble(network("mean-scale"), bad)


def test_small_weights_beside_a_large_bias_have_a_form_too():
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.ReLU(), nn.Conv2d(3, 2, 1))
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.fill_(-1)
        net[2].weight.fill_(1e-4)
        net[2].bias.fill_(2)
    found = from_integers(assemble(net, fit(net, [torch.randn(1, 2, 4, 4)])).run(torch.zeros(1, 2, 3, 3).int()))
    assert found.unique().tolist() == [2.0]
    with pytest.raises(ValueError, match="symbols would share integers"):
        fit(net, [torch.full((1, 2, 4, 4), 1e6)])


@dataclass(frozen=True)
class Change:
    """Of one phase's numbers at output 3."""

    field: str
    value: int
    words: str


@pytest.mark.parametrize(
    "change",
    [
        Change("bias", 2**46 + 1, "layer 0 has a bias, multiplier or shift out of range at output 3"),
        Change("bias", -(2**63), "out of range at output 3"),
        Change("multiplier", -1, "out of range at output 3"),
        Change("multiplier", 2**16 + 1, "out of range at output 3"),
        Change("negative", 2**16 + 1, "out of range at output 3"),
        Change("shift", -1, "out of range at output 3"),
        Change("shift", 63, "out of range at output 3"),
    ],
)
def test_numbers_that_could_overflow_are_refused(change):
    layers = random_layers(0, (5, 7), (1,), 8)
    array = getattr(layers[0].phases[0], change.field).copy()
    array[3] = change.value
    bad = [layers[0]._replace(phases=(layers[0].phases[0]._replace(**{change.field: array}),))]
    with pytest.raises(ValueError, match=change.words):
        IntegerNetwork(32767, bad)


def test_one_weight_beyond_the_bound_is_refused():
    """Each weight fits, and each product; what all of them could come to, times the multiplier, must as well."""
    weight = np.full((1, 64, 64, 32), 32767, np.int16)
    weight[0, 5, 6, 7] = 32766
    room = (2**63 - 1) // 2**16 - int(weight.astype(np.int64).sum()) * 32767
    multiplier, zero = np.full(1, 2**16, np.int32), np.zeros(1, np.int32)

    def network_of(bias: int, changed: int = 32766) -> IntegerNetwork:
        mutated = weight.copy()
        mutated[0, 5, 6, 7] = changed
        phase = ref.Phase(mutated, (0, 0), np.array([bias], np.int64), multiplier, zero, zero)
        return IntegerNetwork(32767, [ref.Layer(32, 1, 1, (-9, 9), (phase,))])

    assert network_of(room).sum_bits == [48]
    for bias, changed in ((room + 1, 32766), (-room - 1, 32766), (room, 32767), (room, -32767)):
        with pytest.raises(ValueError, match="layer 0 could overflow at output 0"):
            network_of(bias, changed)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: IntegerNetwork(0, random_layers(0, (2, 2), (1,), 8)), "inputs must fit int16"),
        (lambda: IntegerNetwork(32768, random_layers(0, (2, 2), (1,), 8)), "inputs must fit int16"),
        (lambda: IntegerNetwork(9, []), "at least one layer"),
        (
            lambda: IntegerNetwork(9, [*random_layers(0, (2, 3), (1,), 8), *random_layers(0, (3, 2), (1,), 8)]),
            "layer 0 must clamp to what int16 holds",
        ),
        (
            lambda: IntegerNetwork(
                9, [*random_layers(0, (2, 3, 4), (1, 1), 8)[:1], *random_layers(0, (2, 2), (1,), 8)]
            ),
            "layer 1 takes other channels",
        ),
        (
            lambda: IntegerNetwork(9, [random_layers(0, (2, 3), (2,), 8)[0]._replace(stride=3)]),
            "stride \\* stride phases",
        ),
        (
            lambda: IntegerNetwork(9, [random_layers(0, (2, 3), (1,), 8)[0]._replace(stride=2**32, phases=())]),
            "stride \\* stride phases",
        ),
        (
            lambda: IntegerNetwork(9, random_layers(0, (1, 1, 1, 1), (5, 4, 4), 8)),
            "layer 2 makes outputs more than 64 times as dense",
        ),
        (
            lambda: IntegerNetwork(
                9,
                [
                    layer._replace(phases=tuple(phase._replace(start=(-(2**63), 0)) for phase in layer.phases))
                    for layer in random_layers(0, (1, 1), (1,), 8)
                ],
            ),
            "and begin so near",
        ),
    ],
)
def test_layers_that_make_no_network_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_table_stands_for_the_end():
    layers = random_layers(0, (2, 3), (1,), 8)
    with pytest.raises(ValueError, match="a number for each int16"):
        IntegerNetwork(9, layers, torch.zeros(2**16, dtype=torch.int32))
    narrow = [layers[0]._replace(limits=(-32768, 32767))]
    with pytest.raises(ValueError, match="a number for each int16"):
        IntegerNetwork(9, narrow, torch.zeros(9, dtype=torch.int32))
    table = torch.arange(2**16, dtype=torch.int32).flip(0)
    x = torch.randint(-9, 9, (1, 2, 4, 5), dtype=torch.int32)
    plain, looked_up = IntegerNetwork(9, narrow), IntegerNetwork(9, narrow, table)
    assert torch.equal(looked_up.run(x), 2**15 - 1 - plain.run(x))
    assert plain.id != looked_up.id != IntegerNetwork(9, narrow, table + 1).id


def test_inputs_are_checked():
    net = IntegerNetwork(9, random_layers(0, (2, 3), (1,), 8))
    for x in (
        torch.zeros(1, 2, 3, 3),
        torch.zeros(1, 3, 3, 3, dtype=torch.int32),
        torch.zeros(2, 3, 3, dtype=torch.int32),
    ):
        with pytest.raises(ValueError, match=r"x must be int32 \[B, 2, H, W\]"):
            net.run(x)
    assert net.run(torch.zeros(0, 2, 3, 3, dtype=torch.int32)).shape == (0, 3, 3, 3)
    assert net.run(torch.zeros(1, 2, 0, 3, dtype=torch.int32)).shape == (1, 3, 0, 3)


def test_ids_tell_networks_apart():
    layers = random_layers(0, (4, 5), (1,), 8)
    ids = {IntegerNetwork(9, layers).id, IntegerNetwork(8, layers).id}
    phase = layers[0].phases[0]
    for field in ("weight", "bias", "multiplier", "negative", "shift"):
        array = getattr(phase, field).copy()
        array.flat[-1] += 1
        ids.add(IntegerNetwork(9, [layers[0]._replace(phases=(phase._replace(**{field: array}),))]).id)
    ids.add(IntegerNetwork(9, [layers[0]._replace(phases=(phase._replace(start=(0, 1)),))]).id)
    ids.add(IntegerNetwork(9, [layers[0]._replace(limits=(-5, 5))]).id)
    assert len(ids) == 9
    assert IntegerNetwork(9, layers).id in ids


@given(
    st.integers(0, 255),
    st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=200),
    st.sampled_from([0.0, 0.11, 3.0]),
)
@settings(max_examples=60, deadline=None)
def test_indexes_are_exact(gain_index, values, bound):
    table, gain = default_scale_table().tolist(), GAIN_TABLE[gain_index]
    thresholds = scale_thresholds(table, bound, gain)
    edges = [value + more for value in thresholds.tolist() for more in (0, 1)]  # both sides of every step
    scales = torch.tensor([v for v in values + edges if abs(v) <= 2**30], dtype=torch.int32)
    floor = Fraction(np.float32(bound).item())
    wanted = [
        sum(max(Fraction(scale, 2**16) * Fraction(gain), floor) > Fraction(step) for step in table[:-1])
        for scale in scales.tolist()
    ]
    for name in backends.available():
        with backends.use(name):
            assert integer_indexes(scales, thresholds).tolist() == wanted
    floats = from_integers(scales)

    def near(factor: float) -> torch.Tensor:
        """By floats."""
        return build_indexes(floats * factor, torch.tensor(table), gain=gain, scale_bound=bound)

    away = near(1 + 1e-5) == near(1 - 1e-5)
    assert torch.equal(near(1)[away].int(), torch.tensor(wanted, dtype=torch.int32)[away])


def test_indexes_take_integers_only():
    thresholds = scale_thresholds([0.1, 0.2], 0.0, 1.0)
    with pytest.raises(TypeError, match="must be int32"):
        integer_indexes(torch.zeros(3), thresholds)
    with pytest.raises(ValueError, match="at most 255"):
        integer_indexes(torch.zeros(3, dtype=torch.int32), torch.zeros(256, dtype=torch.int32))
    assert integer_indexes(torch.zeros(2, 0, dtype=torch.int32), thresholds).shape == (2, 0)
    assert integer_indexes(torch.ones(2, 3, dtype=torch.int32) * 2**20, thresholds).tolist() == [[1] * 3] * 2
