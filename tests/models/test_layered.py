"""The trunk of the layered models: what is simulated is what is coded, and a layer knows nothing of those behind it."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest
import torch

from scalecodec import models
from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE
from scalecodec.models import ScalableModel, create

from .layered_kit import FORMS, Front, awake

SHAPE = (8, 12)  # of latents


@pytest.fixture(scope="module", params=FORMS)
def model(request):
    return awake(request.param)


@pytest.fixture(scope="module")
def x():
    coarse = torch.rand(2, 3, 12, 14, generator=torch.Generator().manual_seed(3))
    return torch.nn.functional.interpolate(coarse, (128, 192), mode="bicubic").clamp(0, 1)


@pytest.mark.parametrize("gain_index", [0, 100, 255])
def test_what_is_simulated_is_decoded(model, x, gain_index):
    gain = GAIN_TABLE[gain_index]
    with torch.no_grad():
        simulated = model(x, gain)
    coded = model.compress(x, gain)
    assert coded["gain_index"] == gain_index
    decoded = model.decompress(**coded)
    assert torch.equal(decoded["y_hat"], simulated["y_hat"])
    assert torch.equal(decoded["x_hat"], simulated["x_hat"].clamp(0, 1))
    assert decoded["y_hat"].abs().max() > 0.1


@pytest.mark.parametrize("gain_index", [40, 255])
def test_a_layer_needs_nothing_of_later_ones(model, x, gain_index):
    rng = np.random.default_rng(gain_index)
    y = model.analyse(x[:1]).float()
    chunks = model.encode_layers(y, gain_index)
    assert len(chunks) == model.num_layers
    base = model.decode_layers(chunks[:1], SHAPE, gain_index)
    end = model.layer_channels[0]
    assert torch.equal(base[:, end:], torch.zeros_like(base[:, end:]))
    whole = model.decode_layers(chunks, SHAPE, gain_index)
    assert torch.equal(whole[:, :end], base[:, :end])
    # Other latents behind the base, and the base's bytes stay as they are, but for a hyperprior that all share.
    if not model.shared:
        y[:, end:] = torch.randn_like(y[:, end:]) * 3
        assert model.encode_layers(y, gain_index)[0] == chunks[0]
    # Whole chunks of other latents decode to other latents, damaged ones to whatever they do: the base stays.
    others = model.encode_layers(3 * torch.randn_like(y), gain_index)
    found = model.decode_layers([chunks[0], *others[1:]], SHAPE, gain_index) if not model.shared else None
    assert found is None or (torch.equal(found[:, :end], base[:, :end]) and not torch.equal(found, whole))
    decoded = 0
    for _ in range(200):
        damaged = bytearray(chunks[1])
        damaged[rng.integers(len(damaged))] ^= 1 << rng.integers(8)
        with contextlib.suppress(BitstreamError):
            found = model.decode_layers([chunks[0], bytes(damaged), *chunks[2:]], SHAPE, gain_index)
            assert torch.equal(found[:, :end], base[:, :end])
            decoded += 1
    assert decoded < 200


def test_layers_that_are_none(model):
    for chunks in ([], [b""] * (model.num_layers + 1)):
        with pytest.raises(ValueError, match=f"1 to {model.num_layers} layers, got {len(chunks)}"):
            model.decode_layers(chunks, SHAPE, 0)
    for strings, shape in (([], (8, 12)), ([[b""]], (8, 10)), ([[b""]], (8,))):
        with pytest.raises(ValueError, match="a shape of multiples of 4"):
            model.decompress(strings, shape)
    with pytest.raises(ValueError, match="cannot be read off its shapes"):
        type(model).from_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="multiples of 64"):
        model.compress(torch.rand(1, 3, 64, 72))


def test_weights_come_back(model, x, tmp_path):
    models.save_weights(model, tmp_path / "weights.safetensors")
    twin = models.load(tmp_path / "weights.safetensors")
    if isinstance(model, ScalableModel):
        twin.attach(model._fronts)
    assert twin.config() == model.config()
    assert (twin.model_id(), twin.table_id()) == (model.model_id(), model.table_id())
    assert twin.is_integer()
    assert twin.compress(x, 0.3)["strings"] == model.compress(x, 0.3)["strings"]


def test_ids_tell_tables_and_integers_from_weights():
    one, other, third = awake("frequency"), awake("frequency"), awake("frequency", seed=1)
    assert one.model_id() == other.model_id() != third.model_id()
    with torch.no_grad():
        other.coders[1].integers.get_buffer("limits")[0] -= 1
    assert one.model_id() == other.model_id()
    assert one.table_id() != other.table_id()


@pytest.mark.parametrize("name", ["scalable", "disentangled"])
def test_a_transform_of_another_training_takes_the_files(x, tmp_path, name):
    """Files are of the codec; a weight file is of its transforms, too, and says when they are damaged."""
    one, other = awake(name), awake(name)
    with torch.no_grad():
        other.tasks[0][-1].bias.add_(1)
    assert one.model_id() == other.model_id()
    coded = one.compress(x, 0.5)
    decoded = [m.decompress(coded["strings"][:1], coded["shape"], coded["gain_index"])["y_hat"] for m in (one, other)]
    assert torch.equal(*decoded)
    torch.testing.assert_close(other.features(decoded[0], 0), one.features(decoded[0], 0) + 1)
    models.save_weights(one, tmp_path / "whole.safetensors")
    blob = bytearray((tmp_path / "whole.safetensors").read_bytes())
    start = 8 + int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8:start])
    blob[start + header["tasks.0.0.weight"]["data_offsets"][0]] ^= 1
    (tmp_path / "damaged.safetensors").write_bytes(bytes(blob))
    with pytest.raises(BitstreamError, match="damaged weight file: its ids are"):
        models.load(tmp_path / "damaged.safetensors")
    old = awake("scalable", unpacked=0)
    assert set(old.ids()) == {"model_id", "table_id"}
    before = old.model_id()
    with torch.no_grad():
        old.tasks[0][-1].bias.add_(1)
    assert old.model_id() != before


def test_front_halves_that_are_none():
    model = awake("scalable")
    front = model._fronts[0]
    for fronts in (None, front, "ab", ["x", front]):
        with pytest.raises(TypeError, match="fronts must be a sequence of callables"):
            model.attach(fronts)
    with pytest.raises(ValueError, match="wanted 2 front halves, got 1"):
        model.attach([front])
    with pytest.raises(ValueError, match="features0 must be positive, got 0"):
        create("disentangled", features0=0)


@pytest.mark.parametrize("shared", [0, 1])
def test_hyperpriors_apart_or_shared(x, shared):
    model = awake("denoise", shared=shared)
    assert len(model.coders) == 2 - shared
    coded = model.compress(x, 0.7)
    for count in (1, 2):
        found = model.decompress(coded["strings"][:count], coded["shape"], coded["gain_index"])["y_hat"]
        assert bool(found[:, 8:].any()) == (count == 2)


@pytest.mark.parametrize("name", FORMS)
def test_training_reaches_every_weight(name, x):
    model = awake(name, frozen=False).train()
    found = model(x[:, :, :64, :64], torch.tensor([0.3, 1.0]))
    assert found["distortion"].shape == (2,)
    bits = sum(-p.log2().sum() for p in found["likelihoods"].values())
    (1e4 * found["distortion"].sum() + bits).backward()
    idle = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert [n for n in idle if not n.endswith("quantiles") and "QuantABCD" not in n and "gayn2zqstep" not in n] == []


def test_a_finer_layer_has_room_for_noise(x):
    """As many latents as samples, orthonormal but for their step: without rounding all noise comes back."""
    model = create("denoise-fine", channels=4, layer0=4).eval()
    noisy = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = model.analyse(noisy)
        assert y.shape == (2, 4 + 768, *SHAPE)
        torch.testing.assert_close(model.reconstruct(y, 2), noisy)
        lacking = (noisy - model.reconstruct(y, 1)).square().sum()
        torch.testing.assert_close(y[:, 4:].square().sum() * (24 / 255) ** 2, lacking)


def test_the_base_learns_nothing_from_what_it_leaves_out(x):
    model = awake("denoise-fine", frozen=False).train()
    noisy = model.seen(x)
    y_hat, _ = model.simulate(model.analyse(noisy), torch.tensor([0.5, 0.5]))
    total, clean = model.distortion(x, noisy, y_hat)
    wanted = torch.autograd.grad(0.75 * clean.sum(), model.g_clean.parameters(), retain_graph=True)
    found = torch.autograd.grad(total.sum(), model.g_clean.parameters())
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other)
    assert not torch.allclose(total, 0.75 * clean)


def test_noise_is_of_every_deviation():
    model = create("denoise", channels=4, layer0=2, layer1=2)
    torch.manual_seed(0)
    x = torch.full((64, 3, 64, 64), 0.5)
    deviations = (model.seen(x) - x).flatten(1).std(1) * 255
    assert deviations.min() < 5
    assert 45 < deviations.max() < 56


@pytest.mark.parametrize("name", ["scalable", "disentangled"])
def test_a_task_sees_its_layers_and_those_before(name, x):
    model = awake(name)
    y_hat = torch.randn(1, model.latent_channels, *SHAPE)
    for task, (size, stride) in enumerate(zip(model.sizes, model.strides, strict=True)):
        found = model.features(y_hat, task)
        assert found.shape == (1, size, SHAPE[0] * 16 // stride, SHAPE[1] * 16 // stride)
        assert model.wanted(x, task).shape[1:] == found.shape[1:]
        seen = sum(model.layer_channels[: task + 1])
        other = torch.cat((y_hat[:, :seen], torch.randn_like(y_hat[:, seen:])), 1)
        assert torch.equal(model.features(other, task), found)
        assert not torch.equal(model.features(y_hat.flip(1), task), found)
    assert [model.shows(count + 1) for count in range(model.num_layers)] == [False] * len(model.sizes) + [True]


def test_errors_are_weighed_by_variance(x):
    model = awake("scalable", frozen=False)
    model.weigh(x, (2.0, 1.0))
    for task, weight in enumerate((2.0, 1.0)):
        assert float(model.gammas[task] * model.wanted(x, task).var()) == pytest.approx(weight * float(x.var()))


def test_weights_that_are_none(x):
    model = awake("scalable", frozen=False)
    for weights in ((1.0,), (1.0, 1.0, 1.0)):
        with pytest.raises(ValueError, match=f"wanted 2 weights, got {len(weights)}"):
            model.weigh(x, weights)
    model.attach([lambda pictures: torch.ones(2, 5, 16, 24), Front(4, 4)])
    with pytest.raises(ValueError, match="features of no variance"):
        model.weigh(x, (1.0, 1.0))


def test_what_training_weighs_is_no_part_of_a_model(x):
    model = awake("scalable")
    before, file = model.model_id(), set(model.state_dict())
    model.weigh(x, (2.0, 1.0))
    assert model.model_id() == before
    assert not any("gammas" in name for name in file)


def test_front_halves_move_with_the_model():
    model = awake("disentangled", frozen=False)
    front = torch.nn.Conv2d(3, 5, 8, stride=8)
    model.attach([front])
    model.to("meta")
    assert front.weight.device.type == "meta"
    assert not any(parameter is front.weight for parameter in model.parameters())


def test_only_the_encoder_of_a_disentangled_base_needs_the_task(x):
    seeing, blind = awake("disentangled"), awake("disentangled", blind=1)
    assert not torch.equal(seeing.analyse(x)[:, :6], blind.analyse(x)[:, :6])
    coded = blind.compress(x, 0.5)
    unattached = create("disentangled", **blind.config())
    unattached.load_state_dict(blind.state_dict())
    assert unattached.eval().compress(x, 0.5) == coded
    blind.attach([lambda pictures: 100 * torch.ones(len(pictures), 5, 16, 24)])
    assert blind.compress(x, 0.5) == coded
    alone = create("disentangled", **blind.config())
    alone.load_state_dict(blind.state_dict())
    decoded = alone.eval().decompress(coded["strings"][:1], coded["shape"], coded["gain_index"])
    assert "x_hat" not in decoded
    assert alone.features(decoded["y_hat"], 0).shape == (2, 5, 16, 24)
    with pytest.raises(ValueError, match="attach the tasks' front halves first"):
        create("disentangled", **seeing.config()).compress(x, 0.5)


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("scalable", {"features1": 0}, "3 layers are for 2 tasks, got 1"),
        ("scalable", {"stride0": 2}, "strides must be of"),
        ("disentangled", {"layer2": 4}, "DisentangledModel has 2 layers, got 3"),
        ("frequency", {"layer1": 0}, "FrequencyModel has 2 layers, got 1"),
        ("frequency", {"layer0": -3}, "channels must be positive"),
        ("frequency", {"stages": 5}, r"stages must be of \(3, 4\), got 5"),
        ("denoise", {"channels": 0}, "channels must be positive"),
        ("denoise-fine", {"layer0": -3}, "channels must be positive"),
        ("denoise-fine", {"shared": 1}, "share no hyperprior"),
        ("disentangled", {"features1": 4}, "2 layers are for 1 tasks, got 2"),
        ("scalable", {"features0": 0}, "3 layers are for 2 tasks, got 0"),
    ],
)
def test_sizes_that_fit_no_model(name, changes, words):
    with pytest.raises(ValueError, match=words):
        create(name, **(FORMS[name] | changes))


def test_fronts_that_do_not_fit(x):
    model = awake("scalable")
    with pytest.raises(ValueError, match="wanted 2 front halves, got 1"):
        model.attach([Front(5, 8)])
    model.attach([Front(4, 8), Front(4, 4)])
    with pytest.raises(ValueError, match=r"task 0 must give \[B, 5, h, w\]"):
        model.wanted(x, 0)
