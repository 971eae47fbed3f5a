"""Reconstruction offsets, the hyper-latent's step, and the three models that have them: estimates and real streams."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from torch import nn

from scalecodec.entropy_models import EXPONENTS, SteppedBottleneck, nearest_exponents
from scalecodec.errors import BitstreamError, TableError
from scalecodec.eval import variants
from scalecodec.gains import GAIN_TABLE, NUM_GAINS
from scalecodec.layers import HyperStepNetwork, MaskedConv2d, OffsetNetwork
from scalecodec.models import JointAutoregressive, MeanScaleHyperprior, ScaleHyperprior, freeze, load, save_weights
from scalecodec.streams import LANES, RANS64

from .vbr_kit import CLASSES, M, N, awake

EVERY_CLASS = pytest.mark.parametrize("cls", CLASSES)
SCALES = torch.logspace(-1, 1, 64)


def images(batch=2, height=64, width=128):
    return torch.rand(batch, 3, height, width, generator=torch.Generator().manual_seed(1))


def test_untrained_rate_networks_change_nothing():
    gains = torch.tensor(GAIN_TABLE)
    assert torch.equal(OffsetNetwork().table(gains, SCALES), torch.zeros(NUM_GAINS, 64))
    torch.testing.assert_close(HyperStepNetwork()(gains), torch.ones(NUM_GAINS))


def test_the_hyper_step_is_bounded_and_learns_its_way_out():
    network = HyperStepNetwork()
    with torch.no_grad():
        network[4].bias.fill_(-5)
    step = network(torch.tensor([0.1, 1.0]))
    assert step.tolist() == [0.5, 0.5]
    (-step.sum()).backward()
    assert network[4].bias.grad < 0, "a step at the bound may still grow"


def test_offset_tables_are_evaluated_amid_each_indexs_scales():
    network = OffsetNetwork()
    with torch.no_grad():
        network[4].weight.normal_()
    table = network.table(torch.tensor([0.5, 0.1]), SCALES)
    amid = torch.cat([SCALES[:1], (SCALES[1:] * SCALES[:-1]).sqrt()])
    for row, gain in zip(table, (0.5, 0.1), strict=True):
        expected = network(torch.stack([amid, torch.full_like(amid, gain)], 1)).squeeze(1)
        torch.testing.assert_close(row, expected)


def test_a_masked_convolution_sees_only_what_came_before():
    network = MaskedConv2d(2, 3)
    x = torch.randn(1, 2, 9, 9, requires_grad=True)
    network(x)[0, :, 4, 4].sum().backward()
    seen = x.grad[0].abs().sum(0) > 0
    before = torch.arange(81).view(9, 9) < 4 * 9 + 4
    near = torch.zeros(9, 9, dtype=torch.bool)
    near[2:5, 2:7] = True
    assert torch.equal(seen, before & near)


@EVERY_CLASS
@pytest.mark.parametrize("gain_index", range(0, NUM_GAINS, 15))
@torch.no_grad()
def test_streams_decode_to_what_was_estimated_at_every_gain(cls, gain_index):
    model, x = awake(cls), images()
    gain = GAIN_TABLE[gain_index]
    coded = model.compress(x, gain=gain)
    twin = copy.deepcopy(model)
    decoded = twin.decompress(**coded)["x_hat"]
    y = model.g_a(x)
    latent = twin.decode_latent(*model.encode_latent(y, gain_index), gain_index)
    assert torch.equal(latent, model.decode_latent(*model.encode_latent(y, gain_index, RANS64), gain_index, RANS64))
    assert torch.equal(decoded, model.g_s(latent).clamp(0, 1))
    # Estimates go without the rounding of hyper steps and offsets to their tables.
    step = model.gayn2zqstep(torch.tensor([gain]))
    assert abs(nearest_exponents(step).item() - float(step.log2() * 8)) <= 0.5


class Constant(nn.Module):
    """A network that gives `value`, whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.register_buffer("value", value, persistent=False)

    def forward(self, x):
        return self.value.expand(len(x), -1, -1, -1)


