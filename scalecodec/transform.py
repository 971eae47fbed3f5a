"""Pictures to latents and back, tile by tile, through a model's analysis and synthesis."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from .models import CompressionModel
from .tiles import Grid, Span


def latent_shape(model: CompressionModel, grid: Grid, row: int, column: int) -> tuple[int, int]:
    """Height and width of a tile's latent."""
    return grid.rows[row].size, grid.columns[column].size


@torch.no_grad()
def analyse(model: CompressionModel, samples: NDArray[Any], grid: Grid) -> list[Tensor]:
    """Latents [1, M, h, w] of every tile, in raster order.

    ``samples`` uint8 or uint16 [H, W, 1 or 3]; grey goes in as three equal planes.
    """
    wide = replace(grid, halo=model.analysis_halo)
    return [_analyse_tile(model, samples, wide, row, column) for row, column in wide]


def _analyse_tile(model: CompressionModel, samples: NDArray[Any], grid: Grid, row: Span, column: Span) -> Tensor:
    top, bottom, left, right = (
        edge * grid.stride for edge in (row.outer_start, row.outer_stop, column.outer_start, column.outer_stop)
    )
    # Of the border that only fills up to the model's multiple, the last row and column of samples must be at hand.
    first_y, first_x = min(top, grid.height - 1), min(left, grid.width - 1)
    patch = np.ascontiguousarray(samples[first_y:bottom, first_x:right].transpose(2, 0, 1))
    x = torch.from_numpy(patch.astype(np.float32) / np.float32(np.iinfo(samples.dtype).max))[None]
    fill_y, fill_x = bottom - first_y - x.shape[2], right - first_x - x.shape[3]
    x = F.pad(x, (0, fill_x, 0, fill_y), mode="replicate")[:, :, top - first_y :, left - first_x :]
    latent = model.analyse(x.expand(-1, 3, -1, -1)).float()  # under a caller's autocast too
    return latent[:, :, row.inner, column.inner].contiguous()


@torch.no_grad()
def synthesise(
    model: CompressionModel,
    latent_of: Callable[[int, int], Tensor | None],
    grid: Grid,
    region: tuple[int, int, int, int],
    planes: int,
    bit_depth: int,
    spoilt: Callable[[int, int, str], None],
    show: Callable[[int, int, Tensor], Tensor],
) -> NDArray[Any]:
    """Samples of a region, from ``latent_of(row, column)`` of the tiles it needs, each asked for once; None: lost.

    Parameters
    ----------
    region : (x, y, width, height) in pixels, inside the picture
    planes : 3, or 1 for grey, which is the mean of the model's three
    bit_depth : 8 or 16
    spoilt : called with row, column and reason where latents that no encoder makes overflow the network; unless it
        raises, infinite pixels of that tile become black or white, and NaN black
    show : pixels [1, 3, H, W] of a tile, from its row, column and latents

    Returns
    -------
    uint8 or uint16 [height, width, planes]
    """
    x, y, width, height = region
    out = np.empty((height, width, planes), np.uint8 if bit_depth == 8 else np.uint16)
    rows, columns = grid.touching(*region)
    held: dict[tuple[int, int], Tensor | None] = {}
    for row in rows:
        near_rows = range(max(row - 1, 0), min(row + 2, len(grid.rows)))
        held = {place: latent for place, latent in held.items() if place[0] in near_rows}
        for column in columns:
            near_columns = range(max(column - 1, 0), min(column + 2, len(grid.columns)))
            for place in [(r, c) for r in near_rows for c in near_columns if (r, c) not in held]:
                held[place] = latent_of(*place)
            tile = _synthesise_tile(model, held, grid, row, column, show)
            top, left = grid.rows[row].start * grid.stride, grid.columns[column].start * grid.stride
            # The part of the region that this tile covers, in the tile's and in the region's coordinates.
            y0, y1 = max(y, top), min(y + height, top + tile.shape[1])
            x0, x1 = max(x, left), min(x + width, left + tile.shape[2])
            pixels = tile[:, y0 - top : y1 - top, x0 - left : x1 - left]
            if not bool(torch.isfinite(pixels).all()):
                spoilt(row, column, "pixels that are not finite, by this tile's latents or its neighbours'")
                pixels = torch.nan_to_num(pixels)  # what a cast makes of NaN is not defined
            out[y0 - y : y1 - y, x0 - x : x1 - x] = _to_samples(pixels, planes, out.dtype)
    return out


def join(model: CompressionModel, latent_of: Callable[[int, int], Tensor | None], grid: Grid) -> Tensor:
    """The latents of a whole picture, [1, M, h, w], from those of its tiles; 0 where a tile is lost."""
    rows, columns = range(len(grid.rows)), range(len(grid.columns))
    return torch.cat([torch.cat([_or_zeros(model, latent_of(r, c), grid, r, c) for c in columns], 3) for r in rows], 2)


def _synthesise_tile(
    model: CompressionModel,
    held: dict[tuple[int, int], Tensor | None],
    grid: Grid,
    row: int,
    column: int,
    show: Callable[[int, int, Tensor], Tensor],
) -> Tensor:
    """Pixels [3, h, w] of one tile; ``held`` has its latents and those of all its neighbours."""
    spans = grid.rows[row], grid.columns[column]
    rows = range(max(row - 1, 0), min(row + 2, len(grid.rows)))
    columns = range(max(column - 1, 0), min(column + 2, len(grid.columns)))
    if all(held[r, c] is None for r in rows for c in columns):
        # Nothing to show, and a few bytes can declare many such tiles: grey costs no synthesis.
        return torch.full((3, spans[0].size * grid.stride, spans[1].size * grid.stride), 0.5)
    joined = torch.cat([torch.cat([_or_zeros(model, held[r, c], grid, r, c) for c in columns], 3) for r in rows], 2)
    origins = grid.rows[rows[0]].start, grid.columns[columns[0]].start
    outer = [
        slice(span.outer_start - start, span.outer_stop - start) for span, start in zip(spans, origins, strict=True)
    ]
    latents = joined[:, :, outer[0], outer[1]]
    pixels = show(row, column, latents)[0].float()
    inner = [slice(span.inner.start * grid.stride, span.inner.stop * grid.stride) for span in spans]
    return pixels[:, inner[0], inner[1]]


def _or_zeros(model: CompressionModel, latent: Tensor | None, grid: Grid, row: int, column: int) -> Tensor:
    shape = latent_shape(model, grid, row, column)
    return torch.zeros(1, model.latent_channels, *shape) if latent is None else latent


def _to_samples(pixels: Tensor, planes: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    peak = np.iinfo(dtype).max
    if planes == 1:
        pixels = pixels.mean(0, keepdim=True)
    rounded = (pixels.clamp(0, 1) * peak).round().permute(1, 2, 0)
    return rounded.numpy().astype(dtype)
