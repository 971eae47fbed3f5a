"""The compiled autoregressive loop: against its definition in plain loops, and every way of running it against the
others, bit for bit."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import scalecodec as sc
from scalecodec import backends
from scalecodec.context import ContextNetwork
from scalecodec.errors import BitstreamError

from .context_kit import BOUND, SCALES, Model, gaussian_table, slow_encode, wavefront

TABLE = gaussian_table()
MODELS = {
    "plain": Model(channels=5, params=7, context=10),
    "odd": Model(channels=19, params=3, context=21, hidden=(70, 33)),
    "wide": Model(channels=16, params=32, context=32, hidden=(131, 64), slopes=(0.0, -0.5)),
    "one layer": Model(channels=3, params=4, context=6, hidden=(), slopes=()),
    "no slopes": Model(channels=4, params=2, context=5, hidden=(3,), slopes=(None,)),
    "no params": Model(channels=4, params=0, context=8, hidden=(9,), slopes=(0.1,)),
    "one channel": Model(channels=1, params=1, context=1, hidden=(1,), slopes=(0.1,)),
    "kernel 3": Model(channels=6, params=5, context=12, kernel=3),
    "kernel 7": Model(channels=4, params=5, context=8, kernel=7),
    "kernel 1": Model(channels=4, params=5, context=8, kernel=1),
}
SIZES = [(1, 1), (1, 9), (9, 1), (2, 2), (3, 17), (6, 5)]


def encode(network, y, params, **how):
    return network.encode(y, params, SCALES, BOUND, TABLE, **how)


def decode(network, strings, params, **how):
    return network.decode(strings, params, SCALES, BOUND, TABLE, **how)


def same_bits(one, other):
    return torch.equal(one.view(torch.int32), other.view(torch.int32))


@pytest.mark.parametrize("name", backends.available())
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_the_definition(model, name):
    network = model.build()
    y, params = model.inputs(2, 4, 5)
    with backends.use(name):
        strings, y_hat = encode(network, y, params)
        waves, _ = encode(network, y, params, order="wavefront")
        assert same_bits(decode(network, strings, params), y_hat)
        assert same_bits(decode(network, waves, params, order="wavefront"), y_hat)
    order = wavefront(model.kernel, 4, 5)
    for item in range(2):
        symbols, indexes, decoded = slow_encode(model, y[item], params[item])
        assert same_bits(y_hat[item], torch.from_numpy(decoded.copy()))
        assert strings[item] == sc.rans64.encode(symbols, indexes, TABLE)
        assert waves[item] == sc.rans64.encode(symbols[order], indexes[order], TABLE)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_all_ways_agree(model, size):
    """Kernel sets, threads, batches and orders."""
    network = model.build()
    y, params = model.inputs(3, *size)
    strings, y_hat = encode(network, y, params)
    waves, _ = encode(network, y, params, order="wavefront")
    for name in backends.available():
        with backends.use(name):
            for threads in (1, 2, 3):
                for order, expected in (("raster", strings), ("wavefront", waves)):
                    again, latents = encode(network, y, params, threads=threads, order=order)
                    assert again == expected
                    assert same_bits(latents, y_hat)
                    assert same_bits(decode(network, expected, params, threads=threads, order=order), y_hat)
    for item in range(3):
        one = slice(item, item + 1)
        again, latents = encode(network, y[one], params[one])
        assert again == strings[one]
        assert same_bits(latents, y_hat[one])
        assert same_bits(decode(network, strings[one], params[one]), y_hat[one])


@pytest.mark.parametrize("shape", [(70, 2, 3), (1, 66, 3), (1, 3, 140), (40, 5, 7)], ids=str)
def test_more_positions_than_a_group_holds(shape):
    model = MODELS["plain"]
    network = model.build()
    y, params = model.inputs(*shape)
    strings, y_hat = encode(network, y, params, threads=2)
    items = [encode(network, y[i : i + 1], params[i : i + 1]) for i in range(len(y))]
    assert strings == [string for (string,), _ in items]
    assert same_bits(y_hat, torch.cat([latents for _, latents in items]))
    assert same_bits(decode(network, strings, params), y_hat)
    waves, _ = encode(network, y, params, order="wavefront")
    assert same_bits(decode(network, waves, params, order="wavefront", threads=2), y_hat)


def test_many_threads_at_once():
    """Teams from several callers share the pool."""
    from concurrent.futures import ThreadPoolExecutor

    model = MODELS["odd"]
    network = model.build()
    y, params = model.inputs(1, 8, 9)
    strings, y_hat = encode(network, y, params)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: encode(network, y, params, threads=4), range(12)))
        latents = list(pool.map(lambda _: decode(network, strings, params, threads=4), range(12)))
    assert all(found == strings and same_bits(hat, y_hat) for found, hat in again)
    assert all(same_bits(hat, y_hat) for hat in latents)


def test_what_is_masked_does_not_count():
    model = MODELS["plain"]
    y, params = model.inputs(1, 4, 5)
    strings, _ = encode(model.build(), y, params)
    weight = model.weight.clone()
    weight[:, :, 2, 2:] = math.nan
    weight[:, :, 3:] = math.inf
    assert encode(ContextNetwork(weight, model.bias, model.layers, model.params), y, params)[0] == strings


def test_no_bias_is_zeros():
    model = MODELS["plain"]
    y, params = model.inputs(1, 4, 5)
    zeros = [(weight, torch.zeros(len(weight)), slope) for weight, _, slope in model.layers]
    nones = [(weight, None, slope) for weight, _, slope in model.layers]
    one = ContextNetwork(model.weight, torch.zeros(model.context), zeros, model.params)
    other = ContextNetwork(model.weight, None, nones, model.params)
    assert encode(one, y, params)[0] == encode(other, y, params)[0]


def test_awkward_tensors():
    """Strided, shared with a graph, and left as they were."""
    model = MODELS["odd"]
    network = model.build()
    y, params = model.inputs(2, 4, 5)
    strings, y_hat = encode(network, y, params)
    before = y.clone()
    last = y.to(memory_format=torch.channels_last), params.to(memory_format=torch.channels_last)
    wide = torch.stack([y, y], -1)[..., 0], params.clone().requires_grad_()
    for latents, given in (last, wide):
        again, hat = encode(network, latents, given)
        assert again == strings
        assert hat.is_contiguous()
        assert not hat.requires_grad
        assert same_bits(decode(network, [bytearray(s) for s in strings], given), y_hat)
    assert torch.equal(y, before)


def test_a_nan_scale_selects_the_last_table():
    """As in CompressAI: the first scale becomes infinity, less infinity."""
    model = Model(channels=2, params=2, context=2, hidden=(), slopes=())
    model.layers[0][0][:, :2] = torch.tensor([[3e38, -3e38], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    network = model.build()
    y = torch.tensor([1.0, -2.0]).view(1, 2, 1, 1)
    params = torch.full((1, 2, 1, 1), 10.0)
    strings, y_hat = encode(network, y, params)
    symbols, indexes, decoded = slow_encode(model, y[0], params[0])
    assert indexes[0, 0, 0] == 63
    assert strings == [sc.rans64.encode(symbols, indexes, TABLE)]
    assert same_bits(y_hat[0], torch.from_numpy(decoded.copy()))
    assert same_bits(decode(network, strings, params), y_hat)


def test_nan_means_decode_to_nan_and_are_refused_by_the_encoder():
    model = MODELS["plain"]
    network = model.build()
    y, params = model.inputs(1, 3, 3)
    strings, _ = encode(network, y, params)
    params[0, 0, 2, 2] = math.nan  # at the last position: all its means and scales
    with pytest.raises(ValueError, match=r"latents must be finite.*\(element \d+\)"):
        encode(network, y, params)
    with pytest.raises(BitstreamError):  # the last table, as CompressAI: other tables than the encoder's
        decode(network, strings, params)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 2.0**31, -(2.0**33), 3e38])
@pytest.mark.parametrize("where", [(0, 0, 0, 0), (1, 4, 3, 4), (1, 2, 1, 0)])
def test_a_latent_without_a_symbol_is_named(bad, where):
    network = MODELS["plain"].build()
    y, params = MODELS["plain"].inputs(2, 4, 5)
    y[where] = bad
    element = int(np.ravel_multi_index(where, y.shape))
    for threads in (1, 2):
        with pytest.raises(ValueError, match=rf"round to int32, got .* \(element {element}\)"):
            encode(network, y, params, threads=threads)


def test_latents_at_the_edge_of_int32():
    model = Model(channels=2, params=1, context=2, hidden=(), slopes=())
    model.layers[0][0][2:] = 0
    model.layers[0][1][2:] = 0  # means are 0
    network = model.build()
    y, params = model.inputs(1, 2, 2)
    y[0, :, 0, 0] = torch.tensor([-(2.0**31), 2.0**31 - 128])
    strings, y_hat = encode(network, y, params)
    assert torch.equal(y_hat, y.round())
    assert same_bits(decode(network, strings, params), y_hat)


@pytest.mark.parametrize("order", ["raster", "wavefront"])
def test_damaged_streams(order):
    model = MODELS["plain"]
    network = model.build()
    y, params = model.inputs(2, 5, 6)
    strings, _ = encode(network, y, params, order=order)
    assert len(strings[1]) > 80
    for size in range(len(strings[1])):
        with pytest.raises(BitstreamError):
            decode(network, [strings[0], strings[1][:size]], params, order=order)
    for longer in (strings[1] + bytes(4), bytes(4) + strings[1], strings[1] * 2):
        with pytest.raises(BitstreamError):
            decode(network, [strings[0], longer], params, order=order)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(200):
        data = np.frombuffer(strings[1], np.uint8).copy()
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        try:
            decode(network, [strings[0], data.tobytes()], params, order=order, threads=2)
        except BitstreamError:
            refused += 1
    assert refused > 190
    for _ in range(100):
        with pytest.raises(BitstreamError):
            decode(network, [strings[0], rng.bytes(4 * rng.integers(2, 60))], params, order=order)


def test_orders_and_params_are_not_mixed_up():
    model = MODELS["plain"]
    network = model.build()
    y, params = model.inputs(1, 6, 7)
    strings, _ = encode(network, y, params)
    for wrong in ({"order": "wavefront"}, {"params": params + 1e-2}):
        with pytest.raises(BitstreamError):
            decode(network, strings, wrong.pop("params", params), **wrong)


MODEL = MODELS["plain"]
GOOD = {"weight": MODEL.weight, "bias": MODEL.bias, "layers": MODEL.layers, "num_params": MODEL.params}
LAST = MODEL.layers[-1]


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"weight": MODEL.weight.double()}, TypeError),
        ({"weight": MODEL.weight.numpy()}, TypeError),
        ({"weight": MODEL.weight.to("meta")}, TypeError),
        ({"weight": MODEL.weight[0]}, ValueError),
        ({"weight": MODEL.weight[..., :4, :4]}, ValueError),
        ({"weight": MODEL.weight[..., :3]}, ValueError),
        ({"weight": MODEL.weight[:0]}, ValueError),
        ({"weight": MODEL.weight[..., :0, :0]}, ValueError),
        ({"weight": torch.full_like(MODEL.weight, math.nan)}, ValueError),
        ({"bias": MODEL.bias[1:]}, ValueError),
        ({"bias": MODEL.bias[None]}, ValueError),
        ({"bias": MODEL.bias / 0}, ValueError),
        ({"layers": []}, ValueError),
        ({"layers": MODEL.layers[:-1]}, ValueError),
        ({"layers": MODEL.layers[1:]}, ValueError),
        ({"layers": [*MODEL.layers[:-1], LAST[:2]]}, TypeError),
        ({"layers": [*MODEL.layers[:-1], (LAST[0], LAST[1][1:], None)]}, ValueError),
        ({"layers": [*MODEL.layers[:-1], (LAST[0] * math.inf, LAST[1], None)]}, ValueError),
        ({"layers": [*MODEL.layers[:-1], (LAST[0], LAST[1], math.nan)]}, ValueError),
        ({"layers": [*MODEL.layers[:-1], (LAST[0], LAST[1], "steep")]}, TypeError),
        ({"num_params": MODEL.params + 1}, ValueError),
        ({"num_params": -1}, ValueError),
        ({"num_params": 7.0}, ValueError),
        ({"num_params": True}, ValueError),
    ],
)
def test_networks_are_checked(wrong, error):
    with pytest.raises(error):
        ContextNetwork(**(GOOD | wrong))


Y, PARAMS = MODEL.inputs(2, 3, 4)
ARGUMENTS = {"params": PARAMS, "scale_table": SCALES, "scale_bound": BOUND, "table": TABLE}


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"params": PARAMS.double()}, TypeError),
        ({"params": PARAMS.numpy()}, TypeError),
        ({"params": PARAMS[0]}, ValueError),
        ({"params": PARAMS[:, 1:]}, ValueError),
        ({"params": PARAMS[:1]}, ValueError),
        ({"params": PARAMS[:0]}, ValueError),
        ({"params": PARAMS[..., :0]}, ValueError),
        ({"scale_table": SCALES.double()}, TypeError),
        ({"scale_table": SCALES[:0]}, ValueError),
        ({"scale_table": SCALES[None]}, ValueError),
        ({"scale_table": SCALES.flip(0)}, ValueError),
        ({"scale_table": SCALES * math.nan}, ValueError),
        ({"scale_table": torch.cat([SCALES, SCALES + 1000])}, ValueError),
        ({"scale_bound": math.nan}, ValueError),
        ({"scale_bound": torch.ones(2)}, ValueError),
        ({"table": None}, TypeError),
        ({"threads": 0}, ValueError),
        ({"threads": 257}, ValueError),
        ({"threads": 1.0}, ValueError),
        ({"order": "columns"}, ValueError),
        ({"order": None}, ValueError),
    ],
)
def test_arguments_are_checked(wrong, error):
    network = MODEL.build()
    strings, _ = network.encode(Y, **ARGUMENTS)
    with pytest.raises(error):
        network.encode(Y, **(ARGUMENTS | wrong))
    with pytest.raises(error):
        network.decode(strings, **(ARGUMENTS | wrong))


def test_latents_and_strings_are_checked():
    network = MODEL.build()
    strings, _ = network.encode(Y, **ARGUMENTS)
    for wrong in (Y[:, 1:], Y[:1], Y[:0], Y[..., 1:], Y[..., 1:, :], Y[0], Y[..., None]):
        with pytest.raises(ValueError, match="y "):
            network.encode(wrong, **ARGUMENTS)
    for wrong in (Y.double(), Y.numpy(), Y.int()):
        with pytest.raises(TypeError):
            network.encode(wrong, **ARGUMENTS)
    for wrong in (strings[:1], [*strings, strings[0]], []):
        with pytest.raises(ValueError, match="one stream"):
            network.decode(wrong, **ARGUMENTS)
    for wrong in ([strings[0], "text"], [strings[0], None]):
        with pytest.raises(TypeError):
            network.decode(wrong, **ARGUMENTS)


@pytest.mark.parametrize("bound", [None, 0.5, torch.tensor([0.5])])
def test_scale_bounds(bound):
    network = MODEL.build()
    strings, y_hat = network.encode(Y, **(ARGUMENTS | {"scale_bound": bound}))
    assert same_bits(network.decode(strings, **(ARGUMENTS | {"scale_bound": bound})), y_hat)
    assert (strings == network.encode(Y, **ARGUMENTS)[0]) == (bound is None)