@EVERY_CLASS
@torch.no_grad()
def test_real_bits_are_those_of_the_likelihoods(cls):
    """Of latents that follow their own model; of random weights many are escapes, which likelihoods misprice."""
    model, x = awake(cls, hyper_step=False), images(1, 384, 512)
    z = torch.randn(1, N, 6, 8) * 3
    model.h_a = Constant(z)
    if cls is JointAutoregressive:  # whose distributions then depend on the hyper-latent alone
        model.context_prediction.weight.zero_()
        flat = torch.zeros(1, M, 24, 32)
        scales, means = model._network().predict(flat, model.h_s(z.round()), rate=model._rate(1.0))
    else:
        scales, means = model._parted(model._hyper_params(z.round()))
    scales = scales.clamp(min=0.11)
    model.g_a = Constant((0 if means is None else means) + scales * torch.randn(1, M, 24, 32))
    for gain in (1.0, 0.35):
        coded = model.compress(x, gain=gain, stream=RANS64)
        estimate = model(x, gain)["likelihoods"]
        for strings, name in zip(coded["strings"], ("y", "z"), strict=True):
            assert 8 * len(strings[0]) == pytest.approx(-estimate[name].log2().sum().item(), rel=0.02, abs=80)


@EVERY_CLASS
def test_offsets_leave_the_streams_as_they_are_but_for_the_context(cls):
    with_offsets, x = awake(cls), images()
    without = awake(cls, offsets=False)
    without.load_state_dict({k: v for k, v in with_offsets.state_dict().items() if k in without.state_dict()})
    one, other = with_offsets.compress(x, gain=0.3), without.compress(x, gain=0.3)
    assert one["strings"][1] == other["strings"][1]
    assert (one["strings"][0] == other["strings"][0]) is (cls is not JointAutoregressive)  # whose context they move
    if cls is JointAutoregressive:
        return
    assert not torch.equal(with_offsets.decompress(**one)["x_hat"], without.decompress(**one)["x_hat"])


@torch.no_grad()
def test_offsets_are_kept_in_256ths_and_follow_the_gain():
    model = awake(MeanScaleHyperprior)
    assert model.offset_table.dtype is torch.int8
    network = model.QuantABCD.table(torch.tensor(GAIN_TABLE), model.gaussian_conditional.scale_table)
    for gain_index in (0, 100, 255):
        kept = model.reconstruction_offsets(gain_index)
        assert (kept - network[gain_index]).abs().max() <= 0.5 / 256
    with pytest.raises(ValueError, match=r"run update\(\) first"):
        MeanScaleHyperprior(N, M, offsets=True).reconstruction_offsets(0)


def test_a_hyper_step_saves_bits_and_its_tables_are_made_once(monkeypatch):
    model, plain, x = awake(MeanScaleHyperprior), awake(MeanScaleHyperprior, hyper_step=False), images(1, 512, 512)
    bottleneck = model.entropy_bottleneck
    assert bottleneck.exponents.unique().numel() > 4
    monkeypatch.setattr(SteppedBottleneck, "_pmfs", lambda *_: pytest.fail("a table was built while coding"))
    sizes = [len(one.compress(x, gain=GAIN_TABLE[0])["strings"][1][0]) for one in (model, plain)]
    assert sizes[0] < 0.8 * sizes[1]
    table = bottleneck.table
    model.decompress(**model.compress(x, gain=0.5))
    assert bottleneck.table is table


def test_stepped_tables_price_what_likelihoods_do():
    torch.manual_seed(0)
    bottleneck = SteppedBottleneck(4)
    bottleneck.exponents[:] = torch.arange(256) // 32 * 4 - 8
    bottleneck.update(force=True, update_quantiles=True)
    z = torch.randn(1, 4, 64, 64) * 6
    for gain_index in (0, 100, 255):
        step = 2 ** (bottleneck.exponents[gain_index].item() / 8)
        (string,) = bottleneck.compress(z, gain_index)
        z_hat, likelihoods = bottleneck(z, training=False, step=torch.tensor([step]))
        assert 8 * len(string) == pytest.approx(-likelihoods.log2().sum().item(), rel=0.01)
        back = bottleneck.decompress([string], (64, 64), gain_index)
        torch.testing.assert_close(back, z_hat)
        assert (back - z).abs().max() <= step / 2 + 1e-4


