"""The head of a .scl file: what it says, what it may ask for, and its bytes (`csrc/FORMAT.md`, section 3)."""

from __future__ import annotations

import contextlib
import operator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from scalecodec import _core
from scalecodec.arrays import as_index
from scalecodec.errors import BitstreamError
from scalecodec.fields import Fields, varint
from scalecodec.streams import BY_KIND, LANES, Stream

MAGIC = b"\x89SCL\r\n\x1a\n"  # as in PNG: a text-mode copy or a 7-bit channel breaks it at once
MAJOR, MINOR = 1, 0
ALPHA, ICC_PROFILE = 1, 2  # kinds of ancillary chunks
MAY_BE_IGNORED = 0x80  # the bit of a kind that lets an older reader pass over the chunk
MAX_ANCILLARY = 8

_RANGES = {
    "width": range(1, 2**32 + 1),
    "height": range(1, 2**32 + 1),
    "channels": range(1, 5),
    "bit_depth": range(8, 17, 8),
    "gain_index": range(256),
    "tile_log2": range(6, 15),
    "num_layers": range(1, 17),
}


@dataclass(frozen=True)
class Limits:
    """What a file may ask for, checked before any of it is granted. To open a larger file, raise a limit by name."""

    max_side: int = 32768  # pixels
    max_pixels: int = 2**28
    max_layers: int = 16
    max_tiles: int = 65535  # in one layer
    max_header_bytes: int = 64 << 10
    max_chunk_bytes: int = 256 << 20
    max_memory_bytes: int = 2 << 30  # the decoded picture in its own sample format

    def check(self, header: Header, blame: type[ValueError]) -> None:
        """Raise `blame` if the picture passes a limit."""
        pixels = header.width * header.height
        for name, value, limit in (
            ("width", header.width, self.max_side),
            ("height", header.height, self.max_side),
            ("number of pixels", pixels, self.max_pixels),
            ("number of layers", header.num_layers, self.max_layers),
            ("number of tiles", header.num_tiles, self.max_tiles),
            ("size of the picture in bytes", pixels * header.channels * header.bit_depth // 8, self.max_memory_bytes),
        ):
            if value > limit:
                raise blame(f"the {name}, {value}, passes the limit of {limit}")


@dataclass(frozen=True)
class Header:
    """What a decoder must know before the first chunk.

    Raises `ValueError` for a field out of range and `TypeError` for one that is no integer, or no bytes.
    """

    model_id: bytes  # 8 bytes: which networks
    table_id: bytes  # 8 bytes: which tables, `CdfTable.id`
    width: int  # pixels, 1..2**32; `Limits` allows less
    height: int
    channels: int  # 1..4
    bit_depth: int  # 8 or 16 bits a sample
    gain_index: int  # 0..255, a place in the frozen gain table, never the gain itself
    tile_log2: int  # 6..14: tiles are squares of 2**tile_log2 pixels, cut at the right and lower edges
    num_layers: int = 1  # 1..16
    stream: Stream = LANES  # what the chunks of the layers are coded with

    def __post_init__(self) -> None:
        for name in ("model_id", "table_id"):
            if not isinstance(value := getattr(self, name), bytes):
                raise TypeError(f"{name} must be bytes, got {type(value).__name__}")
            if len(value) != 8:
                raise ValueError(f"{name} must be 8 bytes, got {len(value)}")
        for name, allowed in _RANGES.items():
            number = as_index(getattr(self, name), name)
            if number not in allowed:
                raise ValueError(f"{name} must be in {allowed}, got {number}")
            object.__setattr__(self, name, number)  # Python's own integer: NumPy's would wrap in a product

    @property
    def tiles_x(self) -> int:
        """Tiles from left to right."""
        return -(-self.width >> self.tile_log2)

    @property
    def tiles_y(self) -> int:
        """Tiles from top to bottom."""
        return -(-self.height >> self.tile_log2)

    @property
    def num_tiles(self) -> int:
        """Tiles, and so chunks, of one layer."""
        return self.tiles_x * self.tiles_y

    def count(self, layers: str | int) -> int:
        """How many layers are meant by "all", "base" or a number; ValueError where it is none of these, or the file has
        not so many.
        """
        number = 0
        if isinstance(layers, str):
            number = {"all": self.num_layers, "base": 1}.get(layers, 0)
        elif not isinstance(layers, bool):
            with contextlib.suppress(TypeError):  # told below, with what was wanted
                number = operator.index(layers)
        if not 1 <= number <= self.num_layers:
            raise ValueError(f'layers must be "all", "base" or a number from 1 to {self.num_layers}, got {layers!r}')
        return number


class Entry(NamedTuple):
    """One chunk, as the index lists it."""

    length: int  # bytes
    checksum: int  # CRC-32C of the chunk


class Head(NamedTuple):
    """The front of a file, up to its first chunk."""

    header: Header
    kinds: tuple[int, ...]  # of the ancillary chunks, ascending
    entries: tuple[Entry, ...]  # in file order: the chunks of the layers, then the ancillary ones


def encode_head(head: Head, limits: Limits) -> bytes:
    """Write magic, version, header and checksum; `ValueError` if the header passes its limit."""
    header = head.header
    body = bytearray(header.model_id + header.table_id)
    body += varint(header.width - 1) + varint(header.height - 1)
    body.append((header.channels - 1) | (header.bit_depth == 16) << 2)
    body.append(header.stream.kind | header.tile_log2 << 4)
    body.append(header.gain_index)
    body.append((header.num_layers - 1) | len(head.kinds) << 4)
    body += bytes(head.kinds)
    for entry in head.entries:
        body += varint(entry.length) + entry.checksum.to_bytes(4, "little")
    if len(body) > limits.max_header_bytes:
        raise ValueError(f"{len(body)} bytes of header pass the limit of {limits.max_header_bytes}; use larger tiles")
    front = MAGIC + bytes((MAJOR, MINOR)) + varint(len(body)) + body
    return front + _core.crc32c(front).to_bytes(4, "little")


def decode_head(view: memoryview, limits: Limits) -> tuple[Head, int]:
    """Read the head and its size in bytes; `BitstreamError` for every fault of the bytes.

    The checksum comes before the fields, and a limit before what it limits.
    """
    file = Fields(view, "the file")
    if (magic := file.take(len(MAGIC))) != MAGIC:
        raise BitstreamError(f"not a .scl file: it starts with {magic.hex(' ')}, wanted {MAGIC.hex(' ')}")
    major, minor = file.take(2)
    if major != MAJOR:
        raise BitstreamError(f"a .scl file of version {major}.{minor}; this reader knows version {MAJOR} only")
    length = file.varint(32)
    if length > limits.max_header_bytes:
        raise BitstreamError(f"the header, {length} bytes, passes the limit of {limits.max_header_bytes}")
    body = Fields(file.take(length), "the header")
    computed = _core.crc32c(view[: file.position])
    if (stored := file.word()) != computed:
        raise BitstreamError(f"the header is damaged: its checksum is {computed:08x}, the file says {stored:08x}")
    head = _decode_body(body, limits)
    if minor <= MINOR and body.position < length:  # a later minor version may say more at the end
        raise BitstreamError(f"the header has {length - body.position} bytes left over")
    return head, file.position


def _decode_body(body: Fields, limits: Limits) -> Head:
    model_id, table_id = bytes(body.take(8)), bytes(body.take(8))
    width, height = body.varint(32) + 1, body.varint(32) + 1
    sample, coding, gain_index, counts = body.take(4)
    if sample > 7:
        raise BitstreamError(f"unknown sample format {sample}; this reader knows 0 to 7")
    stream = BY_KIND.get(coding & 15)
    if stream is None:
        known = ", ".join(f"{kind} ({stream.name})" for kind, stream in BY_KIND.items())
        raise BitstreamError(f"unknown kind of stream {coding & 15}; this reader knows {known}")
    channels, bit_depth = (sample & 3) + 1, 16 if sample & 4 else 8
    try:
        header = Header(
            model_id, table_id, width, height, channels, bit_depth, gain_index, coding >> 4, (counts & 15) + 1, stream
        )
    except ValueError as error:
        raise BitstreamError(f"the header is impossible: {error}") from None
    limits.check(header, BitstreamError)
    kinds = _decode_kinds(body, counts >> 4)
    num_chunks = header.num_layers * header.num_tiles + len(kinds)
    return Head(header, kinds, tuple(_decode_entry(body, limits) for _ in range(num_chunks)))


def _decode_kinds(body: Fields, count: int) -> tuple[int, ...]:
    if count > MAX_ANCILLARY:
        raise BitstreamError(f"{count} ancillary chunks pass the limit of {MAX_ANCILLARY}")
    kinds = tuple(body.take(count))
    for kind in kinds:
        if kind not in (ALPHA, ICC_PROFILE) and not kind & MAY_BE_IGNORED:
            raise BitstreamError(f"unknown kind of ancillary chunk {kind}, and the file does not let it be ignored")
    if any(low >= high for low, high in pairwise(kinds)):
        raise BitstreamError(f"the ancillary kinds {kinds} must ascend")
    return kinds


def _decode_entry(body: Fields, limits: Limits) -> Entry:
    length = body.varint(32)
    if length > limits.max_chunk_bytes:
        raise BitstreamError(f"a chunk of {length} bytes passes the limit of {limits.max_chunk_bytes}")
    return Entry(length, body.word())
