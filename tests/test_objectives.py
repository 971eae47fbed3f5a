"""What an update of a variable-rate model minimizes: the min-norm point, its objectives, and where a run begins."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE
from scalecodec.models import MeanScaleHyperprior, ScaleHyperprior, freeze, save_weights
from scalecodec.train import TrainConfig
from scalecodec.train.min_norm import NORMALISATIONS, min_norm_weights, normalised
from scalecodec.train.objectives import backward, levels
from scalecodec.train.start import begin_from


def combined(gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights and the point of gradients [K, n]."""
    weights = min_norm_weights(gradients @ gradients.T)
    return weights, weights @ gradients


@given(st.integers(0, 2**31), st.integers(1, 8), st.integers(1, 40), st.floats(0, 3))
def test_the_point_is_a_descent_for_all(seed, count, size, tilt):
    torch.manual_seed(seed)
    gradients = torch.randn(count, size, dtype=torch.float64) * 10 ** torch.randn(count, 1, dtype=torch.float64) + tilt
    weights, point = combined(gradients)
    assert bool((weights >= 0).all())
    assert weights.sum().item() == pytest.approx(1)
    slack = 1e-6 * gradients.square().sum(1).max()
    assert bool((gradients @ point >= point.square().sum() - slack).all())


@given(st.integers(0, 2**31), st.floats(-3, 3))
def test_of_two_it_is_the_closed_form(seed, exponent):
    torch.manual_seed(seed)
    one, other = torch.randn(2, 5, dtype=torch.float64)
    other = other * 10**exponent
    # Desideri 2012: the foot of the perpendicular on the segment, or its nearer end.
    share = (other @ (other - one) / (one - other).square().sum()).clamp(0, 1)
    weights, _ = combined(torch.stack([one, other]))
    assert weights[0].item() == pytest.approx(share.item(), abs=1e-6)


def test_of_an_orthogonal_frame_weights_go_with_inverse_squares():
    weights, _ = combined(torch.diag(torch.tensor([1.0, 2.0, 4.0], dtype=torch.float64)))
    expected = torch.tensor([1, 1 / 4, 1 / 16], dtype=torch.float64)
    torch.testing.assert_close(weights, expected / expected.sum(), rtol=1e-5, atol=1e-6)


def test_opposed_or_absent_gradients_give_nothing_to_follow():
    for gradients in (torch.tensor([[1.0, 0], [-1.0, 0]]), torch.tensor([[0.0, 0], [3.0, 1]]), torch.zeros(3, 2)):
        _, point = combined(gradients.double())
        assert point.norm() < 1e-6


@pytest.mark.parametrize("bad", [torch.zeros(2, 3), torch.zeros(0, 0), torch.zeros(2), torch.full((2, 2), torch.nan)])
def test_what_is_no_gram_matrix_is_refused(bad):
    with pytest.raises(ValueError, match="gram must be"):
        min_norm_weights(bad)


def test_normalisations_are_what_they_say():
    gradients, losses = torch.tensor([[3.0, 4.0], [0.0, 0.1]]).double(), torch.tensor([10.0, 0.5])
    gram = gradients @ gradients.T
    for how, expected in (("none", [1, 1]), ("l2", [1 / 5, 10]), ("loss", [0.1, 2])):
        scaled, factors = normalised(gram, losses, how)
        torch.testing.assert_close(factors, torch.tensor(expected, dtype=torch.float64))
        same = (gradients * factors[:, None]) @ (gradients * factors[:, None]).T
        torch.testing.assert_close(scaled, same)
    with pytest.raises(ValueError, match="normalisation"):
        normalised(gram, losses, "l1")


def test_levels_span_the_table():
    assert levels(1) == [1.0]
    assert levels(2) == [GAIN_TABLE[0], 1.0]
    five = torch.tensor(levels(5)).log2()
    assert (five.diff() - five.diff().mean()).abs().max() < 1 / 64


CONFIG = TrainConfig(data="", out="", levels=3)


def gradients_of(model, x, config):
    torch.manual_seed(5)
    trained = [parameter for name, parameter in model.named_parameters() if not name.endswith("quantiles")]
    model.zero_grad()
    result = backward(model, x, trained, config)
    return result, torch.cat([torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in trained])


@pytest.fixture
def model():
    torch.manual_seed(0)
    return MeanScaleHyperprior(4, 6, offsets=True, hyper_step=True).train()


