"""Tiles leave no trace: latents and pixels are those of the whole picture, and a region is a crop of the whole."""

from __future__ import annotations

import random
import types
import weakref

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalecodec import codec
from scalecodec.container import Header
from scalecodec.tiles import HALO, Grid
from scalecodec.transform import analyse, latent_shape, synthesise

from .codec_kit import picture, small_model
from .models.layered_kit import awake

STRIDE, MULTIPLE = 16, 64
WHOLE = 4096  # a tile larger than every picture here
# float32 convolutions of another size sum in another order; the values are of magnitude 10 and 1
LATENT_TOLERANCE = 1e-4
PIXEL_TOLERANCE = 2 / 65535

sides = st.integers(1, 3000)
tile_log2 = st.integers(6, 11)


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture
def tiles_of_64(monkeypatch):
    monkeypatch.setattr(codec, "TILE_LOG2", 6)


def no_fault(row, column, reason):
    raise AssertionError(f"tile {row}, {column}: {reason}")


def split(latents, grid):
    """What `latent_of` gives of one large latent cut into tiles."""
    return lambda r, c: latents[:, :, slice(*edges(grid.rows[r])), slice(*edges(grid.columns[c]))]


def edges(span):
    return span.start, span.stop


def joined(parts, grid):
    columns = len(grid.columns)
    rows = [torch.cat(parts[start : start + columns], 3) for start in range(0, len(parts), columns)]
    return torch.cat(rows, 2)


def pixels(model, latents, height, width, tile, region=None, spoilt=no_fault, halo=HALO):
    grid = Grid(height, width, STRIDE, MULTIPLE, tile, halo)
    region = region or (0, 0, width, height)
    return synthesise(model, split(latents, grid), grid, region, 3, 16, spoilt, shown_by(model))


def shown_by(model):
    return lambda row, column, latents: model.g_s(latents)


# Geometry


@given(height=sides, width=sides, log2=tile_log2)
def test_tiles_cover_the_extended_picture_once(height, width, log2):
    grid = Grid(height, width, STRIDE, MULTIPLE, 1 << log2)
    for side, spans in ((height, grid.rows), (width, grid.columns)):
        total = -(-side // 64) * 4
        places = [place for span in spans for place in range(*edges(span))]
        assert places == list(range(total))
        assert {span.size for span in spans[:-1]} <= {(1 << log2) // 16}
        for span in spans:
            assert span.size % 4 == 0, "a hyper-latent covers 4 latents"
            assert span.size > 0
            assert span.outer_start == max(span.start - 2, 0)
            assert span.outer_stop == min(span.stop + 2, total)
            assert list(range(span.outer_start, span.outer_stop))[span.inner] == list(range(*edges(span)))
    assert len(list(grid)) == len(grid.rows) * len(grid.columns)


@given(height=sides, width=sides, log2=tile_log2)
def test_grid_and_header_count_the_same_tiles(height, width, log2):
    header = Header(bytes(8), bytes(8), width, height, 3, 8, 0, log2)
    grid = Grid(height, width, STRIDE, MULTIPLE, 1 << log2)
    assert (len(grid.rows), len(grid.columns)) == (header.tiles_y, header.tiles_x)
    assert list(grid) == [(row, column) for row in grid.rows for column in grid.columns]


@given(data=st.data(), height=sides, width=sides, log2=tile_log2)
def test_touching_names_the_tiles_that_share_a_pixel_with_a_region(data, height, width, log2):
    y, x = data.draw(st.integers(0, height - 1)), data.draw(st.integers(0, width - 1))
    h, w = data.draw(st.integers(1, height - y)), data.draw(st.integers(1, width - x))
    tile = 1 << log2
    grid = Grid(height, width, STRIDE, MULTIPLE, tile)
    rows, columns = grid.touching(x, y, w, h)
    assert list(rows) == [r for r in range(len(grid.rows)) if r * tile < y + h and y < (r + 1) * tile]
    assert list(columns) == [c for c in range(len(grid.columns)) if c * tile < x + w and x < (c + 1) * tile]


# Transforms


@pytest.mark.parametrize("tile", [64, 128, 256])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (64, 64), (65, 300), (300, 63), (257, 385)])
def test_latents_of_tiles_are_those_of_the_whole(model, tile, height, width):
    samples = picture(height, width)
    grid = Grid(height, width, STRIDE, MULTIPLE, tile)
    parts = analyse(model, samples, grid)
    assert [tuple(part.shape[2:]) for part in parts] == [
        latent_shape(model, grid, r, c) for r in range(len(grid.rows)) for c in range(len(grid.columns))
    ]
    (whole,) = analyse(model, samples, Grid(height, width, STRIDE, MULTIPLE, WHOLE))
    assert whole.std() > 1
    assert (joined(parts, grid) - whole).abs().max() < LATENT_TOLERANCE


