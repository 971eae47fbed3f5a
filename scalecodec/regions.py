"""Parts of a layered file: the first layers, and of those behind the base only the tiles that a region touches.

Surprise first: what is left out of an enhancement is an empty chunk, and decodes as the layer before it does; so what
:func:`keep` makes is a whole file, for any decoder. Of a model whose picture takes all layers only the region is left.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .container import Container, Header, pack, unpack
from .tiles import touching

Region: TypeAlias = "Sequence[int] | NDArray[np.bool_]"


def chunks_of(container: Container, tile: int, num_layers: int) -> list[bytes]:
    """A tile's chunks up to the first that is lost or left out, at most so many."""
    chunks: list[bytes] = []
    for number, layer in enumerate(container.layers[:num_layers]):
        chunk = layer[tile]
        if chunk is None or (number and not chunk):
            break
        chunks.append(chunk)
    return chunks


def tiles_of(region: Region, header: Header) -> set[int]:
    """Numbers of the tiles, in raster order, that a region touches.

    Parameters
    ----------
    region : (x, y, width, height) in pixels, or bool array [H, W], true where the region is

    Raises
    ------
    ValueError
        It does not lie in the picture, or is not of its shape.
    """
    side = 1 << header.tile_log2
    if isinstance(region, np.ndarray) and region.ndim != 1:
        if region.dtype != np.bool_ or region.shape != (header.height, header.width):
            wanted = f"bool [{header.height}, {header.width}]"
            raise ValueError(f"a mask must be {wanted}, got {region.dtype} {list(region.shape)}")
        by_rows = np.logical_or.reduceat(region, range(0, header.height, side), axis=0)
        return set(np.flatnonzero(np.logical_or.reduceat(by_rows, range(0, header.width, side), axis=1)).tolist())
    rows, columns = touching(side, *checked_region(region, header))
    return {row * header.tiles_x + column for row in rows for column in columns}


def checked_region(roi: Region, header: Header) -> tuple[int, int, int, int]:
    """The rectangle, if it lies in the picture; else ValueError, or TypeError where it is of no integers."""
    try:
        region = tuple(operator.index(number) for number in roi)
    except TypeError:
        raise TypeError(f"roi must be integers (x, y, width, height), got {roi!r}") from None
    if len(region) != 4:
        raise ValueError(f"roi must be (x, y, width, height), got {region}")
    x, y, width, height = region
    inside = 0 <= x < x + width <= header.width and 0 <= y < y + height <= header.height
    if not inside:
        raise ValueError(f"roi must lie inside {header.width} x {header.height} pixels, got {region}")
    return region


def keep(blob: Any, layers: str | int = "all", roi: Region | None = None) -> bytes:
    """A smaller file of the same picture, to be sent instead.

    Parameters
    ----------
    blob : bytes-like, a whole .scl file
    layers : "all", "base", or the number of layers to keep, from 1
    roi : of the layers behind the base only what this region needs is kept: (x, y, width, height) in pixels, or bool
        array [H, W]

    Returns
    -------
    bytes
        A .scl file. Inside the region it decodes as the whole one does, but for up to 32 pixels along the borders of
        tiles, where the synthesis sees neighbours that are no longer enhanced. Where the base shows no picture,
        nothing outside the region does: decode it with ``roi``, or not ``strict``.

    Raises
    ------
    BitstreamError
        The file is damaged in its header or in these layers, in whatever tile.
    ValueError
        ``layers`` or ``roi`` do not fit the file.
    TypeError
        ``roi`` is neither integers nor a mask.
    """
    container = unpack(blob, layers=layers)
    header = container.header
    number = header.count(layers)
    wanted = set(range(header.num_tiles)) if roi is None else tiles_of(roi, header)
    kept = [list(container.layers[0])]
    kept += [[chunk if at in wanted else b"" for at, chunk in enumerate(layer)] for layer in container.layers[1:number]]
    whole = [[chunk or b"" for chunk in layer] for layer in kept]
    ancillary = {kind: chunk for kind, chunk in container.ancillary.items() if chunk is not None}
    return pack(replace(header, num_layers=number), whole, ancillary)