def test_a_sum_is_the_mean_of_its_levels_and_a_point_lies_among_theirs(model):
    x = torch.rand(2, 3, 64, 64)
    result, whole = gradients_of(model, x, replace(CONFIG, objective="sum"))
    parts, gradients = [], []
    torch.manual_seed(5)
    trained = [parameter for name, parameter in model.named_parameters() if not name.endswith("quantiles")]
    for gain in levels(3):  # each in turn, with the random numbers that it had there
        model.zero_grad()
        parts.append(backward(model, x, trained, replace(CONFIG, gain=gain)))
        gradients.append(
            torch.cat([p.grad.flatten() if p.grad is not None else torch.zeros(p.numel()) for p in trained])
        )
    torch.testing.assert_close(whole, torch.stack(gradients).mean(0), rtol=1e-4, atol=1e-5)
    assert result.loss.item() == pytest.approx(sum(part.loss.item() for part in parts) / 3, rel=1e-5)
    assert result.bpp.item() == pytest.approx(sum(part.bpp.item() for part in parts) / 3, rel=1e-5)

    own = torch.stack([gradient * gain for gradient, gain in zip(gradients, levels(3), strict=True)]).double()
    for how in NORMALISATIONS:
        _, point = gradients_of(model, x, replace(CONFIG, objective="moo", normalisation=how))
        losses = torch.tensor([part.loss.item() * gain for part, gain in zip(parts, levels(3), strict=True)])
        scaled, factors = normalised(own @ own.T, losses, how)
        expected = (min_norm_weights(scaled) * factors) @ own
        assert torch.nn.functional.cosine_similarity(point.double(), expected, dim=0) > 0.999
        assert bool((own @ point.double() > 0).all()), "an objective would rise"


def test_gradients_that_are_not_finite_stay_so(model):
    with torch.no_grad():
        model.g_s[6].bias[0] = torch.inf
    _, gradient = gradients_of(model, torch.rand(1, 3, 64, 64), replace(CONFIG, objective="moo"))
    assert not bool(gradient.isfinite().all())


def no_pictures():
    raise AssertionError("a plain model begins without")


def test_a_run_begins_from_weights_of_one_rate_or_of_compressais(compressai, tmp_path):
    torch.manual_seed(1)
    single = MeanScaleHyperprior(4, 6)
    freeze(single)
    save_weights(single, tmp_path / "ours.safetensors")
    theirs = compressai.models.MeanScaleHyperprior(4, 6)
    theirs.update()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    for path, source in ((tmp_path / "ours.safetensors", single), (tmp_path / "theirs.safetensors", theirs)):
        model = MeanScaleHyperprior(4, 6, offsets=True, hyper_step=True)
        begin_from(model, str(path), no_pictures)
        x = torch.rand(1, 3, 64, 64)
        source.eval()
        assert torch.allclose(model.eval()(x)["x_hat"], source(x)["x_hat"], atol=1e-5)
        with pytest.raises(ValueError, match=r"weights of another model|wanted \(8"):
            begin_from(MeanScaleHyperprior(8, 6), str(path), no_pictures)
    other = ScaleHyperprior(4, 6)
    untouched = [parameter.clone() for parameter in other.h_s.parameters()]
    begin_from(other, str(tmp_path / "ours.safetensors"), no_pictures)  # of another kind: the transforms only
    assert torch.equal(other.g_a[0].weight, single.g_a[0].weight)
    assert torch.equal(other.g_s[6].bias, single.g_s[6].bias)
    assert all(map(torch.equal, other.h_s.parameters(), untouched))
    with pytest.raises(ValueError, match=r"wanted \(8"):
        begin_from(ScaleHyperprior(8, 6), str(tmp_path / "ours.safetensors"), no_pictures)
    damaged = bytearray((tmp_path / "ours.safetensors").read_bytes())
    damaged[-3:] = b"\xff\xff\xff"
    (tmp_path / "damaged.safetensors").write_bytes(damaged)
    with pytest.raises(BitstreamError, match="damaged"):
        begin_from(model, str(tmp_path / "damaged.safetensors"), no_pictures)
    with pytest.raises(ValueError, match="no weights named"):
        begin_from(model, str(tmp_path / "none"), no_pictures)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"objective": "all"}, "objective must be one of"),
        ({"normalisation": "l1"}, "normalisation must be one of"),
        ({"levels": 0}, "levels must be at least 1"),
        ({"gain": 7.0}, "gain must lie in"),
        ({"gain": 0.5, "objective": "sum"}, "fixed gain"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, match):
    with pytest.raises(ValueError, match=match):
        replace(CONFIG, **settings)


def test_a_tilt_draws_low_gains_more_often():
    seen = []

    def forward(x, gains):
        seen.extend(gains.tolist())
        return {"x_hat": x.clone().requires_grad_(), "likelihoods": {"y": torch.ones(len(x), 1, 1, 1)}}

    x = torch.rand(2000, 3, 2, 2)
    for tilt, below in ((1.0, 0.5), (2.0, 0.5**0.5), (1e-3, 0.0)):
        seen.clear()
        backward(forward, x, [], replace(CONFIG, tilt=tilt))
        assert sum(gain < GAIN_TABLE[128] for gain in seen) / 2000 == pytest.approx(below, abs=0.05)