def test_exponents_are_the_nearest_in_the_log_domain():
    steps = torch.tensor([0.5, 0.52, 0.55, 1.0, 1.04, 1.05, 2.0, 31.0, 1e9, 1e-9])
    assert nearest_exponents(steps).tolist() == [-8, -8, -7, 0, 0, 1, 8, 40, EXPONENTS[-1], EXPONENTS[0]]


@EVERY_CLASS
def test_gradients_reach_every_weight(cls):
    model = awake(cls).train()
    output = model(images(), torch.tensor([0.1, 0.9]))
    loss = (output["x_hat"] - images()).square().mean() * 1e3
    loss = loss + sum(-p.log2().mean() for p in output["likelihoods"].values())
    loss.backward()
    for name, parameter in model.named_parameters():
        if not name.endswith("quantiles"):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@EVERY_CLASS
@pytest.mark.parametrize("parts", [(False, False), (True, False), (False, True), (True, True)])
def test_weight_files_keep_the_parts(cls, parts, tmp_path):
    model = awake(cls, *parts)
    freeze(model)
    save_weights(model, tmp_path / "model.safetensors")
    back = load(tmp_path / "model.safetensors")
    assert type(back) is cls
    assert back.config() == model.config()
    assert (back.model_id(), back.table_id()) == (model.model_id(), model.table_id())
    x = images()
    coded = model.compress(x, gain=0.2)
    assert back.compress(x, gain=0.2) == coded
    assert torch.equal(back.decompress(**coded)["x_hat"], model.decompress(**coded)["x_hat"])


@EVERY_CLASS
def test_damaged_streams_are_errors(cls):
    model, x = awake(cls), images()
    coded = model.compress(x, gain=0.5)
    for broken in ([coded["strings"][0], [b"", b""]], [[s[:-4] for s in coded["strings"][0]], coded["strings"][1]]):
        with pytest.raises(BitstreamError):
            model.decompress(broken, coded["shape"], coded["gain_index"])


def today_name(name):
    """CompressAI's stepped prior has kept the names that its others had before 1.2.7."""
    for old, new in (("_matrix", "matrices."), ("_bias", "biases."), ("_factor", "factors.")):
        name = re.sub(rf"\.{old}(\d)$", rf".{new}\1", name)
    return name


@pytest.mark.parametrize(
    ("cls", "theirs", "hyper_step"),
    [
        (MeanScaleHyperprior, "mbt2018-mean-vbr", True),
        (MeanScaleHyperprior, "mbt2018-mean-vbr", False),
        (ScaleHyperprior, "bmshj2018-hyperprior-vbr", True),
        (JointAutoregressive, "mbt2018-vbr", False),
    ],
)
def test_compressais_variable_rate_weights_load_and_code_alike(compressai, cls, theirs, hyper_step):
    torch.manual_seed(0)
    options = {"vr_entbttlnck": True} if hyper_step else {}
    twin = compressai.registry.MODELS[theirs](N, M, **options).eval()
    mine = awake(cls, hyper_step=hyper_step).state_dict()
    with torch.no_grad():
        for name, parameter in twin.named_parameters():
            if name != "Gain":
                parameter.copy_(mine[today_name(name)])
    twin.update(force=True)
    model = cls.from_state_dict(twin.state_dict()).eval()
    parts = {"offsets": 1, "hyper_step": 1} if hyper_step else {"offsets": 1}
    assert model.config() == {"channels": N, "latent_channels": M} | parts
    x = images(1)
    for gain in (1.0, 0.3):
        one = twin(x, stage=2, inputscale=torch.tensor(gain))
        other = model(x, gain)
        if cls is JointAutoregressive:  # whose forward pass there has no context of decoded latents
            continue
        bits = [-out["likelihoods"]["y"].log2().sum().item() for out in (one, other)]
        assert bits[1] == pytest.approx(bits[0], rel=1e-3)
        error = [(out["x_hat"] - x).square().mean().item() for out in (one, other)]
        assert error[1] == pytest.approx(error[0], rel=0.01)
    coded = model.compress(x, gain=0.3)
    assert model.decompress(**coded)["x_hat"].shape == x.shape
    with pytest.raises(ValueError, match="no state dict"):
        cls.from_state_dict({**twin.state_dict(), "another": torch.zeros(1)})


