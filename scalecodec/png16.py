"""PNG of 16 bits a sample, read and written whole (ISO/IEC 15948); a check of the chunks for every other PNG.

Surprise first: Pillow opens 16-bit colour and hands out 8 bits without a word, and checks no CRC of picture data.
Nothing is allocated for a size that the file only claims: deflate cannot swell its input more than 1032-fold.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .errors import BitstreamError
from .png_filters import filter_rows, unfilter_rows

SIGNATURE = b"\x89PNG\r\n\x1a\n"
MAX_SIDE = 1 << 15
MAX_PIXELS = 1 << 28
_MAX_PROFILE = 1 << 24
_MAX_SWELL = 1032  # deflate: a match of 258 bytes costs at least two bits
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_ADAM7 = (
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
)  # x, y, dx, dy


@dataclass(frozen=True)
class Chunks:
    """The checked parts of a PNG that a reader of pixels needs."""

    width: int
    height: int
    bit_depth: int
    colour_type: int
    interlaced: bool
    data: bytes = field(repr=False)  # all IDAT, joined
    ancillary: dict[bytes, bytes] = field(repr=False)  # acTL, eXIf, iCCP, tRNS where present

    @property
    def frames(self) -> int:
        """How many pictures an animated PNG shows, else 1."""
        return struct.unpack(">I", self.ancillary[b"acTL"][:4])[0] if b"acTL" in self.ancillary else 1

    def passes(self) -> list[tuple[int, int, int, int]]:
        """x, y, dx, dy of each non-empty pass over the picture."""
        all_passes = _ADAM7 if self.interlaced else ((0, 0, 1, 1),)
        return [one for one in all_passes if one[0] < self.width and one[1] < self.height]

    def pass_shape(self, one: tuple[int, int, int, int]) -> tuple[int, int]:
        """Rows, and bytes of one filtered row with its filter's number."""
        x, y, dx, dy = one
        bits = -(-(self.width - x) // dx) * _CHANNELS[self.colour_type] * self.bit_depth
        return -(-(self.height - y) // dy), 1 + -(-bits // 8)

    def inflated_size(self) -> int:
        """Bytes that the picture data must inflate to."""
        return sum(rows * row_bytes for rows, row_bytes in map(self.pass_shape, self.passes()))


def over_limits(width: int, height: int) -> str:
    """What to say of a picture of no pixels, or of too many."""
    return f"{width}x{height} is over {MAX_SIDE} a side or {MAX_PIXELS} pixels in all, or empty"


def parse(data: bytes) -> Chunks:
    """Check the chunks of a PNG of any depth: order, lengths, CRC, limits; pixels stay packed.

    Parameters
    ----------
    data : bytes
        The file. Bytes after IEND are left alone, as every reader does.

    Raises
    ------
    BitstreamError
        The file is cut off, damaged, breaks the standard, or is over 32768 a side or 2**28 pixels in all.
    """
    header: tuple[int, ...] | None = None
    ancillary: dict[bytes, bytes] = {}
    parts: list[bytes] = []
    parts_ended = False
    for kind, body in _walk(data):
        if (kind == b"IHDR") != (header is None):
            raise BitstreamError("PNG: IHDR must be the first chunk, and the only one of its kind")
        parts_ended = parts_ended or (bool(parts) and kind != b"IDAT")
        if kind == b"IHDR":
            header = _parse_header(body)
        elif kind == b"IDAT":
            if parts_ended:
                raise BitstreamError("PNG: the picture data is in two places")
            parts.append(body)
        elif kind in (b"acTL", b"eXIf", b"iCCP", b"tRNS"):
            ancillary[kind] = body
        elif not kind[0] & 0x20 and kind not in (b"PLTE", b"IEND"):
            raise BitstreamError(f"PNG: unknown critical chunk {kind.decode('latin-1')!r}")
    if header is None or not parts:
        raise BitstreamError("PNG: no picture data")
    if len(ancillary.get(b"acTL", b"four")) < 4:
        raise BitstreamError("PNG: acTL is too short")
    width, height, bit_depth, colour_type, interlace = header
    chunks = Chunks(width, height, bit_depth, colour_type, bool(interlace), b"".join(parts), ancillary)
    if chunks.inflated_size() > _MAX_SWELL * len(chunks.data):
        raise BitstreamError(f"PNG: {len(chunks.data)} bytes of data cannot hold {width}x{height} pixels")
    return chunks


def decode(chunks: Chunks) -> npt.NDArray[np.uint16]:
    """Unpack the pixels of a 16-bit PNG.

    Parameters
    ----------
    chunks : Chunks
        From `parse`, with a bit depth of 16. One colour named transparent by tRNS becomes an alpha channel.

    Returns
    -------
    uint16 [H, W, C]
        C of 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA). Cost: about 0.25 s a megapixel where a row uses the
        filters Average or Paeth.

    Raises
    ------
    BitstreamError
        The data inflates to less or more than the picture, or is damaged.
    """
    channels = _CHANNELS[chunks.colour_type]
    inflated = np.frombuffer(_inflate(chunks.data, chunks.inflated_size(), "picture data"), np.uint8)
    samples = np.empty((chunks.height, chunks.width, channels), np.uint16)
    start = 0
    for one in chunks.passes():
        rows, row_bytes = chunks.pass_shape(one)
        filtered = inflated[start : start + rows * row_bytes].reshape(rows, row_bytes)
        start += rows * row_bytes
        x, y, dx, dy = one
        samples[y::dy, x::dx] = unfilter_rows(filtered, 2 * channels).view(">u2").reshape(rows, -1, channels)
    key = chunks.ancillary.get(b"tRNS")
    if key is None or channels in (2, 4):
        return samples
    if len(key) != 2 * channels:
        raise BitstreamError(f"PNG: tRNS of {len(key)} bytes does not fit {channels} channels")
    opaque = (samples != np.frombuffer(key, ">u2")).any(axis=2, keepdims=True)
    return np.concatenate((samples, opaque * np.uint16(65535)), axis=2)


def icc_profile(chunks: Chunks) -> bytes | None:
    """The colour profile, inflated, or None; over 16 MiB, or damaged, it raises BitstreamError."""
    body = chunks.ancillary.get(b"iCCP")
    if body is None:
        return None
    _, separator, packed = body.partition(b"\0")
    if not separator or packed[:1] != b"\0":
        raise BitstreamError("PNG: iCCP is damaged")
    return _inflate(packed[1:], None, "colour profile")


def encode(samples: npt.NDArray[np.uint16], icc: bytes | None = None) -> bytes:
    """Pack a 16-bit picture, filtered row by row and deflated; the same samples give the same bytes.

    Parameters
    ----------
    samples : uint16 [H, W, C], C of 1 to 4
    icc : bytes, optional
        Stored as iCCP.
    """
    height, width, channels = samples.shape
    rows = np.ascontiguousarray(samples, ">u2").reshape(height, -1).view(np.uint8)
    header = struct.pack(">IIBBBBB", width, height, 16, _COLOUR_TYPES[channels], 0, 0, 0)
    profile = _chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(icc)) if icc else b""
    pixels = _chunk(b"IDAT", zlib.compress(filter_rows(rows, 2 * channels).data))
    return SIGNATURE + _chunk(b"IHDR", header) + profile + pixels + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _walk(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and body of each chunk up to IEND, CRC checked."""
    if data[:8] != SIGNATURE:
        raise BitstreamError("not a PNG")
    position, kind = 8, b""
    while kind != b"IEND":
        if len(data) - position < 12:
            raise BitstreamError("PNG: the file is cut off")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if len(data) < end + 4:
            raise BitstreamError("PNG: the file is cut off")
        body = data[position + 8 : end]
        if zlib.crc32(data[position + 4 : end]) != int.from_bytes(data[end : end + 4], "big"):
            raise BitstreamError(f"PNG: wrong CRC in chunk {kind.decode('latin-1')!r}")
        yield kind, body
        position = end + 4


def _parse_header(body: bytes) -> tuple[int, ...]:
    """Width, height, bit depth, colour type, interlace."""
    if len(body) != 13:
        raise BitstreamError(f"PNG: IHDR of {len(body)} bytes")
    width, height, bit_depth, colour_type, compression, filtering, interlace = struct.unpack(">IIBBBBB", body)
    if bit_depth not in _DEPTHS.get(colour_type, ()) or compression or filtering or interlace > 1:
        raise BitstreamError("PNG: IHDR breaks the standard")
    if not (0 < width <= MAX_SIDE and 0 < height <= MAX_SIDE and width * height <= MAX_PIXELS):
        raise BitstreamError(over_limits(width, height))
    return width, height, bit_depth, colour_type, interlace


def _inflate(packed: bytes, size: int | None, what: str) -> bytes:
    """Inflate to exactly `size` bytes, or to any number within reason where `size` is None."""
    stream = zlib.decompressobj()
    try:
        data = stream.decompress(packed, _MAX_PROFILE if size is None else size)
        over = stream.decompress(stream.unconsumed_tail, 1)
    except zlib.error as error:
        raise BitstreamError(f"PNG: the {what} is damaged: {error}") from error
    if over or not stream.eof or stream.unused_data or (size is not None and len(data) != size):
        raise BitstreamError(f"PNG: the {what} is too short or too long")
    return data
