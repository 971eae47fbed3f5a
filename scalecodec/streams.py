"""The kinds of entropy-coded stream under one face: what models code with, and what a file says it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import rans, rans64
from .arrays import IntegerArray
from .cdf import CdfTable


class EncodeBatch(Protocol):
    """As :func:`scalecodec.rans.encode_batch`."""

    def __call__(
        self, symbols: Sequence[IntegerArray], indexes: Sequence[IntegerArray], table: CdfTable, *, threads: int = 1
    ) -> list[bytes]: ...


class DecodeBatch(Protocol):
    """As :func:`scalecodec.rans.decode_batch`."""

    def __call__(
        self,
        data: Sequence[Any],
        indexes: Sequence[IntegerArray],
        table: CdfTable,
        *,
        threads: int = 1,
        outs: Sequence[IntegerArray] | None = None,
    ) -> list[Any]: ...


@dataclass(frozen=True)
class Stream:
    """One kind of stream: its name, its number in a .scl header, and the coding of a batch, one stream an item."""

    name: str
    kind: int
    encode_batch: EncodeBatch = field(repr=False)
    decode_batch: DecodeBatch = field(repr=False)


RANS64 = Stream("rans64", 1, rans64.encode_batch, rans64.decode_batch)  # CompressAI's bytes
LANES = Stream("lanes", 2, rans.encode_batch, rans.decode_batch)

BY_KIND = {stream.kind: stream for stream in (RANS64, LANES)}
