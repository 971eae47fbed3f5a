"""Parts of layered files: what is kept decodes as the whole does, what is left out as the base."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scalecodec import codec
from scalecodec.alpha import encode_alpha
from scalecodec.container import ALPHA, ICC_PROFILE, pack, unpack
from scalecodec.errors import BitstreamError
from scalecodec.regions import tiles_of
from tests.models.layered_kit import awake

from .codec_kit import picture, small_model

WIDTH, HEIGHT = 400, 300
SIDE = 128
ROI = (130, 140, 100, 90)


@pytest.fixture(scope="module", params=["frequency", "denoise", "denoise-fine"])
def coded(request):
    torch.manual_seed(0)
    model = awake(request.param)
    return model, codec.encode(picture(HEIGHT, WIDTH), model, gain=1.0, tile=SIDE)


def decoded(coded, blob, **options):
    return codec.decode(blob, model=coded[0], **options)


def test_the_base_alone(coded):
    base = decoded(coded, coded[1], layers="base")
    kept = codec.keep(coded[1], "base")
    assert len(kept) < len(coded[1])
    assert unpack(kept).header.num_layers == 1
    np.testing.assert_array_equal(decoded(coded, kept), base)
    np.testing.assert_array_equal(decoded(coded, codec.keep(coded[1], 1)), base)
    assert (decoded(coded, coded[1]) != base).mean() > 0.05
    assert codec.keep(coded[1]) == coded[1]


def test_a_region_is_enhanced_and_the_rest_is_base(coded):
    full, base = decoded(coded, coded[1]), decoded(coded, coded[1], layers="base")
    kept = codec.keep(coded[1], roi=ROI)
    found = decoded(coded, kept)
    inside = np.s_[128 + 32 : 256 - 32, 128 + 32 : 256 - 32]  # but for what the synthesis sees across borders
    np.testing.assert_array_equal(found[inside], full[inside])
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[128 - 32 : 256 + 32, 128 - 32 : 256 + 32] = False
    np.testing.assert_array_equal(found[outside], base[outside])
    sizes = [sum(map(len, unpack(blob).layers[1])) for blob in (kept, coded[1])]
    assert sizes[0] < 0.2 * sizes[1]  # 1 of 12 tiles
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[140:230, 130:230] = True
    assert codec.keep(coded[1], roi=mask) == kept
    region = decoded(coded, kept, roi=ROI)
    x, y, width, height = ROI
    np.testing.assert_array_equal(region, found[y : y + height, x : x + width])


@pytest.mark.parametrize("name", ["scalable", "disentangled"])
def test_a_picture_that_needs_all_layers(name):
    """The region that was kept is shown; where it was left out it is grey, and said to be; a task needs its own."""
    model = awake(name)
    blob = codec.encode(picture(HEIGHT, WIDTH), model, gain=1.0, tile=SIDE)
    kept = codec.keep(blob, roi=ROI)
    last = model.num_layers - 1
    with pytest.raises(BitstreamError, match="layer 1 tile 0: left out, and those before it show no picture"):
        codec.decode(kept, model=model)
    x, y, width, height = ROI
    region = codec.decode(kept, model=model, roi=ROI)
    found = codec.decode_all(kept, model=model, strict=False)
    assert len(found.damaged) == 11
    samples = found.picture.samples
    np.testing.assert_array_equal(region, samples[y : y + height, x : x + width])
    outside = np.ones((HEIGHT, WIDTH), bool)
    outside[128:256, 128:256] = False
    assert (samples[outside] == 128).all()
    whole = codec.decode(blob, model=model)
    np.testing.assert_array_equal(samples[160:224, 160:224], whole[160:224, 160:224])
    assert torch.equal(codec.features(kept, 0, model=model), codec.features(blob, 0, model=model))
    if last > 1:
        with pytest.raises(BitstreamError, match="layer 1 tile 0: not there"):
            codec.features(kept, 1, model=model)


def test_what_tiles_a_region_touches(coded):
    header = unpack(coded[1]).header
    assert tiles_of((0, 0, 1, 1), header) == {0}
    assert tiles_of((127, 127, 2, 2), header) == {0, 1, 4, 5}
    assert tiles_of((0, 0, WIDTH, HEIGHT), header) == set(range(12))
    mask = np.zeros((HEIGHT, WIDTH), bool)
    assert tiles_of(mask, header) == set()
    mask[0, 399] = mask[299, 0] = True
    assert tiles_of(mask, header) == {3, 8}
    assert tiles_of(np.array([0, 0, 1, 1]), header) == {0}
    assert codec.keep(coded[1], np.int64(2)) == coded[1]


@pytest.mark.parametrize(
    ("roi", "words"),
    [
        ((0, 0, 401, 1), "inside 400 x 300"),
        ((0, 0, 0, 1), "inside 400 x 300"),
        ((0, 0, 1), "must be \\(x, y, width, height\\)"),
        (np.zeros((3, 3), bool), "bool \\[300, 400\\], got bool \\[3, 3\\]"),
        (np.zeros((300, 400)), "got float64"),
        (5, "integers \\(x, y, width, height\\), got 5"),
        ((0.5, 0, 1, 1), "got \\(0.5, 0, 1, 1\\)"),
    ],
    ids=str,
)
def test_regions_that_are_none(coded, roi, words):
    with pytest.raises((ValueError, TypeError), match=words):
        codec.keep(coded[1], roi=roi)


def test_a_picture_is_decoded_in_rectangles(coded):
    with pytest.raises(TypeError, match="roi must be integers"):
        decoded(coded, coded[1], roi=np.zeros((HEIGHT, WIDTH), bool))


def test_layers_that_are_none(coded):
    for layers in (0, 3, "top", True):
        with pytest.raises(ValueError, match="from 1 to 2"):
            codec.keep(coded[1], layers)


def test_a_damaged_enhancement_costs_its_tile(coded):
    full, base = decoded(coded, coded[1]), decoded(coded, coded[1], layers="base")
    chunks = unpack(coded[1]).layers[1]
    damaged = bytearray(coded[1])
    damaged[len(damaged) - sum(map(len, chunks[5:])) + 3] ^= 1
    with pytest.raises(BitstreamError, match="layer 1 tile 5"):
        decoded(coded, bytes(damaged))
    found = codec.decode_all(bytes(damaged), strict=False, model=coded[0])
    assert found.damaged == ("layer 1 tile 5: checksum mismatch",)
    pixels = found.picture.samples
    np.testing.assert_array_equal(pixels[160:224, 160:224], base[160:224, 160:224])
    np.testing.assert_array_equal(pixels[:96], full[:96])
    np.testing.assert_array_equal(decoded(coded, bytes(damaged), layers="base"), base)
    assert codec.keep(bytes(damaged), "base") == codec.keep(coded[1], "base")


@pytest.mark.parametrize("kind", [ALPHA, ICC_PROFILE])
def test_what_a_base_needs_behind_the_layers(coded, kind):
    """Alpha is of the picture; a profile that was cut off is done without."""
    container = unpack(coded[1])
    extra = encode_alpha(picture(HEIGHT, WIDTH, 4)[..., 3]) if kind == ALPHA else b"profile"
    header = replace(container.header, channels=4 if kind == ALPHA else 3)
    blob = pack(header, container.layers, {kind: extra})
    cut = blob[: -len(extra) - 5]
    if kind == ALPHA:
        with pytest.raises(BitstreamError, match="ancillary kind 1: cut off"):
            codec.decode(cut, layers="base", model=coded[0])
        return
    np.testing.assert_array_equal(decoded(coded, cut, layers="base"), decoded(coded, blob, layers="base"))
    assert codec.keep(cut, "base") == codec.keep(coded[1], "base")
    damaged = blob[:-1] + bytes([blob[-1] ^ 1])
    with pytest.raises(BitstreamError, match="ancillary kind 2: checksum mismatch"):
        codec.keep(damaged, "base")


def test_a_damaged_layer_for_people_is_told_once():
    model = awake("scalable")
    container = unpack(codec.encode(picture(HEIGHT, WIDTH), model, gain=1.0, tile=SIDE))
    blob = bytearray(pack(container.header, container.layers))
    blob[-3] ^= 1
    assert len(codec.decode_all(bytes(blob), model=model, strict=False).damaged) == 1


def test_a_file_that_ends_within_its_enhancement(coded):
    container = unpack(coded[1])
    length = len(coded[1]) - sum(map(len, container.layers[1]))
    base = decoded(coded, coded[1], layers="base")
    found = codec.decode_all(coded[1][:length], strict=False, model=coded[0])
    np.testing.assert_array_equal(found.picture.samples, base)
    assert len(found.damaged) == 12
    np.testing.assert_array_equal(decoded(coded, coded[1][:length], layers="base"), base)
    assert codec.keep(coded[1][:length], "base") == codec.keep(coded[1], "base")
    with pytest.raises(BitstreamError, match="layer 0 tile 11: cut off"):
        decoded(coded, coded[1][: length - 1], layers="base")


def test_an_enhancement_with_a_right_checksum_and_wrong_bytes(coded):
    container = unpack(coded[1])
    layers = [list(layer) for layer in container.layers]
    layers[1][3] = b"\xff" * 9
    blob = pack(container.header, layers)
    with pytest.raises(BitstreamError, match="layer 1 tile 3: "):
        decoded(coded, blob)
    found = codec.decode_all(blob, strict=False, model=coded[0])
    assert len(found.damaged) == 1
    assert found.damaged[0].startswith("layer 1 tile 3: ")


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_the_layer_at_fault_is_named_once(layer):
    model = awake("scalable")
    container = unpack(codec.encode(picture(HEIGHT, WIDTH), model, gain=1.0, tile=SIDE))
    layers = [list(one) for one in container.layers]
    layers[layer][3] = b"\xff" * 9
    blob = pack(container.header, layers)
    with pytest.raises(BitstreamError, match=f"^layer {layer} tile 3: "):
        codec.decode(blob, model=model)
    found = codec.decode_all(blob, model=model, strict=False).damaged
    assert [one[:15] for one in found] == [f"layer {layer} tile 3:"] * len(found)
    assert len(found) == 1


def test_more_tiles_than_a_header_lists_are_refused_at_once():
    with pytest.raises(ValueError, match="16384 chunks do not fit a header of 65536 bytes: use larger tiles"):
        codec.encode(np.zeros((8192, 8192, 3), np.uint8), small_model(), tile=64)


@pytest.mark.parametrize("tile", [0, 63, 32, 96, 4096, -64])
def test_tiles_of_no_size(coded, tile):
    with pytest.raises(ValueError, match="power of two from 64 to 2048"):
        codec.encode(picture(64, 64), coded[0], tile=tile)
