"""Tiles: a picture cut so that memory stays bounded and a region decodes alone, with no seams.

Each tile's latents are coded apart from all others. The transforms, though, see across the borders: analysis reads
``HALO`` latents' worth of pixels around a tile (or what the model says), synthesis ``HALO`` latents of the neighbours.
Two latents cover the support of four 5-tap layers of stride 2 (30 pixels inwards, 1.875 latents outwards), so pixels
come out as if the whole picture had gone through the transform at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

HALO = 2


@dataclass(frozen=True)
class Span:
    """A tile along one axis, in units of latents; ``outer`` adds the halo, cut off at the picture's border."""

    start: int
    stop: int
    outer_start: int
    outer_stop: int

    @property
    def size(self) -> int:
        return self.stop - self.start

    @property
    def inner(self) -> slice:
        """The tile inside its outer range."""
        return slice(self.start - self.outer_start, self.stop - self.outer_start)


@dataclass(frozen=True)
class Grid:
    """Tiles of a picture of ``height`` x ``width`` pixels.

    ``stride`` pixels a latent, ``multiple`` what the model needs its input sides to be a multiple of (the picture is
    extended to that at the right and the bottom), ``tile`` the side of a tile in pixels, a multiple of ``multiple``,
    ``halo`` the latents around a tile in its outer range.
    """

    height: int
    width: int
    stride: int
    multiple: int
    tile: int
    halo: int = HALO

    def _spans(self, pixels: int) -> list[Span]:
        total = -(-pixels // self.multiple) * self.multiple // self.stride
        step = self.tile // self.stride
        return [
            Span(start, min(start + step, total), max(start - self.halo, 0), min(start + step + self.halo, total))
            for start in range(0, total, step)
        ]

    @cached_property
    def rows(self) -> list[Span]:
        return self._spans(self.height)

    @cached_property
    def columns(self) -> list[Span]:
        return self._spans(self.width)

    def touching(self, x: int, y: int, width: int, height: int) -> tuple[range, range]:
        """Rows and columns of the tiles that a rectangle in pixels touches."""
        return touching(self.tile, x, y, width, height)

    def __iter__(self) -> Iterator[tuple[Span, Span]]:
        """(row, column) of every tile, in raster order."""
        return ((row, column) for row in self.rows for column in self.columns)


def touching(tile: int, x: int, y: int, width: int, height: int) -> tuple[range, range]:
    """Rows and columns of tiles of this side that a rectangle touches, all in pixels."""
    return range(y // tile, (y + height - 1) // tile + 1), range(x // tile, (x + width - 1) // tile + 1)
