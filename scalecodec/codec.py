"""Image in, .scl out, and back: what the command line and most users call.

Memory, beside the picture, for 96 and 128 channels and tiles of 1024 pixels: to encode, 0.5 GB for a tile's activations
and 2 bytes a pixel for the latents of all tiles; to decode, 0.7 GB and 2 bytes a pixel for the latents of three rows of
tiles. Activations go with the channels and with the area of a tile. An alpha plane takes four times its size.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from . import image as image_files
from .alpha import decode_alpha, encode_alpha
from .coders import Coder, ModelLike, coder_for, coder_of
from .container import ALPHA, ICC_PROFILE, Container, Header, Limits, pack, unpack
from .errors import BitstreamError
from .gains import NUM_GAINS, nearest_gain_index
from .image import Picture
from .models import CompressionModel
from .rate_search import largest_within
from .regions import checked_region, chunks_of, keep, layers_of
from .tiles import Grid
from .transform import analyse, latent_shape, synthesise

__all__ = ["DEFAULT_MODEL", "Decoded", "decode", "decode_all", "encode", "keep"]

DEFAULT_MODEL = "vbr-mean"
DEFAULT_QUALITY = 50
TILE_LOG2 = 10
_MAX_TILE_PIXELS = 2048 * 2048

ImageLike: TypeAlias = "Picture | NDArray[Any] | Image.Image | str | os.PathLike[str]"


@dataclass(frozen=True)
class Decoded:
    """A picture and what became of its file.

    Attributes
    ----------
    picture : Picture
    header : Header
    damaged : tuple of str
        One sentence for every chunk that was lost; its tiles show grey. Empty: all is as encoded.
    """

    picture: Picture
    header: Header
    damaged: tuple[str, ...]


def encode(
    image: ImageLike,
    model: ModelLike = DEFAULT_MODEL,
    *,
    quality: int | None = None,
    gain: float | None = None,
    target_bytes: int | None = None,
    tile: int | None = None,
) -> bytes:
    """Code a picture.

    Parameters
    ----------
    image : uint8 or uint16 array [H, W] or [H, W, C], Picture, PIL image, or path
        C of 1 (grey), 2 (grey, alpha), 3 (RGB) or 4 (RGBA); from 1 x 1 to 32768 a side and 2**28 pixels in all.
        Alpha and colour profile are kept without loss.
    model : name in the zoo, path of a weight file, or model
    quality : 0 (smallest) to 100 (best), even steps of log gain; 50 where nothing else is given
    gain : 1 / step of the latents' quantizer, 0.0632 to 1, taken to the nearest of the table's 256
    target_bytes : a file not above this many bytes is made, within 1 % of it wherever the gains reach that; three to
        six encodings of the latents
    tile : side in pixels of what decodes alone, a power of two from 64 to 2048; 1024 by default. Small ones let a
        region cost little, and each 10 to 60 bytes a layer.

    Returns
    -------
    bytes
        A whole .scl file. The same input gives the same bytes on the same machine.

    Raises
    ------
    ValueError
        More than one rate is asked for, one is out of range, no gain gets down to ``target_bytes``, or the picture's
        shape or size is not as above.
    TypeError
        The picture is of none of the types.
    BitstreamError
        The picture's or the weights' file is damaged.
    """
    choose = _rate_choice(quality, gain, target_bytes)
    picture = _as_picture(image)
    coder = coder_of(model)
    samples, alpha = _split_alpha(picture.samples)
    ancillary = {}
    if alpha is not None:
        ancillary[ALPHA] = encode_alpha(alpha)
    if picture.icc_profile is not None:
        ancillary[ICC_PROFILE] = picture.icc_profile
    height, width, channels = picture.samples.shape
    header = Header(
        model_id=coder.model_id,
        table_id=coder.table_id,
        width=width,
        height=height,
        channels=channels,
        bit_depth=8 * picture.samples.itemsize,
        gain_index=0,
        tile_log2=TILE_LOG2 if tile is None else _tile_log2(tile),
        num_layers=coder.model.num_layers,
    )
    Limits().check(header, ValueError)
    latents = analyse(coder.model, samples, _grid(header, coder.model))

    def at(gain_index: int, shrink: float) -> bytes:
        tiles = [coder.model.encode_layers(latent, gain_index, shrink=shrink) for latent in latents]
        return pack(replace(header, gain_index=gain_index), list(zip(*tiles, strict=True)), ancillary)

    return choose(at)


def decode(
    blob: Any,
    *,
    layers: str | int = "all",
    roi: tuple[int, int, int, int] | None = None,
    strict: bool = True,
    model: ModelLike | None = None,
) -> NDArray[Any]:
    """Decode a .scl file to samples.

    Parameters
    ----------
    blob : bytes-like, a whole file
    layers : "all", "base", or the number of layers to decode, from 1
    roi : (x, y, width, height) in pixels; only the tiles it touches, and their neighbours' latents, are decoded
    strict : raise on any damage. If not, lost chunks show as grey; :func:`decode_all` says which.
    model : needed only where the file's model is not in the zoo: its name, weight file or the model itself

    Returns
    -------
    uint8 or uint16 array [H, W, C], C and depth as encoded ([H, W, 1] for grey). Another machine or number of threads
    may round a few samples in 100,000 the other way: 1 up or down. Alpha is exact.

    Raises
    ------
    BitstreamError
        The file is damaged, cut off, or needs another model; the message says which.
    ValueError
        ``layers`` or ``roi`` do not fit the file.
    """
    return decode_all(blob, layers=layers, roi=roi, strict=strict, model=model).picture.samples


def decode_all(
    blob: Any,
    *,
    layers: str | int = "all",
    roi: tuple[int, int, int, int] | None = None,
    strict: bool = True,
    model: ModelLike | None = None,
    limits: Limits | None = None,
) -> Decoded:
    """As :func:`decode`, with the colour profile, the header and the list of what was lost."""
    container = unpack(blob, strict=strict, limits=limits or Limits())
    header = container.header
    number = layers_of(layers, header)
    region = (0, 0, header.width, header.height) if roi is None else checked_region(roi, header)
    _check_tile(header)
    coder = coder_for(header, model)
    _check_shown(number, header, coder.model)
    grid = _grid(header, coder.model)
    lost, found = list(container.damaged), {}

    def spoilt(row: int, column: int, fault: str, layer: int = 0) -> None:
        text = f"layer {layer} tile {row * header.tiles_x + column}: {fault}"
        if strict:
            raise BitstreamError(text)
        lost.append(text)

    def latent_of(row: int, column: int) -> torch.Tensor | None:
        shape = latent_shape(coder.model, grid, row, column)
        chunks = chunks_of(container, row * header.tiles_x + column, number)
        for count in range(len(chunks), 0, -1):
            try:
                latent = coder.model.decode_layers(chunks[:count], shape, header.gain_index, header.stream)
            except BitstreamError as error:
                spoilt(row, column, f"{error}{_doubt(header, coder)}", count - 1)
                continue
            found[row, column] = count
            return latent
        return None

    def show(row: int, column: int, latents: torch.Tensor) -> torch.Tensor:
        return coder.model.reconstruct(latents, found.get((row, column), number))

    planes = 3 if header.channels > 2 else 1
    samples = synthesise(coder.model, latent_of, grid, region, planes, header.bit_depth, spoilt, show)
    samples = _join_alpha(samples, container, region, lost, strict)
    picture = Picture(samples, container.ancillary.get(ICC_PROFILE))
    return Decoded(picture, header, tuple(lost))


def _doubt(header: Header, coder: Coder) -> str:
    """What else than damage may be at fault."""
    if coder.model.is_integer():
        return ""
    ids = f"tables {header.table_id.hex()} in the file, {coder.table_id.hex()} here"
    return f" ({ids}; this model has no integer form, so that a machine may compute other scales than the encoder's)"


def _rate_choice(
    quality: int | None, gain: float | None, target_bytes: int | None
) -> Callable[[Callable[[int, float], bytes]], bytes]:
    if sum(choice is not None for choice in (quality, gain, target_bytes)) > 1:
        raise ValueError("give one of quality, gain and target_bytes, not several")
    if target_bytes is not None:
        budget = operator.index(target_bytes)
        if budget < 1:
            raise ValueError(f"target_bytes must be positive, got {budget}")
        return lambda at: largest_within(at, NUM_GAINS, budget)
    if gain is not None:
        index = nearest_gain_index(gain)
    else:
        quality = DEFAULT_QUALITY if quality is None else operator.index(quality)
        if not 0 <= quality <= 100:
            raise ValueError(f"quality must lie in [0, 100], got {quality}")
        index = round(quality / 100 * (NUM_GAINS - 1))
    return lambda at: at(index, 0.0)


def _as_picture(image: ImageLike) -> Picture:
    if isinstance(image, Picture):
        return image
    if isinstance(image, np.ndarray):
        samples = image[..., None] if image.ndim == 2 else image
        return Picture(samples.astype(samples.dtype.newbyteorder("="), copy=False))
    return image_files.read(image)


def _split_alpha(samples: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """(grey or RGB planes, alpha plane or None); alpha is the last of 2 or 4 channels."""
    if samples.shape[2] % 2:
        return samples, None
    return samples[..., :-1], samples[..., -1]


def _join_alpha(
    samples: NDArray[Any], container: Container, region: tuple[int, int, int, int], lost: list[str], strict: bool
) -> NDArray[Any]:
    header = container.header
    if header.channels % 2:
        return samples
    x, y, width, height = region
    plane = np.full((height, width), np.iinfo(samples.dtype).max, samples.dtype)
    chunk = container.ancillary.get(ALPHA)
    try:
        if chunk is None:
            raise BitstreamError("the alpha plane is missing")
        plane = decode_alpha(chunk, header.height, header.width, header.bit_depth)[y : y + height, x : x + width]
    except BitstreamError as error:
        if strict:
            raise
        lost.append(str(error))
    return np.concatenate((samples, plane[..., None]), axis=2)


def _grid(header: Header, model: CompressionModel) -> Grid:
    return Grid(header.height, header.width, model.latent_stride, model.downsampling_factor, 1 << header.tile_log2)


def _tile_log2(tile: int) -> int:
    log2 = operator.index(tile).bit_length() - 1
    if not 6 <= log2 <= 11 or tile != 1 << log2:
        raise ValueError(f"tile must be a power of two from 64 to 2048, got {tile}")
    return log2


def _check_shown(number: int, header: Header, model: CompressionModel) -> None:
    if number > model.num_layers:
        raise BitstreamError(f"no model here decodes more than the base of this file's {header.num_layers} layers")
    if not model.shows(number):
        raise ValueError(f"the first {number} of this file's {header.num_layers} layers show no picture")


def _check_tile(header: Header) -> None:
    """No limit of the container's bounds what a tile's activations take: hundreds of times its samples."""
    tile = 1 << header.tile_log2
    pixels = min(tile, header.width) * min(tile, header.height)
    if pixels > _MAX_TILE_PIXELS:
        raise BitstreamError(f"a tile of {pixels} pixels passes the limit of {_MAX_TILE_PIXELS}")
