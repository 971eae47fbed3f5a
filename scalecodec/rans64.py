"""The rans64 stream: CompressAI's bytes, from arrays, with every check that its coder lacks.

One 64-bit state, 32-bit words (Duda 2013, arXiv:1311.2540); the format is written out in ``csrc/FORMAT.md``, section 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import _core
from .arrays import IntegerArray, as_bytes, as_integers, as_output
from .batches import check_table, check_threads, decode_items, encode_item, encode_items
from .cdf import CdfTable

__all__ = ["Decoder", "Encoder", "decode", "decode_batch", "encode", "encode_batch"]

_Segment = tuple[NDArray[np.integer], NDArray[np.integer], _core.Table]


def _segment(symbols: IntegerArray, indexes: IntegerArray, table: CdfTable) -> _Segment:
    check_table(table)
    return (*encode_item(symbols, indexes), table._core)


def _encode(segments: list[_Segment]) -> bytes:
    encoder = _core.Rans64Encoder()
    for segment in reversed(segments):
        encoder.prepend(*segment)
    return encoder.finish()


def encode(symbols: IntegerArray, indexes: IntegerArray, table: CdfTable) -> bytes:
    """Code ``symbols``, each with the table its index names.

    Parameters
    ----------
    symbols : integers, any dtype and shape, NumPy or CPU torch; values within int32. Read in place where contiguous.
    indexes : integers of the same shape, in [0, table.num_tables)
    table : CdfTable

    Returns
    -------
    bytes
        A whole number of 32-bit words, 8 bytes at least; CompressAI's very bytes wherever its coder is defined.
        The GIL is released meanwhile.

    Raises
    ------
    ValueError
        Shapes differ, a symbol is beyond int32, or an index is out of range.
    TypeError
        Not integers, or neither NumPy arrays nor CPU tensors.
    """
    return _encode([_segment(symbols, indexes, table)])


def decode(
    data: Any, indexes: IntegerArray, table: CdfTable, *, strict: bool = True, out: IntegerArray | None = None
) -> Any:
    """Inverse of :func:`encode`.

    Parameters
    ----------
    data : bytes-like, contiguous; read in place
    indexes : as given to :func:`encode`
    table : CdfTable, equal to the encoder's
    strict : check that the stream ends where and as its encoder began. Costs nothing and catches wrong tables and, in
        usual latents, all but about one in 10,000 flipped bits; escapes and equal frequencies are raw bits, which it
        does not see. A checksum, as a .scl has, closes that gap. Off only for streams with
        something behind them.
    out : writable C-contiguous integer array or tensor of the shape of ``indexes``, to decode into

    Returns
    -------
    ``out``, or an int32 array of the shape of ``indexes``. The GIL is released meanwhile.

    Raises
    ------
    BitstreamError
        The stream is short, long or damaged, or was made with other tables or indexes.
    ValueError, TypeError
        The caller's arrays are at fault, or ``out`` cannot hold a symbol.
    """
    decoder = Decoder(data)
    symbols = decoder.decode(indexes, table, out=out)
    if strict:
        decoder.finish()
    return symbols


def encode_batch(
    symbols: Sequence[IntegerArray], indexes: Sequence[IntegerArray], table: CdfTable, *, threads: int = 1
) -> list[bytes]:
    """One stream for each item, as :func:`encode` makes it; up to ``threads`` items, 1 to 256, at once."""
    check_table(table)
    check_threads(threads)
    return _core.rans64_encode_batch(encode_items(symbols, indexes), table._core, threads)


def decode_batch(
    data: Sequence[Any],
    indexes: Sequence[IntegerArray],
    table: CdfTable,
    *,
    threads: int = 1,
    outs: Sequence[IntegerArray] | None = None,
) -> list[Any]:
    """Inverse of :func:`encode_batch`; every item as by :func:`decode`, to its stream's end, in one list.

    Of ``outs``, none may overlap another, nor the data and indexes of another item: then symbols would be wrong.
    """
    check_table(table)
    check_threads(threads)
    items, outs = decode_items(data, indexes, outs)
    _core.rans64_decode_batch(items, table._core, threads)
    return outs


class Encoder:
    """One stream from several calls, possibly with several tables; ``flush`` returns it and starts anew."""

    def __init__(self) -> None:
        self._segments: list[_Segment] = []

    def append(self, symbols: IntegerArray, indexes: IntegerArray, table: CdfTable) -> None:
        """Queue a copy of these symbols; as :func:`encode`, but ranges are checked in ``flush``."""
        values, tables, prepared = _segment(symbols, indexes, table)
        self._segments.append((values.copy(), tables.copy(), prepared))

    def flush(self) -> bytes:
        """The stream of everything appended since the last flush (8 bytes where that is nothing)."""
        segments, self._segments = self._segments, []
        return _encode(segments)


class Decoder:
    """Reads one stream over several calls, possibly with several tables. Keeps ``data`` alive; not for many threads."""

    def __init__(self, data: Any) -> None:
        self._data = np.frombuffer(as_bytes(data), dtype=np.uint8)
        self._core = _core.Rans64Decoder(self._data)

    def decode(self, indexes: IntegerArray, table: CdfTable, *, out: IntegerArray | None = None) -> Any:
        """The next symbols, one an index; arguments and errors as for :func:`decode`."""
        check_table(table)
        selected = as_integers(indexes, "indexes")
        if out is None:
            out = np.empty(selected.shape, dtype=np.int32)
        target = as_output(out, selected.shape)
        if np.may_share_memory(target, self._data):
            raise ValueError("out must not share memory with data")
        if np.may_share_memory(target, selected):
            selected = selected.copy()
        self._core.decode(selected, table._core, target)
        return out

    def finish(self) -> None:
        """Raise BitstreamError unless the stream is read to its end and the coder is back in its start state."""
        self._core.finish()