@torch.no_grad()
def test_the_loops_are_one_for_lanes_and_rans64():
    model, x = awake(JointAutoregressive), images(1)
    y = model.g_a(x)
    for stream in (LANES, RANS64):
        strings = model.encode_latent(y, 120, stream)
        assert torch.equal(
            model.decode_latent(*strings, 120, stream), model.decode_latent(*model.encode_latent(y, 120), 120)
        )


@pytest.mark.parametrize("cls", [MeanScaleHyperprior, ScaleHyperprior])
@torch.no_grad()
def test_shrinking_takes_bytes_off_and_moves_no_symbol_far(cls):
    model, x = awake(cls), images(1, 256, 256)
    y = model.g_a(x)
    plain, less, least = (model.encode_latent(y, 128, shrink=shrink) for shrink in (0.0, 0.05, 0.3))
    assert plain == model.encode_latent(y, 128)
    sizes = [len(strings[0][0]) for strings in (plain, less, least)]
    assert sizes[0] > sizes[1] > sizes[2]
    step = 1 / GAIN_TABLE[128]
    moved = model.decode_latent(*plain, 128) - model.decode_latent(*less, 128)
    assert 0 < (moved.abs() > 0).float().mean() < 0.2
    assert moved.abs().max() < 1.6 * step


@pytest.mark.parametrize("numel", [0, 100, 256, 256 * 65])
def test_a_weight_file_with_another_number_of_offsets_is_damaged(tmp_path, numel):
    freeze(model := awake(MeanScaleHyperprior))
    model.offset_table = torch.zeros(numel, dtype=torch.int8)
    save_weights(model, tmp_path / "model.safetensors")
    with pytest.raises(BitstreamError, match=f"{numel} reconstruction offsets for 64 scales"):
        load(tmp_path / "model.safetensors")


def test_tables_of_too_many_entries_are_refused_before_they_take_memory():
    bottleneck = SteppedBottleneck(640)
    bottleneck.exponents[:] = torch.arange(256) % 49 - 8
    with torch.no_grad():
        bottleneck.quantiles[:, 0, 2] = 30000
    with pytest.raises(TableError, match="are too many"):
        bottleneck.update(force=True)


@EVERY_CLASS
def test_rate_networks_that_are_not_finite_are_refused(cls):
    for name in ("QuantABCD", "gayn2zqstep"):
        model = awake(cls)
        with torch.no_grad():
            getattr(model, name)[0].bias[0] = torch.nan
        with pytest.raises(ValueError, match="that are not finite"):
            model.update(force=True)


@EVERY_CLASS
@torch.no_grad()
def test_a_model_without_its_offsets_decodes_otherwise(cls):
    model, x = awake(cls), images(1)
    twin = variants.without_offsets(model)
    y = model.g_a(x)
    one, other = (some.decode_latent(*some.encode_latent(y, 60), 60) for some in (model, twin))
    assert not torch.equal(one, other)
    assert set(variants.variants(model)) == {"without offsets", "without hyper_step"}


def test_state_dicts_that_are_none_are_value_errors(compressai):
    for cls in CLASSES:
        for bad in ({}, {"QuantABCD.0.weight": torch.zeros(12, 2)}, {"g_a.0.weight": torch.tensor(1.0)}):
            with pytest.raises(ValueError, match="no state dict of a"):
                cls.from_state_dict(bad)
    theirs = compressai.models.JointAutoregressiveHierarchicalPriors(N, M)
    theirs.update()
    model = JointAutoregressive.from_state_dict(theirs.state_dict())
    assert not model.scale_to_context.weight.any()
