"""A coded tensor as bytes that describe themselves (FORMAT.md, section 8.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scalecodec.cdf import ID_BYTES
from scalecodec.errors import BitstreamError
from scalecodec.fields import varint

from .coding import Coding, layout
from .description import Description
from .reader import Reader, sealed

MAGIC = b"SCF\x01"
DTYPES = ("float32", "float16", "bfloat16")
MAX_AXES = 16
_DTYPE_BITS, _HAS_CONTEXT, _NAMES_CODEC = 3, 4, 8  # of the flags


@dataclass(frozen=True)
class Blob:
    """A tensor's symbols, and how to read them: a Description, or the id of the codec that has it."""

    dtype: str
    shape: tuple[int, ...]
    key: Description | bytes
    has_context: bool
    streams: Sequence[bytes | memoryview]

    def to_bytes(self) -> bytes:
        """The same blob gives the same bytes."""
        named = isinstance(self.key, bytes)
        flags = DTYPES.index(self.dtype) | (_HAS_CONTEXT if self.has_context else 0) | (_NAMES_CODEC if named else 0)
        parts = [bytes([flags, len(self.shape)]), *map(varint, self.shape)]
        parts.append(self.key if isinstance(self.key, bytes) else self.key.to_bytes())
        for stream in self.streams:
            parts += [varint(len(stream)), bytes(stream)]
        return sealed(MAGIC, b"".join(parts))


def read_shape(reader: Reader, num_axes: int, max_elements: int) -> tuple[int, ...]:
    """A tensor's shape; BitstreamError where it is too large, a side beside a 0 included."""
    shape = tuple(reader.varint() for _ in range(num_axes))
    if math.prod(side or 1 for side in shape) > max_elements:
        raise BitstreamError(f"a tensor of shape {shape}, of which at most {max_elements} elements are allowed")
    return shape


def read_blob(data: Any, max_elements: int) -> Blob:
    """What the bytes hold; the streams are views of them.

    Raises
    ------
    BitstreamError
        They are no such bytes, damaged, or of a tensor of more than ``max_elements``.
    """
    reader = Reader(data, MAGIC, "a coded tensor")
    flags, num_axes = reader.take(2)
    if flags & _DTYPE_BITS >= len(DTYPES) or flags > 15 or num_axes > MAX_AXES:
        raise BitstreamError(f"flags {flags:#x} with {num_axes} axes are not of this version")
    shape = read_shape(reader, num_axes, max_elements)
    has_context = bool(flags & _HAS_CONTEXT)
    key: Description | bytes
    if flags & _NAMES_CODEC:
        key = bytes(reader.take(ID_BYTES))
    else:
        key = Description.read(reader, layout(shape)[0], has_context)
    num_streams = Coding(shape, has_context, np.zeros(0, np.uint8), 1).num_streams
    streams = [reader.take(reader.varint()) for _ in range(num_streams)]
    reader.finish()
    return Blob(DTYPES[flags & _DTYPE_BITS], shape, key, has_context, streams)
