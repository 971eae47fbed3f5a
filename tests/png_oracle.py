"""A slow PNG encoder, a sample at a time, for any depth, filter and interlacing; it shares nothing with the package."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

SIGNATURE = b"\x89PNG\r\n\x1a\n"
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def header(width: int, height: int, depth: int, colour_type: int, interlace: int = 0) -> bytes:
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, interlace))


def guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 4:
        estimate = left + up - corner
        return min((left, up, corner), key=lambda one: abs(estimate - one))  # the first of equals
    return (0, left, up, (left + up) // 2)[kind]


def filtered(rows: npt.NDArray[np.uint8], pixel_bytes: int, filters: Sequence[int]) -> bytes:
    """Rows of bytes with their filters applied, filter number first."""
    out = bytearray()
    above = [0] * rows.shape[1]
    for y, row in enumerate(rows.tolist()):
        kind = filters[y % len(filters)]
        out.append(kind)
        for x, value in enumerate(row):
            left, corner = (row[x - pixel_bytes], above[x - pixel_bytes]) if x >= pixel_bytes else (0, 0)
            out.append((value - guess(kind, left, above[x], corner)) % 256)
        above = row
    return bytes(out)


def picture_data(samples: npt.NDArray[np.generic], filters: Sequence[int] = (0,), interlace: bool = False) -> bytes:
    """The bytes that go into deflate."""
    size = samples.dtype.itemsize
    out = b""
    for x, y, dx, dy in PASSES if interlace else ((0, 0, 1, 1),):
        part = samples[y::dy, x::dx]
        if part.size:
            rows = np.ascontiguousarray(part).astype(f">u{size}").reshape(part.shape[0], -1).view(np.uint8)
            out += filtered(rows, size * samples.shape[2], filters)
    return out


def png(
    samples: npt.NDArray[np.generic], filters: Sequence[int] = (0,), interlace: bool = False, extra: bytes = b""
) -> bytes:
    """A whole file; `extra` are chunks before the picture data."""
    height, width, channels = samples.shape
    head = header(width, height, 8 * samples.dtype.itemsize, COLOUR_TYPES[channels], int(interlace))
    data = zlib.compress(picture_data(samples, filters, interlace))
    return SIGNATURE + head + extra + chunk(b"IDAT", data) + chunk(b"IEND")
