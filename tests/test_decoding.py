"""What a machine decodes of a file: features of a task, from its layers alone, of the whole picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scalecodec import codec
from scalecodec.container import pack, unpack
from scalecodec.errors import BitstreamError
from scalecodec.verify import verify
from tests.models.layered_kit import awake

from .codec_kit import picture, small_model

WIDTH, HEIGHT = 300, 200


@pytest.mark.parametrize("part", [{"layers": 1}, {"roi": (0, 0, 9, 9)}], ids=str)
def test_files_for_machines_are_verified(part):
    model = awake("scalable")
    blob = codec.keep(codec.encode(picture(80, 90), model, gain=1.0, tile=64), **part)
    verdicts = verify(blob, model)
    assert len(verdicts) >= 8
    assert all(one.same and one.largest == 0 for one in verdicts)


@pytest.fixture(scope="module", params=["scalable", "disentangled"])
def coded(request):
    model = awake(request.param)
    return model, codec.encode(picture(HEIGHT, WIDTH), model, gain=1.0)


def test_features_are_those_of_the_decoded_latents(coded):
    model, blob = coded
    for task, (size, stride) in enumerate(zip(model.sizes, model.strides, strict=True)):
        found = codec.features(blob, task, model=model)
        assert found.shape == (1, size, -(-HEIGHT // stride), -(-WIDTH // stride))
        assert (found.dtype, found.requires_grad) == (torch.float32, False)
        with torch.autocast("cpu", torch.bfloat16):
            assert torch.equal(codec.features(blob, task, model=model), found)
        container = unpack(blob)
        chunks = [layer[0] for layer in container.layers]
        y_hat = model.decode_layers(chunks[: task + 1], (16, 20), container.header.gain_index)
        with torch.no_grad():
            wanted = model.features(y_hat, task)[:, :, : found.shape[2], : found.shape[3]]
        assert torch.equal(found, wanted)
        kept = codec.keep(blob, task + 1)
        assert torch.equal(codec.features(kept, task, model=model), found)


def test_tiles_are_joined(coded):
    model, whole = coded
    blob = codec.encode(picture(HEIGHT, WIDTH), model, gain=1.0, tile=128)
    assert unpack(blob).header.num_tiles == 6
    found, wanted = (codec.features(one, model=model) for one in (blob, whole))
    assert found.shape == wanted.shape
    assert (found - wanted).abs().mean() < 0.1 * wanted.std()


def test_layers_for_machines_show_no_picture(coded):
    model, blob = coded
    count = unpack(blob).header.num_layers
    assert codec.decode(blob, model=model).shape == (HEIGHT, WIDTH, 3)
    for layers in range(1, count):
        with pytest.raises(ValueError, match=f"the first {layers} of the {count} layers show no .* features\\(\\)"):
            codec.decode(blob, layers=layers, model=model)
    with pytest.raises(ValueError, match=f"the first 1 of the {count} layers show no picture"):
        codec.decode(codec.keep(blob, "base"), model=model)


def test_features_survive_a_damaged_enhancement(coded):
    model, blob = coded
    damaged = bytearray(blob)
    damaged[-3] ^= 16
    found = codec.features(bytes(damaged), model=model)
    assert torch.equal(found, codec.features(blob, model=model))
    damaged[len(blob) - sum(len(layer[0]) for layer in unpack(blob).layers)] ^= 16
    with pytest.raises(BitstreamError, match="layer 0 tile 0: checksum mismatch"):
        codec.features(bytes(damaged), model=model)


def test_what_has_no_features(coded):
    model, blob = coded
    tasks = len(model.sizes)
    with pytest.raises(ValueError, match=f"has no task {tasks}"):
        codec.features(blob, tasks, model=model)
    with pytest.raises(ValueError, match="tasks are numbered from 0, got -1"):
        codec.features(blob, -1, model=model)
    count = unpack(blob).header.num_layers
    with pytest.raises(ValueError, match=f"from 1 to {count}, got {count + 1}"):
        codec.features(blob, count, model=model)
    with pytest.raises(TypeError, match="task must be an integer, got '0'"):
        codec.features(blob, "0", model=model)
    large = codec.encode(np.zeros((64, 64, 3), np.uint8), model)
    container = unpack(large)
    tiles = [[b""] * 64] * container.header.num_layers
    large = pack(replace(container.header, width=8192, height=8192, tile_log2=10), tiles)
    with pytest.raises(BitstreamError, match="16777216 pixels would take too much memory"):
        codec.features(large, model=model, strict=False)
    plain = small_model()
    with pytest.raises(ValueError, match="MeanScaleHyperprior has no task 0"):
        codec.features(codec.encode(np.zeros((64, 64, 3), np.uint8), plain), model=plain)
