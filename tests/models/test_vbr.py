"""The variable-rate mean-scale hyperprior: CompressAI's mbt2018-mean at unit gain, one model at every other."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE, NUM_GAINS, UNIT_GAIN_INDEX
from scalecodec.models import MeanScaleHyperprior, create, names
from scalecodec.streams import LANES, RANS64
from scalecodec.train.losses import rate_distortion

N, M = 8, 12


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def scales_by_channel(m):
    """Standard deviations as trained models have them: few strong channels, many faint ones."""
    return torch.exp(torch.linspace(1.6, -3.2, m))


def lively(model):
    """The model with latents worth coding, and with means and scales that vary from place to place."""
    parameters, m = model.h_s[4], model.h_s[4].out_channels // 2
    with torch.no_grad():
        model.g_a[6].weight.mul_(60)
        model.h_a[4].weight.mul_(30)
        parameters.weight[:m].mul_(3)
        parameters.weight[m:].mul_(30)
        parameters.bias[:m] = scales_by_channel(m)
        model.g_s[6].weight.mul_(6)
        model.g_s[6].bias.fill_(0.5)
    model.update(update_quantiles=True)
    return model.eval()


def images(batch=2, height=64, width=128):
    return torch.rand(batch, 3, height, width)


@pytest.fixture
def model():
    return lively(MeanScaleHyperprior(N, M))


@pytest.fixture
def theirs(compressai):
    return lively(compressai.models.MeanScaleHyperprior(N, M))


class Constant(nn.Module):
    """A network that gives `value`, whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.register_buffer("value", value, persistent=False)

    def forward(self, x):
        return self.value.expand(len(x), -1, -1, -1)


def with_latents_of_photographs(m=32, height=32, width=48):
    """Latents that follow their own model: strong and faint channels, quiet and busy places."""
    model = MeanScaleHyperprior(N, m)
    place = torch.nn.functional.interpolate(torch.randn(1, 1, 4, 6), (height, width), mode="bilinear")
    scales = scales_by_channel(m)[None, :, None, None] * torch.exp(place)
    means = torch.randn_like(scales) * scales
    model.g_a = Constant(means + torch.randn_like(scales) * scales)
    model.h_s = Constant(torch.cat([scales, means], 1))
    model.update(update_quantiles=True)
    return model.eval(), torch.zeros(1, 3, 16 * height, 16 * width)


@torch.no_grad()
def estimated_bits(model, x, gain):
    return sum(-float(p.log2().sum()) for p in model(x, gain)["likelihoods"].values())


def bits(compressed):
    return 8 * sum(len(string) for strings in compressed["strings"] for string in strings)


@pytest.mark.parametrize("sizes", [(8, 12), (12, 8), (5, 6)])
def test_names_and_shapes_are_those_of_mbt2018_mean(compressai, sizes):
    theirs = compressai.models.MeanScaleHyperprior(*sizes)
    for tables in (False, True):
        if tables:
            theirs.update()
        ours = MeanScaleHyperprior.from_state_dict(theirs.state_dict())
        shapes, wanted = ({k: (v.shape, v.dtype) for k, v in net.state_dict().items()} for net in (ours, theirs))
        assert shapes == wanted
        assert ours.config() == {"channels": sizes[0], "latent_channels": sizes[1]}
        compressai.models.MeanScaleHyperprior.from_state_dict(ours.state_dict())


def test_at_unit_gain_it_is_mbt2018_mean(theirs):
    ours = MeanScaleHyperprior.from_state_dict(theirs.state_dict()).eval()
    x = images()
    with torch.no_grad():
        one, other = theirs(x), ours(x)
    assert (one["x_hat"] - other["x_hat"]).abs().max() <= 1e-5
    for name in ("y", "z"):
        # They add the means and take them off again before pricing a symbol; we do not.
        difference = one["likelihoods"][name] - other["likelihoods"][name]
        assert difference.abs().max() <= 1e-5

    expected, got = theirs.compress(x), ours.compress(x, stream=RANS64)
    assert got["strings"] == expected["strings"]
    assert tuple(got["shape"]) == tuple(expected["shape"]) == (1, 2)
    assert got["gain_index"] == UNIT_GAIN_INDEX
    assert min(map(len, got["strings"][0])) > 60, "nothing was coded"
    one = theirs.decompress(got["strings"], got["shape"])["x_hat"]
    other = ours.decompress(expected["strings"], expected["shape"], stream=RANS64)["x_hat"]
    assert (one - other).abs().max() <= 1e-5
    assert one.std() > 0.1


