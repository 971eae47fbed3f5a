"""Image in, .scl out, and back: what the command line and most users call.

Memory, beside the picture, for 96 and 128 channels and tiles of 1024 pixels: to encode, 0.5 GB for a tile's activations
and 2 bytes a pixel for the latents of all tiles; to decode, 0.7 GB and 2 bytes a pixel for the latents of three rows of
tiles. Activations go with the channels and with the area of a tile. An alpha plane takes four times its size. A model
that codes noise, too (denoise-fine), has 14 bytes a pixel for latents, and synthesises in encoding.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from . import image as image_files
from .alpha import encode_alpha
from .arrays import as_index
from .coders import Coder, ModelLike, coder_of
from .container import ALPHA, ICC_PROFILE, Header, Limits, pack
from .decoding import Decoded, decode, decode_all, features
from .gains import NUM_GAINS, nearest_gain_index
from .image import Picture
from .rate_search import largest_within
from .regions import keep
from .tile_decoder import grid_of
from .transform import analyse

__all__ = ["DEFAULT_MODEL", "Decoded", "decode", "decode_all", "encode", "features", "keep"]

DEFAULT_MODEL = "vbr-mean"
DEFAULT_QUALITY = 50
TILE_LOG2 = 10
_LEAST_ENTRY = 5  # bytes of the header for a chunk

ImageLike: TypeAlias = "Picture | NDArray[Any] | Image.Image | str | os.PathLike[str]"


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
        region cost little, and each 5 to 100 bytes a layer.

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
        The picture is of none of the types, or a number is none.
    BitstreamError
        The picture's or the weights' file is damaged.
    """
    choose = _rate_choice(quality, gain, target_bytes)
    picture = _as_picture(image)
    coder = coder_of(model)
    header = _header(picture, coder, TILE_LOG2 if tile is None else _tile_log2(tile))
    samples, alpha = _split_alpha(picture.samples)
    ancillary = {}
    if alpha is not None:
        ancillary[ALPHA] = encode_alpha(alpha)
    if picture.icc_profile is not None:
        ancillary[ICC_PROFILE] = picture.icc_profile
    latents = analyse(coder.model, samples, grid_of(header, coder.model))

    def at(gain_index: int, shrink: float) -> bytes:
        tiles = [coder.model.encode_layers(latent, gain_index, shrink=shrink) for latent in latents]
        return pack(replace(header, gain_index=gain_index), list(zip(*tiles, strict=True)), ancillary)

    return choose(at)


def _rate_choice(
    quality: int | None, gain: float | None, target_bytes: int | None
) -> Callable[[Callable[[int, float], bytes]], bytes]:
    if sum(choice is not None for choice in (quality, gain, target_bytes)) > 1:
        raise ValueError("give one of quality, gain and target_bytes, not several")
    if target_bytes is not None:
        budget = as_index(target_bytes, "target_bytes")
        if budget < 1:
            raise ValueError(f"target_bytes must be positive, got {budget}")
        return lambda at: largest_within(at, NUM_GAINS, budget)
    if gain is not None:
        index = nearest_gain_index(gain)
    else:
        quality = DEFAULT_QUALITY if quality is None else as_index(quality, "quality")
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


def _header(picture: Picture, coder: Coder, tile_log2: int) -> Header:
    """Of the picture's file, at the lowest gain; ValueError where no file holds such a picture, before it is coded."""
    height, width, channels = picture.samples.shape
    header = Header(
        model_id=coder.model_id,
        table_id=coder.table_id,
        width=width,
        height=height,
        channels=channels,
        bit_depth=8 * picture.samples.itemsize,
        gain_index=0,
        tile_log2=tile_log2,
        num_layers=coder.model.num_layers,
    )
    limits = Limits()
    limits.check(header, ValueError)
    chunks = header.num_layers * header.num_tiles
    if _LEAST_ENTRY * chunks > limits.max_header_bytes:
        raise ValueError(f"{chunks} chunks do not fit a header of {limits.max_header_bytes} bytes: use larger tiles")
    return header


def _tile_log2(tile: int) -> int:
    log2 = as_index(tile, "tile").bit_length() - 1
    if not 6 <= log2 <= 11 or tile != 1 << log2:
        raise ValueError(f"tile must be a power of two from 64 to 2048, got {tile}")
    return log2
