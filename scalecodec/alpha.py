"""Alpha planes, lossless: each row minus the one above it, then DEFLATE (RFC 1951)."""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from .errors import BitstreamError

_LEVEL = 9


def encode_alpha(alpha: NDArray[np.unsignedinteger]) -> bytes:
    """Code a uint8 or uint16 plane [H, W]. The differences wrap around, so nothing is lost."""
    difference = alpha.copy()
    difference[1:] -= alpha[:-1]
    # Low and high bytes apart: the high ones are mostly zero.
    planes = difference.astype(difference.dtype.newbyteorder("<")).view(np.uint8).reshape(*alpha.shape, -1)
    return zlib.compress(np.ascontiguousarray(planes.transpose(2, 0, 1)).tobytes(), _LEVEL)


def decode_alpha(data: bytes, height: int, width: int, bit_depth: int) -> NDArray[np.unsignedinteger]:
    """Inverse of :func:`encode_alpha`: uint8 or uint16 [height, width].

    Raises
    ------
    BitstreamError
        The data is damaged or not of this size; no more than this size is ever allocated.
    """
    num_planes = bit_depth // 8
    size = num_planes * height * width
    inflater = zlib.decompressobj()
    try:
        plain = inflater.decompress(data, size + 1)
    except zlib.error as error:
        raise BitstreamError(f"the alpha plane is damaged: {error}") from error
    if len(plain) != size or not inflater.eof or inflater.unused_data:
        raise BitstreamError(f"the alpha plane must hold {size} bytes exactly")
    planes = np.frombuffer(plain, np.uint8).reshape(num_planes, height, width).transpose(1, 2, 0)
    difference = np.ascontiguousarray(planes).view(f"<u{num_planes}")[..., 0].astype(f"u{num_planes}")
    return np.cumsum(difference, axis=0, dtype=difference.dtype)
