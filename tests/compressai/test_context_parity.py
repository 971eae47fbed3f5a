"""The compiled autoregressive loop against CompressAI's own, with random weights and latents like those of a picture.

In the order of torch's sums, measured here, they are the same, byte for byte; in our own order all but the last bits.
"""

from __future__ import annotations

import math
import warnings

import pytest
import torch
import torch.nn.functional as F

import scalecodec as sc
from scalecodec.context import ContextNetwork
from scalecodec.errors import BitstreamError
from scalecodec.sums import SumOrder

context_networks, stock_loop, torch_sums = (
    pytest.importorskip(f"scalecodec.compressai.{name}") for name in ("context_networks", "stock_loop", "torch_sums")
)

HEIGHT, WIDTH = 6, 7
SEEDS = range(5)
KINDS = {"mbt2018": (16, 24), "cheng2020-anchor": (30,), "cheng2020-attn": (18,)}


@pytest.fixture
def torch_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def make_model(compressai, kind, sizes, seed):
    """Scales from 0.05 to 20 and means of a few steps, as `entropy_parameters` gives them in a trained model."""
    from compressai import models

    names = {
        "mbt2018": "JointAutoregressiveHierarchicalPriors",
        "cheng2020-anchor": "Cheng2020Anchor",
        "cheng2020-attn": "Cheng2020Attention",
    }
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(models, names[kind])(*sizes).eval()
    last = model.entropy_parameters[-1]
    with torch.no_grad():
        scale = torch.exp(torch.empty(model.M).uniform_(math.log(0.05), math.log(20)))
        last.bias[: model.M] = scale
        last.weight[: model.M] *= scale[:, None, None, None]
        last.weight[model.M :] *= 10
    model.update(force=True)
    return model


def like_torch(codec):
    network, is_torchs = context_networks.PackedNetwork().of(codec.context_prediction, codec.entropy_parameters, True)
    assert is_torchs
    return network


def in_our_order(model):
    layers = []
    modules = list(model.entropy_parameters)
    for module, behind in zip(modules, [*modules[1:], None], strict=True):
        if isinstance(module, torch.nn.Conv2d):
            slope = getattr(behind, "negative_slope", None)
            layers.append((module.weight[:, :, 0, 0], module.bias, slope))
    convolution = model.context_prediction
    return ContextNetwork(convolution.weight, convolution.bias, layers, layers[0][0].shape[1] - 2 * model.M)


def entropy_of(model):
    gaussian = model.gaussian_conditional
    table = sc.CdfTable.from_cdf(gaussian.quantized_cdf, gaussian.cdf_length, gaussian.offset)
    return {
        "scale_table": gaussian.scale_table,
        "scale_bound": gaussian.lower_bound_scale.bound,
        "table": table,
    }


def make_latents(model, seed, batch=1):
    """Each channel of the size of its scales."""
    noise = torch.Generator().manual_seed(seed)
    size = model.entropy_parameters[-1].bias[: model.M].detach()[:, None, None]
    y = torch.randn(batch, model.M, HEIGHT, WIDTH, generator=noise) * size
    return y, torch.randn(batch, 2 * model.M, HEIGHT, WIDTH, generator=noise)


def stock_encode(model, y, params):
    padded = F.pad(y, (2, 2, 2, 2))
    with torch.no_grad():
        data = model._compress_ar(padded, params, HEIGHT, WIDTH, 5, 2)
    return data, padded[:, :, 2:-2, 2:-2]


def stock_decode(model, data, params):
    padded = torch.zeros(1, model.M, HEIGHT + 4, WIDTH + 4)
    with torch.no_grad():
        model._decompress_ar(data, padded, params, HEIGHT, WIDTH, 5, 2)
    return padded[:, :, 2:-2, 2:-2]


@pytest.fixture(params=KINDS, scope="module")
def cases(request, compressai):
    """Of one kind of model: (model, entropy, y, params) for each seed."""
    found = []
    for seed in SEEDS:
        model = make_model(compressai, request.param, KINDS[request.param], seed)
        found.append((model, entropy_of(model), *make_latents(model, seed)))
    return found


@pytest.mark.parametrize("threads", [1, 2])
def test_streams_are_compressais(cases, threads, torch_threads):
    torch_threads(threads)
    for model, entropy, y, params in cases:
        network = like_torch(model)
        stock, stock_hat = stock_encode(model, y, params)
        (ours,), y_hat = network.encode(y, params, **entropy)
        assert ours == stock
        assert torch.equal(y_hat, stock_hat)
        assert torch.equal(network.decode([stock], params, **entropy), stock_hat)


def test_distributions_are_torchs(cases):
    """Every scale and mean, bit for bit, one position after the other."""
    for model, _, y, params in cases:
        padded = F.pad(y, (2, 2, 2, 2))
        found = torch.cat(like_torch(model).predict(y, params), 1)
        weight = model.context_prediction.weight * model.context_prediction.mask
        with torch.no_grad():
            for h in range(HEIGHT):
                for w in range(WIDTH):
                    context = F.conv2d(padded[:, :, h : h + 5, w : w + 5], weight, model.context_prediction.bias)
                    at = params[:, :, h : h + 1, w : w + 1]
                    wanted = model.entropy_parameters(torch.cat([at, context], 1))
                    assert torch.equal(wanted[..., 0, 0], found[:, :, h, w])