@pytest.mark.parametrize("form", ["frequency", "denoise-fine"])
def test_latents_of_layered_models_do_not_know_of_tiles(form):
    layered, samples, grid = awake(form), picture(257, 385), Grid(257, 385, STRIDE, MULTIPLE, 128)
    (whole,) = analyse(layered, samples, Grid(257, 385, STRIDE, MULTIPLE, WHOLE))
    scale = whole.abs().amax((0, 2, 3), keepdim=True)
    assert ((joined(analyse(layered, samples, grid), grid) - whole) / scale).abs().max() < LATENT_TOLERANCE


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (1, np.uint16), (3, np.uint16)])
def test_grey_and_deep_pictures_give_the_latents_of_their_8_bit_rgb_twins(model, channels, dtype):
    samples = picture(100, 90, channels)
    grid = Grid(100, 90, STRIDE, MULTIPLE, 64)
    twin = np.repeat(samples, 3 // channels, 2)
    deep = samples if dtype == np.uint8 else samples.astype(np.uint16) * 257
    for one, other in zip(analyse(model, deep, grid), analyse(model, twin, grid), strict=True):
        assert (one - other).abs().max() < LATENT_TOLERANCE


@pytest.mark.parametrize("tile", [64, 128, 256])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (64, 64), (65, 300), (300, 63), (257, 385)])
def test_pixels_of_tiles_are_those_of_the_whole(model, tile, height, width):
    grid = Grid(height, width, STRIDE, MULTIPLE, WHOLE)
    latents = 2 * torch.randn(1, model.latent_channels, grid.rows[0].size, grid.columns[0].size)
    whole = pixels(model, latents, height, width, WHOLE).astype(int)
    tiled = pixels(model, latents, height, width, tile).astype(int)
    assert whole.shape == (height, width, 3)
    assert min(height, width) == 1 or whole.std() > 5000
    assert np.abs(tiled - whole).max() <= PIXEL_TOLERANCE * 65535


def test_a_smaller_halo_would_show(model, monkeypatch):
    samples, latents = picture(256, 256), 2 * torch.randn(1, model.latent_channels, 16, 16)
    (right_latents,) = analyse(model, samples, Grid(256, 256, STRIDE, MULTIPLE, WHOLE))
    right_pixels = pixels(model, latents, 256, 256, WHOLE).astype(int)
    monkeypatch.setattr(model, "analysis_halo", 1)
    grid = Grid(256, 256, STRIDE, MULTIPLE, 128, halo=1)
    assert (joined(analyse(model, samples, grid), grid) - right_latents).abs().max() > 10 * LATENT_TOLERANCE
    wrong = np.abs(pixels(model, latents, 256, 256, 128, halo=1).astype(int) - right_pixels).max()
    assert wrong > 10 * PIXEL_TOLERANCE * 65535


def test_a_base_that_sees_features_sees_them_across_tiles(monkeypatch):
    model = awake("disentangled")

    def front(x):
        around = torch.nn.functional.avg_pool2d(x, 8 + 2 * 44, stride=8, padding=44)
        return torch.cat((around, around[:, :2] ** 2), 1)

    model.attach([front])
    samples = picture(256, 256)
    (right,) = analyse(model, samples, Grid(256, 256, STRIDE, MULTIPLE, WHOLE))
    grid = Grid(256, 256, STRIDE, MULTIPLE, 64)
    assert (joined(analyse(model, samples, grid), grid) - right).abs().max() < LATENT_TOLERANCE
    monkeypatch.setattr(model, "analysis_halo", 5)
    assert (joined(analyse(model, samples, grid), grid) - right).abs().max() > 0


# Regions

REGIONS = {
    "a corner pixel": (0, 0, 1, 1),
    "the last pixel": (200, 140, 1, 1),
    "a pixel inside": (77, 99, 1, 1),
    "on a crossing of tiles": (127, 63, 2, 2),
    "one tile exactly": (64, 64, 64, 64),
    "the last column": (200, 0, 1, 141),
    "the last row": (0, 140, 201, 1),
    "all": (0, 0, 201, 141),
}


