"""The layered .scl file: a checked header and index, then the chunks, base layer first (`csrc/FORMAT.md`, section 3).

Surprise first: half a file is no error with `strict=False`, because a prefix that holds the base decodes to the base.
Nothing is allocated that the bytes only claim: each chunk returned lies wholly within the data given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scalecodec import _core
from scalecodec.atomic import BytesLike, write_atomic
from scalecodec.container_header import (
    ALPHA,
    ICC_PROFILE,
    MAY_BE_IGNORED,
    Entry,
    Head,
    Header,
    Limits,
    decode_head,
    encode_head,
)
from scalecodec.errors import BitstreamError

__all__ = ["ALPHA", "ICC_PROFILE", "Container", "Header", "Limits", "pack", "unpack", "write_atomic"]

DEFAULT_LIMITS = Limits()


@dataclass(frozen=True)
class Container:
    """What a file holds. A chunk that is cut off, damaged or not looked at is None."""

    header: Header
    layers: tuple[tuple[bytes | None, ...], ...]  # [layer][tile], base first, tiles in raster order
    ancillary: dict[int, bytes | None]  # by kind, `ALPHA` and `ICC_PROFILE`
    damaged: tuple[str, ...] = ()  # one sentence for each fault, in file order

    @property
    def complete(self) -> bool:
        """Whether `unpack(strict=True)` would take the same bytes, of as many layers."""
        return not self.damaged


def pack(
    header: Header,
    layers: Sequence[Sequence[BytesLike]],
    ancillary: Mapping[int, BytesLike] | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> bytes:
    """Lay out a file; the same arguments give the same bytes, always.

    Parameters
    ----------
    header : Header
    layers : sequence of sequence of bytes-like, [num_layers][num_tiles]
        The chunks, base layer first, tiles in raster order. A chunk may be empty.
    ancillary : mapping from `ALPHA` or `ICC_PROFILE` to bytes-like, optional
    limits : Limits
        A file beyond the default limits is one that others refuse.

    Returns
    -------
    bytes
        The chunks and what surrounds them: 45 bytes for a photograph in one chunk of a few KB, 5 to 10 for each other.

    Raises
    ------
    ValueError
        The number of chunks differs from what `header` says, a kind is unknown, or a limit is passed.
    TypeError
        A chunk is not a C-contiguous bytes-like object.
    """
    limits.check(header, ValueError)
    ancillary = ancillary or {}
    kinds = tuple(sorted(ancillary))
    if not {ALPHA, ICC_PROFILE}.issuperset(kinds):
        raise ValueError(f"ancillary kinds must be {ALPHA} (alpha) or {ICC_PROFILE} (ICC profile), got {kinds}")
    counts = [len(layer) for layer in layers]
    if counts != [header.num_tiles] * header.num_layers:
        raise ValueError(f"wanted {header.num_layers} layers of {header.num_tiles} chunks, got layers of {counts}")
    given = [chunk for layer in layers for chunk in layer] + [ancillary[kind] for kind in kinds]
    chunks = [_checked_chunk(chunk, _name(i, header, kinds), limits) for i, chunk in enumerate(given)]
    entries = tuple(Entry(len(chunk), _core.crc32c(chunk)) for chunk in chunks)
    return b"".join([encode_head(Head(header, kinds, entries), limits), *chunks])


def unpack(
    data: BytesLike, *, layers: str | int = "all", strict: bool = True, limits: Limits = DEFAULT_LIMITS
) -> Container:
    """Check a file, or the front of one, and cut it into its chunks.

    Parameters
    ----------
    data : bytes-like
        Any C-contiguous buffer; the chunks returned are copies of it.
    layers : "all", "base", or a number from 1
        Only so many are looked at: chunks of those behind are None, and need not be there; nor need a colour profile,
        which comes last.
    strict : bool
        Whether a damaged, missing or left-over byte raises. If not, a chunk that is not wholly there and whole is None
        and `damaged` says why. Damage to the header raises in any case.
    limits : Limits

    Returns
    -------
    Container

    Raises
    ------
    BitstreamError
        The bytes are no .scl file, of another major version, damaged, or ask for more than `limits` allows.
    ValueError
        `layers` does not fit the file.
    TypeError
        `data` is not a C-contiguous bytes-like object.
    """
    view = _bytes(data, "the file")
    (header, kinds, entries), position = decode_head(view, limits)
    tiles, end = header.num_tiles, header.num_tiles * header.num_layers
    unseen = range(header.count(layers) * tiles, end)
    spare = {end + place for place, kind in enumerate(kinds) if unseen and kind != ALPHA}
    chunks: list[bytes | None] = []
    damaged = []
    for i, entry in enumerate(entries):
        chunk = view[position : position + entry.length]
        position += entry.length
        ignored = i in unseen or (i in spare and len(chunk) < entry.length)
        fault = "" if ignored else _fault(chunk, entry)
        if fault:
            damaged.append(f"{_name(i, header, kinds)}: {fault}")
        chunks.append(None if fault or ignored else bytes(chunk))
    if len(view) > position:
        damaged.append(f"{len(view) - position} bytes follow the last chunk")
    if strict and damaged:
        raise BitstreamError(damaged[0] + (f" (the first of {len(damaged)} faults)" if len(damaged) > 1 else ""))
    by_layer = tuple(tuple(chunks[start : start + tiles]) for start in range(0, end, tiles))
    extra = {kind: chunk for kind, chunk in zip(kinds, chunks[end:], strict=True) if not kind & MAY_BE_IGNORED}
    return Container(header, by_layer, extra, tuple(damaged))


def _bytes(data: BytesLike, name: str) -> memoryview:
    try:
        return memoryview(data).cast("B")
    except TypeError:
        raise TypeError(f"{name} must be contiguous and bytes-like, got {type(data).__name__}") from None


def _checked_chunk(chunk: BytesLike, name: str, limits: Limits) -> memoryview:
    view = _bytes(chunk, name)
    if len(view) > (limit := min(limits.max_chunk_bytes, 2**32 - 1)):
        raise ValueError(f"{name}: {len(view)} bytes pass the limit of {limit}")
    return view


def _fault(chunk: memoryview, entry: Entry) -> str:
    """Say what is wrong with a chunk; nothing if all is well."""
    if len(chunk) < entry.length:
        return f"cut off, {len(chunk)} of {entry.length} bytes are there"
    return "" if _core.crc32c(chunk) == entry.checksum else "checksum mismatch"


def _name(i: int, header: Header, kinds: Sequence[int]) -> str:
    """Name the chunk at place `i` of the file."""
    layer, tile = divmod(i, header.num_tiles)
    if layer < header.num_layers:
        return f"layer {layer} tile {tile}"
    return f"ancillary kind {kinds[i - header.num_layers * header.num_tiles]}"