def test_distributions_in_our_order_are_nearly_torchs(cases):
    for model, _, y, params in cases:
        found, ours = (network.predict(y, params) for network in (like_torch(model), in_our_order(model)))
        assert not torch.equal(torch.cat(found), torch.cat(ours))
        torch.testing.assert_close(ours, found, rtol=1e-4, atol=1e-4)
        assert float(found[0].min()) < 0.11 < 8 < float(found[0].max())


def test_raster_scan_latent_codec(compressai):
    """CompressAI's own class for the loop, in a batch, whose items are lists of one stream each where it compresses."""
    from compressai.latent_codecs import RasterScanLatentCodec

    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)
    codec = RasterScanLatentCodec(model.gaussian_conditional, model.entropy_parameters, model.context_prediction)
    y, params = make_latents(model, 3, 3)
    strings, y_hat = like_torch(codec).encode(y, params, threads=2, **entropy_of(model))
    with torch.no_grad():
        stock = codec.compress(y, params)
        decoded = codec.decompress([strings], stock["shape"], params)["y_hat"]
    assert stock["strings"] == [[string] for string in strings]
    assert torch.equal(decoded, y_hat)
    assert torch.equal(stock["y_hat"], y_hat)


@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_other_kernels(compressai, kernel):
    """A kernel of one tap sees nothing that is decoded already."""
    from compressai.latent_codecs import RasterScanLatentCodec
    from compressai.layers import MaskedConv2d

    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)
    context = MaskedConv2d(model.M, 2 * model.M, kernel_size=kernel, padding=kernel // 2)
    codec = RasterScanLatentCodec(model.gaussian_conditional, model.entropy_parameters, context)
    y, params = make_latents(model, 4, 1)
    strings, y_hat = like_torch(codec).encode(y, params, **entropy_of(model))
    with torch.no_grad():
        stock = codec.compress(y, params)
    assert [strings] == stock["strings"]
    assert torch.equal(stock["y_hat"], y_hat)


@pytest.mark.parametrize("seed", range(3))
def test_whole_models(compressai, seed):
    """A model's own streams, taken apart and put together with the compiled loop in between."""
    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], seed)
    with torch.no_grad():
        stock = model.compress(torch.rand(1, 3, 64, 128))
        params = model.h_s(model.entropy_bottleneck.decompress(stock["strings"][1], stock["shape"]))
        y_hat = like_torch(model).decode(stock["strings"][0], params, **entropy_of(model))
        assert torch.equal(model.g_s(y_hat).clamp_(0, 1), model.decompress(**stock)["x_hat"])


def test_weights_at_odd_addresses(compressai):
    """Some kernels sum up otherwise where weights lie otherwise; as a file's own memory may have them."""
    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 1)
    for offset, layer in enumerate(layer for layer in model.entropy_parameters if hasattr(layer, "weight")):
        memory = torch.zeros(layer.weight.numel() + 64)
        moved = memory[offset + 1 : offset + 1 + layer.weight.numel()].view_as(layer.weight)
        layer.weight = torch.nn.Parameter(moved.copy_(layer.weight.detach()))
    y, params = make_latents(model, 1)
    (ours,), _ = like_torch(model).encode(y, params, **entropy_of(model))
    assert ours == stock_encode(model, y, params)[0]


def test_an_order_that_cannot_be_found(compressai, monkeypatch):
    """Torch's own loop encodes then; the compiled one decodes what it can."""
    model = make_model(compressai, "cheng2020-anchor", KINDS["cheng2020-anchor"], 0)
    x = torch.rand(2, 3, 64, 128)
    with torch.no_grad():
        stock = model.compress(x)
        right = model.decompress(**stock)["x_hat"]
    monkeypatch.setattr(context_networks, "orders_of", lambda *networks: None)
    sc.compressai.accelerate(model)
    with pytest.warns(UserWarning, match="own loop encodes"):
        coded = model.compress(x)
    assert coded["strings"] == stock["strings"]
    torch.testing.assert_close(model.decompress(**coded)["x_hat"], right, rtol=1e-4, atol=1e-4)


def test_torchs_own_loop_refuses_what_is_no_latent(compressai):
    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)
    y, params = make_latents(model, 0)
    for wrong in (math.nan, -math.inf, 2.0**31, 1e30):
        y[0, 3, 2, 1] = wrong
        with pytest.raises(ValueError, match=r"row 2, column 1"):
            stock_loop.encode_as_stock(model, y, params, entropy_of(model)["table"])


@pytest.mark.parametrize("where", range(3))
def test_an_order_that_does_not_hold_is_not_used(compressai, monkeypatch, where):
    """One layer measured wrong, the last with what no other layer hides."""
    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)

    def wrong(*networks):
        orders = torch_sums.orders_of(*networks)
        order = orders[where + 1][0]
        orders[where + 1] = [SumOrder(order.outputs, order.inputs[::-1], order.steps), *orders[where + 1][1:]]
        return orders

    monkeypatch.setattr(context_networks, "orders_of", wrong)
    _, is_torchs = context_networks.PackedNetwork().of(model.context_prediction, model.entropy_parameters, True)
    assert not is_torchs


def test_a_stream_of_other_floats_is_refused(compressai):
    """Where a difference did matter, the end check tells."""
    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)
    network, entropy = in_our_order(model), entropy_of(model)
    y, params = make_latents(model, 0)
    strings, _ = network.encode(y, params, **entropy)
    with pytest.raises(BitstreamError):
        network.decode(strings, params * 1.1, **entropy)
