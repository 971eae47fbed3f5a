"""Faults of the caller are a ValueError or a TypeError; those of the file are in test_codec_damage.py."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from scalecodec import codec, container
from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE

from .codec_kit import picture, small_model


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.mark.parametrize(
    ("rate", "error", "words"),
    [
        ({"quality": 50, "gain": 1.0}, ValueError, "one of quality, gain and target_bytes"),
        ({"quality": 0, "target_bytes": 1000}, ValueError, "one of"),
        ({"gain": 1.0, "target_bytes": 1000}, ValueError, "one of"),
        ({"quality": -1}, ValueError, "quality must lie in"),
        ({"quality": 101}, ValueError, "quality must lie in"),
        ({"quality": 50.0}, TypeError, "integer"),
        ({"quality": "50"}, TypeError, "integer"),
        ({"gain": 0.0}, ValueError, "gain must be"),
        ({"gain": float("nan")}, ValueError, "gain must be"),
        ({"gain": GAIN_TABLE[0] * 0.98}, ValueError, "gain must lie in"),
        ({"gain": GAIN_TABLE[-1] * 1.02}, ValueError, "gain must lie in"),
        ({"target_bytes": 0}, ValueError, "target_bytes must be positive"),
        ({"target_bytes": -5}, ValueError, "target_bytes must be positive"),
        ({"target_bytes": float("nan")}, TypeError, "integer"),
        ({"target_bytes": 1000.5}, TypeError, "integer"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(model, rate, error, words):
    with pytest.raises(error, match=words):
        codec.encode(picture(64, 64), model, **rate)


@pytest.mark.parametrize(
    ("bad", "error"),
    [
        (None, TypeError),
        ([[1, 2], [3, 4]], TypeError),
        (7, TypeError),
        (torch.zeros(4, 4, 3, dtype=torch.uint8), TypeError),
        (np.zeros((4, 4, 3), np.float32), TypeError),
        (np.zeros((4, 4, 3), bool), TypeError),
        (np.zeros((4, 4, 3), np.int64), TypeError),
        (np.zeros((4, 4, 5), np.uint8), ValueError),
        (np.zeros((4, 4, 0), np.uint8), ValueError),
        (np.zeros((0, 4, 3), np.uint8), ValueError),
        (np.zeros(4, np.uint8), ValueError),
        (np.zeros((1, 4, 4, 3), np.uint8), ValueError),
        (np.zeros((40000, 1), np.uint8), ValueError),
        (np.broadcast_to(np.uint8(0), (32768, 8193)), ValueError),
        (b"no picture", BitstreamError),
        ("no such file.png", OSError),
        (Image.new("F", (4, 4)), ValueError),
    ],
    ids=str,
)
def test_what_is_no_picture_is_refused(model, bad, error):
    with pytest.raises(error) as caught:
        codec.encode(bad, model)
    assert isinstance(caught.value, BitstreamError) == (error is BitstreamError)


@pytest.mark.parametrize("layers", [0, 2, -1, 1.0, True, None, "first", "1", b"all", np.array([1, 2])], ids=str)
def test_layers_that_the_file_does_not_have_are_refused(model, layers):
    blob = codec.encode(picture(8, 8), model)
    with pytest.raises(ValueError, match="layers must be"):
        codec.decode(blob, layers=layers, model=model)
    for good in ("all", "base", 1):
        assert codec.decode(blob, layers=good, model=model).shape == (8, 8, 3)


def test_layers_that_the_model_does_not_know_are_refused_but_not_the_base(model):
    plain = container.unpack(codec.encode(picture(8, 8), model))
    header = container.Header(**{**plain.header.__dict__, "num_layers": 2})
    blob = container.pack(header, [plain.layers[0], [b"more"]])
    for layers in ("all", 2):
        with pytest.raises(BitstreamError, match="layers"):
            codec.decode(blob, layers=layers, model=model)
    base = codec.decode(blob, layers="base", model=model)
    assert np.array_equal(base, codec.decode(codec.encode(picture(8, 8), model), model=model))


@pytest.mark.parametrize(
    ("roi", "error"),
    [
        ((0, 0, 0, 1), ValueError),
        ((0, 0, 1, 0), ValueError),
        ((-1, 0, 1, 1), ValueError),
        ((0, 0, 13, 1), ValueError),
        ((12, 0, 1, 1), ValueError),
        ((0, 8, 1, 1), ValueError),
        ((0, 0, 1, 2**70), ValueError),
        ((0, 0, 1), ValueError),
        ((0, 0, 1, 1, 1), ValueError),
        ((), ValueError),
        ((0, 0, 1.0, 1), TypeError),
        ("0011", TypeError),
        (5, TypeError),
    ],
)
def test_a_region_outside_of_the_picture_is_refused(model, roi, error):
    blob = codec.encode(picture(8, 12), model)
    with pytest.raises(error):
        codec.decode(blob, roi=roi, model=model)
    assert codec.decode(blob, roi=np.array([11, 7, 1, 1]), model=model).shape == (1, 1, 3)


@pytest.mark.parametrize("blob", [None, "text", 5, [1, 2]])
def test_what_is_no_file_is_refused(blob):
    with pytest.raises(TypeError):
        codec.decode(blob)