@pytest.mark.parametrize("gain_index", range(0, NUM_GAINS, 17))
def test_the_decoder_gives_the_very_pixels_of_the_encoder_at_every_gain(model, gain_index):
    x = images()
    compressed = model.compress(x, gain=GAIN_TABLE[gain_index])
    assert compressed["gain_index"] == gain_index
    decoded = copy.deepcopy(model).decompress(**compressed)["x_hat"]
    with torch.no_grad():
        expected = model(x, GAIN_TABLE[gain_index])["x_hat"].clamp(0, 1)
    assert torch.equal(decoded, expected)
    assert decoded.std() > 0.1
    # Tuples, and the nearest gain of the table, do as well.
    assert model.compress(x, gain=GAIN_TABLE[gain_index] * 1.003)["strings"] == compressed["strings"]
    strings = tuple(map(tuple, compressed["strings"]))
    assert torch.equal(model.decompress(strings, [1, 2], gain_index)["x_hat"], expected)


@pytest.mark.parametrize("gain_index", [0, 101, 254, UNIT_GAIN_INDEX])
def test_what_is_coded_is_each_operation_of_torch_in_its_order(model, gain_index):
    conditional, prior, gain = model.gaussian_conditional, model.entropy_bottleneck, GAIN_TABLE[gain_index]
    with torch.no_grad():
        y = model.g_a(images())
        y_strings, z_strings, size = model.encode_latent(y, gain_index)
        scales, means = model._parted(model._hyper_params(prior.decompress(z_strings, size, stream=LANES)))
        scales = torch.max(scales * gain, conditional.lower_bound_scale.bound)
        indexes = torch.bucketize(scales, conditional.scale_table[:-1], out_int32=True)
        symbols = torch.round((y - means) * gain).int()
        assert y_strings == LANES.encode_batch(list(symbols), list(indexes), conditional.table)
        decoded = model.decode_latent(y_strings, z_strings, size, gain_index)
    assert torch.equal(decoded, symbols.float() / gain + means)
    assert len(symbols.unique()) > 1
    assert len(indexes.unique()) > 5


def test_bits_fall_with_the_gain_and_are_what_was_estimated():
    model, x = with_latents_of_photographs()
    last = math.inf
    end_states = 2 * 33  # bits: each of the two streams ends in a 64-bit state that carries 31 bits less than it takes
    for gain in reversed(GAIN_TABLE[::15]):
        real = bits(model.compress(x, gain=gain))
        assert real < last
        last = real
        assert -0.001 < (real - end_states) / estimated_bits(model, x, gain) - 1 < 0.012, gain
    assert bits(model.compress(x, gain=GAIN_TABLE[-1])) > 7 * last


def test_a_gain_for_each_item_is_each_item_by_itself(model):
    x, gain = images(3), torch.tensor([GAIN_TABLE[0], 1.0, GAIN_TABLE[255]])
    with torch.no_grad():
        together = model(x, gain)
        for item in range(3):
            alone = model(x[item : item + 1], float(gain[item]))
            assert torch.allclose(together["x_hat"][item], alone["x_hat"][0], atol=1e-5)
            for name, likelihood in together["likelihoods"].items():
                assert torch.allclose(likelihood[item], alone["likelihoods"][name][0], rtol=1e-3, atol=1e-6)
    assert not torch.allclose(together["likelihoods"]["y"][0], model(x, 1.0)["likelihoods"]["y"][0], atol=1e-3)


@pytest.mark.parametrize("autocast", [False, True])
def test_every_weight_but_the_quantiles_learns(autocast):
    model, x = MeanScaleHyperprior(N, M).train(), images()
    gain = torch.tensor([0.2, 1.0])
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        output = model(x, gain)
    assert all(p.dtype == torch.float32 for p in output["likelihoods"].values())
    rate_distortion(output, x, gain).loss.backward()
    for name, parameter in model.named_parameters():
        if name.endswith("quantiles"):
            assert parameter.grad is None
        else:
            assert parameter.grad.isfinite().all(), name
            assert parameter.grad.any(), name
    model.aux_loss().backward()
    assert model.entropy_bottleneck.quantiles.grad.any()


