"""What messages hold: codecs' ids, coded tensors, raw tensors (FORMAT.md, section 8.5)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from scalecodec.cdf import ID_BYTES
from scalecodec.errors import BitstreamError
from scalecodec.fields import varint

from .blob import DTYPES, MAX_AXES, read_shape
from .frames import VERSION
from .reader import Reader, sealed
from .tensors import as_values, empty

_HELLO, _LIST, _RAW = b"SCFH", b"SCFL", b"SCFR"
MAX_TENSORS = 256  # of a message


def hello(ids: Sequence[bytes]) -> bytes:
    """The version and the codecs of the tensors that each message will hold, in order."""
    return sealed(_HELLO, bytes([VERSION]) + varint(len(ids)) + b"".join(ids))


def read_hello(data: Any) -> list[bytes]:
    """Ids; BitstreamError where it is no hello, or of another version."""
    reader = Reader(data, _HELLO, "a handshake")
    version, count = reader.byte(), _count(reader)
    if version != VERSION:
        raise BitstreamError(f"a handshake of version {version}, this is version {VERSION}")
    ids = [bytes(reader.take(ID_BYTES)) for _ in range(count)]
    reader.finish()
    return ids


def pack(parts: Sequence[bytes]) -> bytes:
    """Several byte strings as one."""
    return sealed(_LIST, varint(len(parts)) + b"".join(varint(len(part)) + part for part in parts))


def unpack(data: Any) -> list[memoryview]:
    """The parts, views; BitstreamError where these are none."""
    reader = Reader(data, _LIST, "a list of tensors")
    parts = [reader.take(reader.varint()) for _ in range(_count(reader))]
    reader.finish()
    return parts


def raw(tensor: Tensor) -> bytes:
    """A tensor as it is: float32, float16 or bfloat16, up to 16 axes."""
    values, dtype = as_values(tensor)
    if values.ndim > MAX_AXES:
        raise ValueError(f"a tensor may have {MAX_AXES} axes, got {values.ndim}")
    head = bytes([DTYPES.index(dtype), values.ndim]) + b"".join(map(varint, values.shape))
    return sealed(_RAW, head + values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes())


def read_raw(data: Any) -> Tensor:
    """What :func:`raw` wrote; no more memory than the bytes themselves take is asked for."""
    reader = Reader(data, _RAW, "a raw tensor")
    kind, num_axes = reader.take(2)
    if kind >= len(DTYPES) or num_axes > MAX_AXES:
        raise BitstreamError(f"a raw tensor of kind {kind} with {num_axes} axes is not of this version")
    shape = read_shape(reader, num_axes, max(1, len(data)))
    size = 4 if DTYPES[kind] == "float32" else 2
    content = reader.take(math.prod(shape) * size)
    reader.finish()
    tensor, values = empty(shape, DTYPES[kind])
    values.reshape(-1)[:] = np.frombuffer(content, f"<{'f' if size == 4 else 'u'}{size}")
    return tensor


def _count(reader: Reader) -> int:
    count = reader.varint()
    if count > MAX_TENSORS:
        raise BitstreamError(f"{count} tensors, of which at most {MAX_TENSORS} are allowed")
    return count
