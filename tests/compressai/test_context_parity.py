"""The compiled autoregressive loop against CompressAI's own, with random weights and latents like those of a picture.

Both compute in float32, in other orders: so a latent or a scale that lies within their difference (1e-6 or so) of a
threshold gets another symbol or index, about one element of a million. Two streams differ from there on, and neither
decodes with the other's floats. The tests count how often that is.
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

HEIGHT, WIDTH = 6, 7
SEEDS = range(5)
KINDS = {"mbt2018": (16, 24), "cheng2020-anchor": (30,), "cheng2020-attn": (18,)}


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


def compile_context(model):
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


def stock_symbols(model, y, y_hat, params):
    """What stock modules make of decoded latents, all positions at once: symbols and indexes."""
    with torch.no_grad():
        context = model.context_prediction(y_hat)
        scales, means = model.entropy_parameters(torch.cat([params, context], 1)).chunk(2, 1)
        return torch.round(y - means), model.gaussian_conditional.build_indexes(scales), scales, means


@pytest.fixture(params=KINDS, scope="module")
def cases(request, compressai):
    """Of one kind of model: (model, network, entropy, y, params) for each seed."""
    found = []
    for seed in SEEDS:
        model = make_model(compressai, request.param, KINDS[request.param], seed)
        found.append((model, compile_context(model), entropy_of(model), *make_latents(model, seed)))
    return found


def test_streams_are_compressais_in_most_cases(cases):
    equal = 0
    for model, network, entropy, y, params in cases:
        stock, stock_hat = stock_encode(model, y, params)
        (ours,), y_hat = network.encode(y, params, **entropy)
        assert torch.equal(network.decode([ours], params, **entropy), y_hat)
        if ours != stock:
            continue
        equal += 1
        torch.testing.assert_close(y_hat, stock_hat, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(network.decode([stock], params, **entropy), stock_hat, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(stock_decode(model, ours, params), y_hat, rtol=1e-4, atol=1e-4)
    assert equal >= len(SEEDS) - 1


def test_few_symbols_and_indexes_differ(cases):
    """Stock modules on our decoded latents give our stream, where no element differs; and few symbols do."""
    differ = total = equal = 0
    for model, network, entropy, y, params in cases:
        (ours,), y_hat = network.encode(y, params, **entropy)
        symbols, indexes, scales, means = stock_symbols(model, y, y_hat, params)
        assert float(scales.min()) < 0.11 < 8 < float(scales.max())
        assert len(indexes.unique()) > 30
        differ += int(((y_hat - (symbols + means)).abs() > 1e-4).sum())
        total += y.numel()
        in_order = [t.permute(0, 2, 3, 1).int() for t in (symbols, indexes)]
        equal += ours == sc.rans64.encode(*in_order, entropy["table"])
    assert differ <= 5e-4 * total
    assert equal >= len(SEEDS) - 1


def test_raster_scan_latent_codec(compressai):
    """CompressAI's own class for the loop, in a batch, whose items are lists of one stream each where it compresses.

    Of three, one may have an element that differs.
    """
    from compressai.latent_codecs import RasterScanLatentCodec

    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)
    codec = RasterScanLatentCodec(model.gaussian_conditional, model.entropy_parameters, model.context_prediction)
    y, params = make_latents(model, 3, 3)
    network, entropy = compile_context(model), entropy_of(model)
    strings, y_hat = network.encode(y, params, threads=2, **entropy)
    with torch.no_grad():
        stock = codec.compress(y, params)
    equal = [i for i in range(3) if strings[i] == stock["strings"][i][0]]
    assert len(equal) >= 2
    with torch.no_grad():
        decoded = codec.decompress([[strings[i] for i in equal]], stock["shape"], params[equal])["y_hat"]
    torch.testing.assert_close(decoded, y_hat[equal], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(stock["y_hat"][equal], y_hat[equal], rtol=1e-4, atol=1e-4)


def test_whole_models(compressai):
    """A model's own streams, taken apart and put together with the compiled loop in between."""
    equal = 0
    for seed in range(3):
        model = make_model(compressai, "mbt2018", KINDS["mbt2018"], seed)
        with torch.no_grad():
            stock = model.compress(torch.rand(1, 3, 64, 128))
            params = model.h_s(model.entropy_bottleneck.decompress(stock["strings"][1], stock["shape"]))
            try:
                y_hat = compile_context(model).decode(stock["strings"][0], params, **entropy_of(model))
            except BitstreamError:
                continue
            x_hat = model.g_s(y_hat).clamp_(0, 1)
            torch.testing.assert_close(x_hat, model.decompress(**stock)["x_hat"], rtol=1e-4, atol=1e-4)
            equal += 1
    assert equal >= 2


def test_a_stream_of_other_floats_is_refused(compressai):
    """Where a difference did matter, the end check tells."""
    model = make_model(compressai, "mbt2018", KINDS["mbt2018"], 0)
    network, entropy = compile_context(model), entropy_of(model)
    y, params = make_latents(model, 0)
    strings, _ = network.encode(y, params, **entropy)
    with pytest.raises(BitstreamError):
        network.decode(strings, params * 1.1, **entropy)
