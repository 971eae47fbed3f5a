"""Pictures of every kind through .scl files and back, at every rate, with every model, always to the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from PIL import Image

from scalecodec import codec, container, image
from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE
from scalecodec.models import create, save_weights
from scalecodec.streams import LANES, RANS64

from .codec_kit import picture, small_model

SIZES = [(1, 1), (1, 300), (300, 1), (63, 65), (64, 64), (257, 130)]
ICC = b"\0" * 16 + b"RGB " + bytes(range(200))


@pytest.fixture(scope="module")
def model():
    return small_model()


def gain_index(blob):
    return container.unpack(blob).header.gain_index


# Every kind of picture


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_shape_depth_alpha_and_profile_come_back(model, height, width, channels, dtype):
    samples = picture(height, width, channels, dtype)
    before = samples.copy()
    blob = codec.encode(image.Picture(samples, ICC), model)
    assert np.array_equal(samples, before)
    decoded = codec.decode_all(blob, model=model)
    assert decoded.damaged == ()
    assert decoded.picture.icc_profile == ICC
    out = decoded.picture.samples
    assert (out.shape, out.dtype) == (samples.shape, samples.dtype)
    assert np.array_equal(out, codec.decode(blob, model=model))
    if channels % 2 == 0:
        assert np.array_equal(out[..., -1], samples[..., -1])
    header = decoded.header
    assert (header.width, header.height, header.channels) == (width, height, channels)
    assert header.bit_depth == 8 * samples.itemsize
    assert (header.num_layers, header.tile_log2, header.gain_index) == (1, 10, 128)


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (3, np.uint8), (3, np.uint16)])
@pytest.mark.parametrize("gain", [GAIN_TABLE[0], 1.0, GAIN_TABLE[-1]])
def test_pixels_are_those_that_the_model_gives(model, channels, dtype, gain):
    samples = picture(100, 150, channels, dtype)
    peak = np.iinfo(dtype).max
    x = torch.from_numpy(samples.astype(np.float32) / np.float32(peak)).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
    x = torch.nn.functional.pad(x, (0, 42, 0, 28), mode="replicate")
    with torch.no_grad():
        wanted = model(x, gain)["x_hat"][0, :, :100, :150]
    wanted = wanted.mean(0, keepdim=True) if channels == 1 else wanted
    wanted = (wanted.clamp(0, 1) * peak).permute(1, 2, 0).numpy()
    out = codec.decode(codec.encode(samples, model, gain=gain), model=model)
    assert np.abs(out - wanted).max() <= 0.5 + 1e-3 * (peak / 255)
    assert out.std() > peak / 20


def test_the_shipped_model_shows_the_picture():
    samples = picture(128, 192)
    blob = codec.encode(samples, quality=100)
    error = codec.decode(blob).astype(float) - samples
    assert 10 * np.log10(255**2 / np.square(error).mean()) > 20
    assert len(codec.encode(samples, quality=0)) < len(blob) < samples.nbytes / 2


def test_every_way_to_give_a_picture_gives_the_same_file(model, tmp_path):
    samples = picture(40, 50)
    path = tmp_path / "picture.png"
    image.write(path, image.Picture(samples))
    wanted = codec.encode(samples, model)
    for same in (
        image.Picture(samples),
        Image.fromarray(samples),
        path,
        os.fspath(path),
        path.read_bytes(),
        np.asfortranarray(samples),
        np.repeat(samples, 2, 1)[:, ::2],
        samples[::-1].copy()[::-1],
    ):
        assert codec.encode(same, model) == wanted
    readonly = samples.copy()
    readonly.flags.writeable = False
    assert codec.encode(readonly, model) == wanted
    deep = picture(40, 50, 1, np.uint16)
    assert codec.encode(deep.astype(">u2"), model) == codec.encode(deep, model) == codec.encode(deep[..., 0], model)
    assert codec.decode(codec.encode(samples[..., 0], model), model=model).shape == (40, 50, 1)


def test_a_photograph_on_its_side_is_coded_upright(model, tmp_path):
    samples = picture(40, 56)
    photograph = Image.fromarray(samples)
    exif = photograph.getexif()
    exif[0x0112] = 6  # turn clockwise to show
    photograph.save(tmp_path / "side.png", exif=exif)
    out = codec.decode_all(codec.encode(tmp_path / "side.png", model), model=model).picture.samples
    assert out.shape == (56, 40, 3)
    assert np.array_equal(out, codec.decode(codec.encode(np.rot90(samples, -1), model), model=model))


# Rates


def test_files_grow_with_quality_over_the_whole_gain_table(model):
    samples = picture(128, 128)
    blobs = [codec.encode(samples, model, quality=quality) for quality in range(0, 101, 5)]
    sizes = [len(blob) for blob in blobs]
    assert sizes == sorted(sizes)
    assert sizes[-1] > 2 * sizes[0]
    indexes = [gain_index(blob) for blob in blobs]
    assert (indexes[0], indexes[-1]) == (0, 255)
    assert all(abs(b - a - 12.75) <= 1 for a, b in pairwise(indexes))
    assert blobs[10] == codec.encode(samples, model), "the default is 50"


def test_a_gain_is_taken_to_the_nearest_of_the_table(model):
    samples = picture(64, 64)
    for index in (0, 100, 200, 255):
        for factor in (0.996, 1, 1.004):
            assert gain_index(codec.encode(samples, model, gain=GAIN_TABLE[index] * factor)) == index
    assert codec.encode(samples, model, gain=1) == codec.encode(samples, model, gain=1.0)


def test_files_of_rans64_streams_still_decode(model, monkeypatch):
    """What codec.encode wrote before the lane stream: the same latents, so the same pixels."""
    samples = picture(257, 130)
    blob = codec.encode(samples, model, gain=0.5)
    encode_layers = model.encode_layers
    monkeypatch.setattr(model, "encode_layers", lambda *some, **named: encode_layers(*some, RANS64, **named))
    written = container.unpack(codec.encode(samples, model, gain=0.5))
    older = container.pack(replace(written.header, stream=RANS64), written.layers, written.ancillary)
    assert container.unpack(blob).header.stream is LANES
    assert older != blob
    np.testing.assert_array_equal(codec.decode(older, model=model), codec.decode(blob, model=model))
    mislabelled = container.pack(written.header, written.layers, written.ancillary)
    with pytest.raises(BitstreamError):
        codec.decode(mislabelled, model=model)


@pytest.mark.parametrize("channels", [3, 4])
def test_a_budget_is_kept_and_used(model, monkeypatch, channels):
    samples = picture(200, 150, channels)
    sizes = [len(codec.encode(samples, model, gain=gain)) for gain in GAIN_TABLE[::15]]
    encode_tile, calls = model.encode_tile, []
    monkeypatch.setattr(model, "encode_tile", lambda *some, **named: calls.append(None) or encode_tile(*some, **named))
    for budget in np.geomspace(sizes[0], sizes[-1], 9).astype(int)[:-1]:
        calls.clear()
        blob = codec.encode(samples, model, target_bytes=int(budget))
        assert len(calls) <= 14
        index = gain_index(blob)
        assert len(blob) <= budget
        assert codec.decode(blob, model=model).shape == samples.shape
        # A step of the gain may be more than 1 % of a small file: then the next one must be too large.
        assert len(blob) >= 0.99 * budget or len(codec.encode(samples, model, gain=GAIN_TABLE[index + 1])) > budget
    calls.clear()
    assert len(codec.encode(samples, model, target_bytes=10**9)) == sizes[-1]
    assert len(calls) == 2
    assert 0.99 * sizes[0] <= len(codec.encode(samples, model, target_bytes=sizes[0])) <= sizes[0]
    too_few = int(0.9 * sizes[0])
    with pytest.raises(ValueError, match=rf"target_bytes is {too_few}, .* {sizes[0]} bytes at the least"):
        codec.encode(samples, model, target_bytes=too_few)


# Models


def test_models_by_object_by_path_and_by_the_id_in_the_file(model, tmp_path, monkeypatch):
    samples = picture(64, 80)
    path = tmp_path / "own.safetensors"
    save_weights(model, path)
    blob = codec.encode(samples, model)
    assert codec.encode(samples, path) == codec.encode(samples, os.fspath(path)) == blob
    out = codec.decode(blob, model=model)
    assert np.array_equal(codec.decode(blob, model=path), out)
    assert codec.decode(codec.encode(samples)).shape == samples.shape  # the shipped model, found by its id
    with pytest.raises(BitstreamError, match=f"needs model {model.model_id().hex()}.*zoo"):
        codec.decode(blob)
    save_weights(other := small_model(1), path)
    os.utime(path, ns=(1, 1))
    assert codec.encode(samples, path) == codec.encode(samples, other), "the file's old content was used"
    for name in ("no-such-model", tmp_path / "absent.safetensors"):
        with pytest.raises(ValueError, match="no weights named"):
            codec.encode(samples, name)
    with pytest.raises(ValueError, match=r"update\(\)"):
        codec.encode(samples, create("vbr-mean", channels=4, latent_channels=4))


def test_another_model_is_an_error_that_names_both(model):
    blob = codec.encode(picture(20, 20), model)
    other = small_model(1)
    with pytest.raises(BitstreamError, match=f"model {model.model_id().hex()}.*{other.model_id().hex()}"):
        codec.decode(blob, model=other)
    twin = small_model()
    twin.entropy_bottleneck._offset -= 1
    assert twin.model_id() == model.model_id()
    with pytest.raises(BitstreamError, match=f"tables {model.table_id().hex()}.*{twin.table_id().hex()}"):
        codec.decode(blob, model=twin)


# The same bytes

ENCODE = """
import hashlib, sys, torch
from importlib.util import module_from_spec, spec_from_file_location
kit = module_from_spec(spec := spec_from_file_location("codec_kit", sys.argv[1]))
spec.loader.exec_module(kit)
from scalecodec import codec
torch.set_num_threads(int(sys.argv[2]))
blob = codec.encode(kit.picture(200, 300), kit.small_model())
pixels = codec.decode(blob, model=kit.small_model())
print(hashlib.sha256(blob).hexdigest(), hashlib.sha256(pixels.tobytes()).hexdigest())
"""


@pytest.fixture
def set_threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_the_same_picture_gives_the_same_bytes_in_every_process_and_on_every_number_of_threads(model, set_threads):
    samples, blobs, pixels = picture(200, 300), [], []
    for threads in (1, 1, 2):
        set_threads(threads)
        blobs.append(codec.encode(samples, model))
        pixels.append(codec.decode(blobs[0], model=model))
    assert len(set(blobs)) == 1
    assert np.array_equal(pixels[0], pixels[1])
    # synthesis may sum in another order on other threads: a value just between two integers can fall to either
    assert np.abs(pixels[2].astype(int) - pixels[0]).max() <= 1
    kit = sys.modules[picture.__module__].__file__
    command = [sys.executable, "-W", "error", "-c", ENCODE, kit, "2"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=os.sep)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [hashlib.sha256(data).hexdigest() for data in (blobs[0], pixels[2].tobytes())]


def test_bytes_of_the_shipped_model_decode_on_every_number_of_threads(set_threads):
    samples, blobs, pixels = picture(130, 260), [], []
    for threads in (1, 2):
        set_threads(threads)
        blobs.append(codec.encode(samples))
        pixels.append(codec.decode(blobs[0]))
    assert blobs[0] == blobs[1]
    assert np.abs(pixels[1].astype(int) - pixels[0]).max() <= 1
