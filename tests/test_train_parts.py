"""What a training run is made of: its settings, its crops of photographs, and the loss by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image

from scalecodec.train import TrainConfig
from scalecodec.train.data import RandomCrops, image_paths, read_rgb
from scalecodec.train.losses import psnr_of, rate_distortion


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    (path / "sub").mkdir()
    (path / "no_picture.png").mkdir()
    (path / "notes.txt").write_text("no picture either")
    for name, size, mode in (
        ("a.png", (90, 70), "RGB"),
        ("b.PNG", (64, 64), "RGBA"),
        ("sub/c.bmp", (130, 200), "RGB"),
        ("sub/d.png", (20, 100), "L"),
    ):
        coarse = rng.integers(0, 256, (5, 4, len(mode)), dtype=np.uint8)
        Image.fromarray(coarse.squeeze()).resize(size, Image.Resampling.BICUBIC).save(path / name)
    return path


def test_the_loss_is_what_a_hand_computes():
    x = torch.full((2, 3, 2, 2), 0.5)
    output = {
        "x_hat": x + torch.tensor([0.1, -0.2]).reshape(2, 1, 1, 1),
        "likelihoods": {
            "y": torch.tensor([[[[0.5, 0.25]]], [[[1.0, 0.125]]]]),  # 3 and 3 bits
            "z": torch.tensor([[[[0.5]]], [[[1 / 32]]]]),  # 1 and 5 bits, over 4 pixels
        },
    }
    result = rate_distortion(output, x, torch.tensor([1.0, 0.5]), lambda_max=0.2)
    first = 1.0 + 0.2 * 255**2 * 0.01
    second = (2.0 + 0.2 * 0.25 * 255**2 * 0.04) / 0.5
    assert result.loss.item() == pytest.approx((first + second) / 2, rel=1e-6)
    assert result.bpp.item() == pytest.approx(1.5)
    assert result.mse.item() == pytest.approx(0.025)
    assert result.loss.shape == result.bpp.shape == result.mse.shape == ()
    assert psnr_of(0.01) == pytest.approx(20)
    assert psnr_of(0) == pytest.approx(120)


def test_crops_are_a_function_of_seed_and_index(folder):
    crops = RandomCrops(folder, 64, 40, seed=3)
    assert len(crops) == 40
    items = [crops[i] for i in range(40)]
    for item in items:
        assert item.shape == (3, 64, 64)
        assert item.dtype == torch.float32
        assert item.is_contiguous()
        assert 0 <= item.min() < item.max() <= 1
    again, ahead = RandomCrops(folder, 64, 40, seed=3), RandomCrops(folder, 64, 40, seed=3, first=25)
    assert all(torch.equal(again[i], items[i]) for i in reversed(range(40)))
    assert all(torch.equal(ahead[i], items[25 + i]) for i in range(15))
    other = RandomCrops(folder, 64, 40, seed=4)
    assert sum(torch.equal(other[i], items[i]) for i in range(40)) < 10  # the 64 x 64 image has but four crops
    assert len({item.numpy().tobytes() for item in items}) > 20


def test_small_images_are_mirrored_and_turned_only(tmp_path):
    image = np.random.default_rng(1).integers(0, 256, (20, 50, 3), dtype=np.uint8)
    Image.fromarray(image).save(tmp_path / "small.png")
    mirrored = np.concatenate([image, image[::-1], image, image[::-1]])[:64]
    mirrored = np.concatenate([mirrored, mirrored[:, ::-1]], axis=1)[:, :64]
    wanted = {p.tobytes() for q in (mirrored, mirrored[:, ::-1]) for p in (q, q.transpose(1, 0, 2))}
    crops = RandomCrops(tmp_path, 64, 50)
    got = {(crops[i] * 255).round().byte().permute(1, 2, 0).numpy().tobytes() for i in range(50)}
    assert got == wanted


def test_decoded_images_stay_within_the_budget(folder, monkeypatch):
    sizes = sorted(read_rgb(path).nbytes for path in image_paths(folder))
    reads = []
    monkeypatch.setattr("scalecodec.train.data.read_rgb", lambda path: reads.append(path) or read_rgb(path))
    for budget, stay in ((0, 0), (sizes[2], 2), (10**9, 4)):
        crops, free = RandomCrops(folder, 64, 99, cache_bytes=budget), RandomCrops(folder, 64, 99)
        reads.clear()
        first = [crops[i] for i in range(30)]
        held = sum(image.nbytes for image in crops._cache.values())
        assert held <= budget
        assert len(crops._cache) <= stay
        assert held == sum(sizes) or stay < 4
        assert len(reads) == 4 if stay == 4 else len(reads) > 10
        assert all(torch.equal(free[i], item) for i, item in enumerate(first))


def test_pictures_of_other_kinds_become_8_bit_colour(tmp_path):
    deep = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    expected = np.repeat(np.round(deep / 257).astype(np.uint8)[:, :, None], 3, axis=2)
    np.testing.assert_array_equal(read_rgb(tmp_path / "deep.png"), expected)
    grey = Image.fromarray(np.full((4, 4), 9, np.uint8)).convert("LA")
    grey.save(tmp_path / "grey.png")
    assert read_rgb(tmp_path / "grey.png").tolist() == [[[9, 9, 9]] * 4] * 4


def test_folders_without_images_and_damaged_images_are_named(tmp_path):
    (tmp_path / "note.txt").write_text("text")
    for bad in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=f"{bad.name}.*no image files"):
            RandomCrops(bad, 64, 1)
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cut\.png"):
        RandomCrops(tmp_path, 64, 1)[0]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        *(({name: 0}, ValueError) for name in ("channels", "latent_channels", "steps", "batch", "crop", "log_every")),
        *(({name: -1.0}, ValueError) for name in ("minutes", "learning_rate", "lambda_max", "clip_norm")),
        *(({name: math.nan}, ValueError) for name in ("minutes", "learning_rate", "lambda_max", "clip_norm")),
        *(({name: 0.0}, ValueError) for name in ("learning_rate", "lambda_max", "clip_norm")),
        *(({name: -1}, ValueError) for name in ("workers", "seed", "warmup")),
        *(({name: 10.0}, TypeError) for name in ("steps", "batch", "seed")),
        ({"steps": True}, TypeError),
        ({"minutes": math.inf}, ValueError),
        ({"crop": 100}, ValueError),
        ({"precision": "float16"}, ValueError),
        ({"checkpoint_every": 0}, ValueError),
    ],
    ids=str,
)
def test_bad_settings_are_named(change, error):
    with pytest.raises(error, match=next(iter(change))):
        TrainConfig(data="data", out="out", **change)
