"""A chunk of a .scl file as a hyperprior model fills it (FORMAT.md, section 4): lengths, a checksum, two streams."""

from __future__ import annotations

import struct

import numpy as np
from torch import Tensor

from scalecodec._core import crc32c
from scalecodec.errors import BitstreamError

_U32 = struct.Struct("<I")
_CHECKED = 1 << 31  # in the length of the z stream: a checksum follows


def pack_chunk(z_string: bytes, y_string: bytes, checksum: int | None) -> bytes:
    """One chunk, with a checksum or without."""
    if checksum is None:
        return _U32.pack(len(z_string)) + z_string + y_string
    return _U32.pack(len(z_string) | _CHECKED) + _U32.pack(checksum) + z_string + y_string


def unpack_chunk(chunk: bytes) -> tuple[bytes, bytes, int | None]:
    """The z stream, the y stream and the checksum, None where there is none; BitstreamError for a chunk cut short."""
    begin = _U32.size
    if len(chunk) < begin:
        raise BitstreamError(f"a chunk must hold {begin} bytes at the least, got {len(chunk)}")
    (length,), checksum = _U32.unpack_from(chunk), None
    if length & _CHECKED:
        if len(chunk) < 2 * begin:
            raise BitstreamError(f"a chunk with a checksum must hold {2 * begin} bytes at the least, got {len(chunk)}")
        (checksum,) = _U32.unpack_from(chunk, begin)
        begin += _U32.size
        length &= ~_CHECKED
    return chunk[begin : begin + length], chunk[begin + length :], checksum


def hyper_bytes_of(chunk: bytes) -> int:
    """How many bytes of a chunk are the hyper-latent's stream."""
    return len(unpack_chunk(chunk)[0])


def checksum_of(values: Tensor) -> int:
    """CRC-32C of numbers, little-endian."""
    array = values.detach().cpu().contiguous().numpy()
    return crc32c(np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(-1).view(np.uint8).data)
