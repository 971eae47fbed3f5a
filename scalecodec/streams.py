"""The kinds of entropy-coded stream under one face: what models code with, and what a file says it holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from . import rans, rans64
from .arrays import IntegerArray
from .cdf import CdfTable


@dataclass(frozen=True)
class Stream:
    """One kind of stream: its name, its number in a .scl header, and the coding of a batch, one stream an item."""

    name: str
    kind: int
    encode_batch: Callable[[Sequence[IntegerArray], Sequence[IntegerArray], CdfTable], list[bytes]] = field(repr=False)
    decode_batch: Callable[[Sequence[Any], Sequence[IntegerArray], CdfTable, Sequence[IntegerArray]], object] = field(
        repr=False
    )


def _rans64_encode(symbols: Sequence[IntegerArray], indexes: Sequence[IntegerArray], table: CdfTable) -> list[bytes]:
    return [rans64.encode(item, index, table) for item, index in zip(symbols, indexes, strict=True)]


def _rans64_decode(
    data: Sequence[Any], indexes: Sequence[IntegerArray], table: CdfTable, outs: Sequence[IntegerArray]
) -> None:
    for item, index, out in zip(data, indexes, outs, strict=True):
        rans64.decode(item, index, table, out=out)


def _lanes_decode(
    data: Sequence[Any], indexes: Sequence[IntegerArray], table: CdfTable, outs: Sequence[IntegerArray]
) -> None:
    rans.decode_batch(data, indexes, table, outs=outs)


RANS64 = Stream("rans64", 1, _rans64_encode, _rans64_decode)  # CompressAI's bytes
LANES = Stream("lanes", 2, rans.encode_batch, _lanes_decode)

BY_KIND = {stream.kind: stream for stream in (RANS64, LANES)}
