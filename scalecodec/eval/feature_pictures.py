"""A tensor's channels side by side in one grey picture, and that picture through JPEG; through HEVC in ``hevc.py``.

Surprise first: headers that follow from the picture's size and the setting (JPEG's down to its quantization table,
HEVC's parameter sets) are taken off and put back by the decoder, as both ends can agree on them: 81 bytes of HEVC
would otherwise be up to 0.07 bit an element of a small tensor.
"""

from __future__ import annotations

import io
import math
from functools import cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Bytes = NDArray[np.uint8]

_SMALLEST = 16  # side that x265 takes
_JPEG_TABLES = 0xC4  # marker of the Huffman tables, which are the picture's own


def tile(planes: Bytes) -> Bytes:
    """Channels [C, H, W], row by row, in one picture that is nearly square; what no channel fills is 0.

    Parameters
    ----------
    planes : uint8 [C, H, W], none of them 0

    Returns
    -------
    uint8 [rows * H, columns * W], a copy; at least 16 a side
    """
    channels, height, width = planes.shape
    rows, columns = _grid(channels, height, width)
    filled = np.zeros((rows * columns, height, width), np.uint8)
    filled[:channels] = planes
    picture = filled.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    missing = [(0, max(0, _SMALLEST - side)) for side in picture.shape]
    return np.ascontiguousarray(np.pad(picture, missing))


def untile(picture: Bytes, shape: tuple[int, ...]) -> Bytes:
    """The channels [C, H, W] of ``shape`` that :func:`tile` put there; a copy."""
    channels, height, width = shape
    rows, columns = _grid(channels, height, width)
    inner = picture[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return np.ascontiguousarray(inner.swapaxes(1, 2)).reshape(-1, height, width)[:channels]


class JpegPictures:
    """Baseline JPEG with Huffman tables made for each picture, by Pillow.

    Parameters
    ----------
    quality : 1 to 100

    Raises
    ------
    ValueError
        `quality` is none of these.
    """

    def __init__(self, quality: int) -> None:
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must lie in [1, 100], got {quality}")
        self.quality = quality

    def encode(self, picture: Bytes) -> bytes:
        """The file of a picture uint8 [height, width], from its Huffman tables on."""
        return _jpeg(picture, self.quality)[len(_jpeg_head(*picture.shape, self.quality)) :]

    def decode(self, data: bytes, height: int, width: int) -> Bytes:
        """uint8 [height, width]."""
        whole = _jpeg_head(height, width, self.quality) + data
        return np.asarray(Image.open(io.BytesIO(whole), formats=["JPEG"]))


def _jpeg(picture: Bytes, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


@cache
def _jpeg_head(height: int, width: int, quality: int) -> bytes:
    """The segments before the Huffman tables, which any picture of this size and quality has."""
    whole = _jpeg(np.zeros((height, width), np.uint8), quality)
    at = 2
    while whole[at + 1] != _JPEG_TABLES:
        at += 2 + int.from_bytes(whole[at + 2 : at + 4], "big")
    return whole[:at]


def _grid(channels: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of tiles."""
    columns = min(channels, max(1, round(math.sqrt(channels * height / width))))
    return -(-channels // columns), columns
