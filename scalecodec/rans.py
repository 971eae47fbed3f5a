"""The lane stream: several rANS states in turns, SIMD and threads; the same bytes on every machine.

32-bit states, 16-bit words (Duda 2013, arXiv:1311.2540; Giesen 2014, arXiv:1402.3392, for interleaving); the format is
written out in ``csrc/FORMAT.md``, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from . import _core
from .arrays import IntegerArray
from .batches import check_table, check_threads, decode_items, encode_items
from .cdf import CdfTable

__all__ = ["decode", "decode_batch", "encode", "encode_batch"]


def encode(symbols: IntegerArray, indexes: IntegerArray, table: CdfTable, *, threads: int = 1) -> bytes:
    """Code ``symbols``, each with the table its index names.

    Parameters
    ----------
    symbols : integers, any dtype and shape, NumPy or CPU torch; values within int32. Read in place where contiguous.
    indexes : integers of the same shape, in [0, table.num_tables)
    table : CdfTable of at most 65536 tables
    threads : how many may work at once, 1 to 256; the bytes do not depend on it, nor on the machine

    Returns
    -------
    bytes
        Two bytes at least. The GIL is released meanwhile.

    Raises
    ------
    ValueError
        Shapes differ, a symbol is beyond int32, or an index is out of range.
    TypeError
        Not integers, or neither NumPy arrays nor CPU tensors.
    """
    return encode_batch([symbols], [indexes], table, threads=threads)[0]


def decode(
    data: Any, indexes: IntegerArray, table: CdfTable, *, threads: int = 1, out: IntegerArray | None = None
) -> Any:
    """Inverse of :func:`encode`.

    Parameters
    ----------
    data : bytes-like, contiguous; read in place
    indexes : as given to :func:`encode`
    table : CdfTable, equal to the encoder's
    threads : how many may work at once, 1 to 256
    out : writable C-contiguous integer array or tensor of the shape of ``indexes``, to decode into

    Returns
    -------
    ``out``, or an int32 array of the shape of ``indexes``. The GIL is released meanwhile.

    Raises
    ------
    BitstreamError
        The stream is short, long or damaged, or was made with other tables or indexes, as far as it shows: the states
        must end where the encoder's began. Escaped values are not covered; a checksum, as a .scl has, closes that gap.
    ValueError, TypeError
        The caller's arrays are at fault, or ``out`` cannot hold a symbol.
    """
    return decode_batch([data], [indexes], table, threads=threads, outs=None if out is None else [out])[0]


def encode_batch(
    symbols: Sequence[IntegerArray], indexes: Sequence[IntegerArray], table: CdfTable, *, threads: int = 1
) -> list[bytes]:
    """One stream for each item, as :func:`encode` makes it; the items share the threads."""
    check_table(table)
    check_threads(threads)
    return _core.rans_encode(encode_items(symbols, indexes), table._core, threads)


def decode_batch(
    data: Sequence[Any],
    indexes: Sequence[IntegerArray],
    table: CdfTable,
    *,
    threads: int = 1,
    outs: Sequence[IntegerArray] | None = None,
) -> list[Any]:
    """Inverse of :func:`encode_batch`; every item as by :func:`decode`, in one list.

    Of ``outs``, none may overlap another, nor the data and indexes of another item: then symbols would be wrong.
    """
    check_table(table)
    check_threads(threads)
    items, outs = decode_items(data, indexes, outs)
    _core.rans_decode(items, table._core, threads)
    return outs
