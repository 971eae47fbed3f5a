"""The latents of a file's tiles, up to the layers that are there, and what was lost of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .coders import Coder, ModelLike, coder_for
from .container import Container, Header
from .errors import BitstreamError
from .models import CompressionModel
from .regions import chunks_of
from .tiles import Grid
from .transform import latent_shape

_MAX_TILE_PIXELS = 2048 * 2048


class TileDecoder:
    """Decodes the tiles of one file.

    Parameters
    ----------
    container : as of `unpack`
    model : the file's, or None for the zoo's
    num_layers : to decode, at most
    strict : raise on any damage; if not, :attr:`lost` has a sentence for each
    least : layers without which a tile counts as lost

    Raises
    ------
    BitstreamError
        The file needs another model, or more memory than any file should.
    """

    def __init__(
        self,
        container: Container,
        model: ModelLike | None,
        num_layers: int,
        strict: bool,
        least: int = 1,
    ) -> None:
        header = container.header
        _check_tile(header)
        self._container, self._num_layers, self._strict, self._least = container, num_layers, strict, least
        self._coder = coder_for(header, model)
        if num_layers > self.model.num_layers:
            raise BitstreamError(f"this file has {header.num_layers} layers, and its model {self.model.num_layers}")
        self.grid = grid_of(header, self.model)
        self.lost = list(container.damaged)
        self._there: dict[tuple[int, int], int] = {}  # layers of each tile

    @property
    def model(self) -> CompressionModel:
        return self._coder.model

    def latent(self, row: int, column: int) -> Tensor | None:
        """Of one tile [1, M, h, w], from as many layers as are whole; None where these are not enough."""
        chunks = chunks_of(self._container, self._number(row, column), self._num_layers)
        latent, count = self._longest(chunks, row, column)
        self._there[row, column] = count
        if latent is not None and count < self._least:
            self.spoilt(row, column, "not there", count)
            return None
        return latent

    def _longest(self, chunks: Sequence[bytes], row: int, column: int) -> tuple[Tensor | None, int]:
        """A tile's latent from as many layers as decode, and how many these are."""
        if not chunks:  # the container has said so
            return None, 0
        try:
            return self._decoded(chunks, row, column), len(chunks)
        except BitstreamError as error:
            fault = error
        latent, count = None, 0
        try:  # the layer at fault is the first, from the base on, with which decoding fails
            for count in range(len(chunks) - 1):
                latent = self._decoded(chunks[: count + 1], row, column)
            count = len(chunks) - 1
        except BitstreamError as error:
            fault = error
        self.spoilt(row, column, f"{fault}{_doubt(self._container.header, self._coder)}", count)
        return latent, count

    def _decoded(self, chunks: Sequence[bytes], row: int, column: int) -> Tensor:
        header, shape = self._container.header, latent_shape(self.model, self.grid, row, column)
        return self.model.decode_layers(chunks, shape, header.gain_index, header.stream)

    def show(self, row: int, column: int, latents: Tensor) -> Tensor:
        """Pixels of a tile whose latent, and its neighbours', these are: grey, where it lacks layers to show any."""
        count = self._there[row, column]
        if not self.model.shows(count):
            if self._left_out(row, column, count):  # what is lost has been reported
                self.spoilt(row, column, "left out, and those before it show no picture", count)
            stride = self.model.latent_stride
            return torch.full((1, 3, latents.shape[2] * stride, latents.shape[3] * stride), 0.5)
        return self.model.reconstruct(latents, count)

    def _number(self, row: int, column: int) -> int:
        return row * self._container.header.tiles_x + column

    def _left_out(self, row: int, column: int, layer: int) -> bool:
        """Whether a tile's chunk is empty, as :func:`keep` leaves it."""
        return layer > 0 and self._container.layers[layer][self._number(row, column)] == b""

    def spoilt(self, row: int, column: int, fault: str, layer: int = 0) -> None:
        """Report what is wrong with a tile."""
        text = f"layer {layer} tile {self._number(row, column)}: {fault}"
        if self._strict:
            raise BitstreamError(text)
        self.lost.append(text)


def grid_of(header: Header, model: CompressionModel) -> Grid:
    """The tiles of a file, in latents of its model."""
    return Grid(header.height, header.width, model.latent_stride, model.downsampling_factor, 1 << header.tile_log2)


def _doubt(header: Header, coder: Coder) -> str:
    """What else than damage may be at fault."""
    if coder.model.is_integer():
        return ""
    ids = f"tables {header.table_id.hex()} in the file, {coder.table_id.hex()} here"
    return f" ({ids}; this model has no integer form, so that a machine may compute other scales than the encoder's)"


def _check_tile(header: Header) -> None:
    """No limit of the container's bounds what a tile's activations take: hundreds of times its samples."""
    tile = 1 << header.tile_log2
    pixels = min(tile, header.width) * min(tile, header.height)
    if pixels > _MAX_TILE_PIXELS:
        raise BitstreamError(f"a tile of {pixels} pixels passes the limit of {_MAX_TILE_PIXELS}")
