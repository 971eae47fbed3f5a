"""What users write between CompressAI's classes and their models: it still runs, and closes its loop."""

from __future__ import annotations

import copy

import pytest
import torch

from . import hosts
from .comparing import accelerate, same


def half(conditional):
    """Another rounding, on the instance alone."""
    stock = conditional.quantize
    conditional.quantize = lambda inputs, mode, means=None: stock(inputs + 0.5, mode, means)


def scaled(cls):
    """Subclass whose loop sees other params."""

    class Scaled(cls):
        def _compress_ar(self, y_hat, params, *args):
            return super()._compress_ar(y_hat, params * 1.5, *args)

        def _decompress_ar(self, string, y_hat, params, *args):
            return super()._decompress_ar(string, y_hat, params * 1.5, *args)

    return Scaled


def merging(cls):
    class Merging(cls):
        @staticmethod
        def merge(params, context):
            return torch.cat([params, 1.5 * context], dim=1)

    return Merging


def with_loop(model):
    model.__class__ = scaled(type(model))


def with_merge(model):
    model.latent_codec.y.__class__ = merging(type(model.latent_codec.y))


def with_rounding(model):
    half(model.gaussian_conditional)


@pytest.mark.parametrize(
    ("name", "change"),
    [("mbt2018", with_loop), ("raster-scan", with_merge), ("mbt2018", with_rounding), ("mbt2018-mean", with_rounding)],
)
@pytest.mark.parametrize("patched", [False, True])
def test_what_a_user_s_class_does_is_done(compressai, name, change, patched):
    from scalecodec.compressai import patch, unpatch

    host = hosts.build(name, batch=1, size=(64, 64))
    before, model = host.compress(), copy.deepcopy(host.model)
    change(host.model)
    change(model)
    coded = host.compress()
    decoded = host.decompress(coded)
    assert not same(coded["strings"], before["strings"])
    if patched:
        patch()
    else:
        accelerate(model)
    try:
        assert same(host.compress(model), coded)
        assert same(host.decompress(coded, model), decoded)
    finally:
        unpatch()


def test_models_on_meta(compressai):
    """Accelerated first, given weights later."""
    host = hosts.build("mbt2018", batch=1, size=(64, 64))
    model = copy.deepcopy(host.model).to("meta")
    accelerate(model)
    model.to_empty(device="cpu")
    model.load_state_dict(copy.deepcopy(host.model.state_dict()))
    assert same(host.compress(model)["strings"], host.compress()["strings"])


def shifted_decoder(cls):
    """What is decoded is not what was rounded."""

    class Shifted(cls):
        def decompress(self, *args, **kwargs):
            return super().decompress(*args, **kwargs) + 0.25

    return Shifted


def test_latents_of_a_codec_are_those_of_its_decoder(compressai):
    """With a model that decodes to something else than it rounds to, or in another dtype than it is given."""
    host = hosts.build("elic2022-official", batch=1, size=(64, 64))
    hyper, groups = host.model.latent_codec.hyper, host.model.latent_codec.y
    conditional = groups.latent_codec["y0"].latent_codec["y"].gaussian_conditional
    for module in (hyper.entropy_bottleneck, conditional):
        module.__class__ = shifted_decoder(type(module))
    model = copy.deepcopy(host.model)
    accelerate(model)
    coded = host.compress()
    assert same(host.compress(model), coded)
    assert same(host.decompress(coded, model), host.decompress(coded))
    y = torch.randn(1, host.model.latent_codec.y.groups[0], 4, 4).bfloat16()
    codec, params = groups.latent_codec["y0"].latent_codec["y"], torch.rand(1, 4 * y.shape[1], 4, 4)
    codec.entropy_parameters = torch.nn.Conv2d(params.shape[1], 2 * y.shape[1], 1)
    ours = copy.deepcopy(codec)
    accelerate(ours)
    with torch.no_grad():
        assert same(ours.compress(y, params), codec.compress(y, params))


def conditional_and_latents(cls, **options):
    conditional = cls(None, **options)
    conditional.update_scale_table(torch.exp(torch.linspace(-2, 3, 20)))
    generator = torch.Generator().manual_seed(0)
    y, scales, means = (torch.rand(2, 4, 5, 3, generator=generator) * 3 for _ in range(3))
    return conditional, y, conditional.build_indexes(scales), means


def test_a_quantize_that_gives_floats(compressai):
    """CompressAI's compress takes them."""

    class Floor(compressai.entropy_models.GaussianConditional):
        def quantize(self, inputs, mode, means=None):
            return torch.floor(inputs - means)

    conditional, y, indexes, means = conditional_and_latents(Floor)
    strings = conditional.compress(y, indexes, means)
    accelerate(conditional)
    assert conditional.compress(y, indexes, means) == strings


def test_tables_of_fewer_bits_are_left_to_stock(compressai):
    conditional, y, indexes, means = conditional_and_latents(
        compressai.entropy_models.GaussianConditional, entropy_coder_precision=12
    )
    strings = conditional.compress(y, indexes, means)
    report = accelerate(conditional)
    assert "12 bits" in str(report)
    assert conditional.compress(y, indexes, means) == strings


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_latents_that_are_no_numbers_are_refused(compressai, dtype, value):
    conditional, y, indexes, means = conditional_and_latents(compressai.entropy_models.GaussianConditional)
    strings = conditional.compress(y.to(dtype), indexes, means)
    accelerate(conditional)
    assert conditional.compress(y.to(dtype), indexes, means) == strings
    y[0, 1, 2, 0] = value
    with pytest.raises(ValueError, match="finite"):
        conditional.compress(y.to(dtype), indexes, means)


def test_half_an_own_pair_gets_no_lane_streams(compressai):
    """CompressAI's decoder, which such a method may call, reads past the end of them."""

    class Own(compressai.entropy_models.GaussianConditional):
        def decompress(self, strings, indexes, *args, **kwargs):
            tables = self._quantized_cdf.tolist(), self._cdf_length.tolist(), self._offset.tolist()
            arrays = zip(strings, indexes, strict=True)
            coder = self.entropy_coder
            decoded = [coder.decode_with_indexes(string, own.flatten().tolist(), *tables) for string, own in arrays]
            return torch.tensor(decoded).reshape(indexes.shape)

    conditional, y, indexes, _ = conditional_and_latents(Own)
    strings = conditional.compress(y, indexes)
    report = accelerate(conditional, stream="lanes")
    assert "lane streams" in str(report.kept[0])
    assert conditional.compress(y, indexes) == strings
    assert torch.equal(conditional.decompress(strings, indexes), y.round().int())