def crop(samples, region):
    x, y, width, height = region
    return samples[y : y + height, x : x + width]


@pytest.mark.usefixtures("tiles_of_64")
@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint8), (2, np.uint16), (3, np.uint8), (4, np.uint8)])
def test_a_region_is_a_crop_of_the_whole_bit_for_bit(model, channels, dtype):
    blob = codec.encode(picture(141, 201, channels, dtype), model)
    whole = codec.decode(blob, model=model)
    assert whole.shape == (141, 201, channels)
    pick = random.Random(channels)
    regions = list(REGIONS.values())
    for _ in range(12):
        x, y = pick.randrange(201), pick.randrange(141)
        regions.append((x, y, pick.randint(1, 201 - x), pick.randint(1, 141 - y)))
    for region in regions:
        part = codec.decode(blob, roi=region, model=model)
        assert part.dtype == dtype
        assert np.array_equal(part, crop(whole, region)), region


@pytest.mark.usefixtures("tiles_of_64")
@pytest.mark.parametrize(
    ("name", "decoded", "synthesised"),
    [
        ("a corner pixel", 4, 1),
        ("a pixel inside", 9, 1),  # tile (1, 1) and all around it
        ("on a crossing of tiles", 12, 4),
        ("one tile exactly", 9, 1),
        ("the last pixel", 4, 1),
        ("the last row", 8, 4),
        ("all", 12, 12),
    ],
)
def test_only_the_tiles_that_a_region_needs_are_decoded_each_once(model, monkeypatch, name, decoded, synthesised):
    blob = codec.encode(picture(141, 201), model)
    chunks, runs = [], []
    decode_tile = model.decode_tile

    def counted(chunk, *rest):
        chunks.append(chunk)
        return decode_tile(chunk, *rest)

    monkeypatch.setattr(model, "decode_tile", counted)
    with model.g_s.register_forward_hook(lambda *_: runs.append(None)):
        codec.decode(blob, roi=REGIONS[name], model=model)
    assert (len(chunks), len(set(chunks)), len(runs)) == (decoded, decoded, synthesised)


def test_no_more_than_three_rows_of_latents_are_held(model):
    grid = Grid(64 * 7, 64 * 3, STRIDE, MULTIPLE, 64)
    alive = weakref.WeakSet()
    most = 0

    def latent_of(row, column):
        nonlocal most
        latent = torch.zeros(1, model.latent_channels, 4, 4)
        alive.add(latent)
        most = max(most, len(alive))
        return latent

    synthesise(model, latent_of, grid, (0, 0, 64 * 3, 64 * 7), 3, 8, no_fault, shown_by(model))
    assert 0 < most <= 9


@pytest.mark.parametrize(("value", "shown"), [(np.inf, 65535), (-np.inf, 0), (np.nan, 0)])
def test_pixels_that_are_not_finite_are_reported_and_defined(value, shown):
    class Same:
        latent_channels = 3

        def g_s(self, latents):
            return latents.repeat_interleave(16, 2).repeat_interleave(16, 3)

    latents = torch.full((1, 3, 4, 12), 0.5)
    latents[0, 1, 2, 6] = value
    faults = []
    out = pixels(Same(), latents, 64, 192, 64, spoilt=lambda *fault: faults.append(fault))
    assert [fault[:2] for fault in faults] == [(0, 1)]
    assert (out[32:48, 96:112, 1] == shown).all()
    out[32:48, 96:112, 1] = 32768
    assert (out == 32768).all()
    # a region without those pixels is sound
    assert pixels(Same(), latents, 64, 192, 64, region=(112, 0, 80, 64)).shape == (64, 80, 3)


def test_tiles_lost_with_all_their_neighbours_are_grey_without_synthesis():
    class Untouched(torch.nn.Module):
        def forward(self, latent):
            raise AssertionError("nothing is there to synthesise")

    model = types.SimpleNamespace(g_s=Untouched(), latent_channels=8, latent_stride=16)
    grid = Grid(300, 200, 16, 64, 64)
    samples = synthesise(model, lambda row, column: None, grid, (5, 7, 190, 280), 3, 8, no_fault, shown_by(model))
    assert samples.shape == (280, 190, 3)
    assert set(np.unique(samples)) == {128}