def test_ids_tell_weights_and_tables_apart(model):
    ids = [(model.model_id(), model.table_id())]
    assert all(isinstance(part, bytes) and len(part) == 8 for part in ids[0])
    for parameter in model.parameters():
        old = parameter.detach().clone()
        with torch.no_grad():
            last = parameter.view(-1)[-1:]
            last.copy_(torch.nextafter(last, torch.tensor(math.inf)))
            ids.append((model.model_id(), model.table_id()))
            parameter.copy_(old)
    assert len({weights for weights, _ in ids}) == len(ids)
    assert {tables for _, tables in ids} == {ids[0][1]}
    assert (model.model_id(), model.table_id()) == ids[0]

    tables = {ids[0][1]}
    wide = model.gaussian_conditional._quantized_cdf[40]
    for entry in (model.entropy_bottleneck._offset[1:2], wide[model.gaussian_conditional._cdf_length[40] // 2, None]):
        entry += 1
        tables.add(model.table_id())
    assert len(tables) == 3
    assert model.model_id() == ids[0][0]


def test_ids_do_not_depend_on_how_weights_are_stored(model):
    ids = model.model_id(), model.table_id()
    for same in (
        copy.deepcopy(model).to(memory_format=torch.channels_last),
        copy.deepcopy(model).double(),
        MeanScaleHyperprior.from_state_dict(model.state_dict()),
        copy.deepcopy(model).train().requires_grad_(False),
    ):
        assert (same.model_id(), same.table_id()) == ids
    fresh = MeanScaleHyperprior(N, M)
    fresh.model_id()
    with pytest.raises(ValueError, match="Uninitialized"):
        fresh.table_id()


def test_update_fills_all_tables_once(model):
    fresh = MeanScaleHyperprior(N, M)
    assert fresh.update()
    assert not fresh.update()
    before = model.table_id()
    assert fresh.update(torch.tensor([0.5, 4.0]), force=True)
    assert fresh.gaussian_conditional.table.num_tables == 2
    assert model.table_id() == before


def test_bad_input_to_compress_is_refused(model):
    for bad in (0.0, -1.0, 0.05, 2.0, math.nan, math.inf, None, True):
        with pytest.raises(ValueError, match="gain must"):
            model.compress(images(1), gain=bad)
    for bad in (math.nan, math.inf):
        x = images(1)
        x[0, 1, 5, 5] = bad
        with pytest.raises(ValueError, match="finite"):
            model.compress(x)


def test_bad_input_to_decompress_is_refused(model):
    compressed = model.compress(images(2))
    (y, z), shape = compressed["strings"], compressed["shape"]
    for bad in (-1, NUM_GAINS, 1.0, None, True):
        with pytest.raises(ValueError, match="gain_index"):
            model.decompress([y, z], shape, bad)
    for strings in ([y[:1], z], [y, z[:1]], [y[0], z]):
        with pytest.raises(ValueError, match="strings"):
            model.decompress(strings, shape)
    for strings, size in (
        ([y, [z[0], z[1][:-4]]], shape),
        ([[y[0][:-4], y[1]], z], shape),
        ([[y[0] + b"\0\0\0\0", y[1]], z], shape),
        ([[b"", y[1]], z], shape),
        ([z, y], shape),
        ([y, z], (1, 1)),
        ([y, z], (2, 2)),
    ):
        with pytest.raises(BitstreamError):
            model.decompress(strings, size)
    with pytest.raises(BitstreamError):
        model.decompress([y, z], shape, 0)
    with pytest.raises(BitstreamError):
        lively(MeanScaleHyperprior(N, M)).decompress([y, z], shape)


def test_models_are_made_by_name():
    assert "vbr-mean" in names()
    model = create("vbr-mean", channels=4, latent_channels=6)
    assert type(model) is MeanScaleHyperprior
    assert model.config() == {"channels": 4, "latent_channels": 6}
    assert (model.downsampling_factor, model.latent_stride) == (64, 16)
    with pytest.raises(ValueError, match=r"no model named 'vbr'.*vbr-mean"):
        create("vbr")
    with pytest.raises(TypeError):
        create("vbr-mean", width=4)
