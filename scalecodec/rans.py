"""The lane stream: several rANS states in turns, SIMD and threads; the same bytes on every machine.

32-bit states, 16-bit words (Duda 2013, arXiv:1311.2540; Giesen 2014, arXiv:1402.3392, for interleaving); the format is
written out in ``csrc/FORMAT.md``, section 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from . import _core
from .arrays import IntegerArray, as_bytes, as_integers, as_output
from .cdf import CdfTable

__all__ = ["decode", "decode_batch", "encode", "encode_batch"]

MAX_THREADS = 256


def _check(table: CdfTable, threads: int) -> None:
    if not isinstance(table, CdfTable):
        raise TypeError(f"table must be a CdfTable, got {type(table).__name__}")
    if not isinstance(threads, int):
        raise TypeError(f"threads must be an int, got {threads!r}")
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must lie in [1, {MAX_THREADS}], got {threads}")


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
    _check(table, threads)
    if len(symbols) != len(indexes):
        raise ValueError(f"there must be as many symbols as indexes, got {len(symbols)} and {len(indexes)}")
    items = [(as_integers(s, "symbols"), as_integers(i, "indexes")) for s, i in zip(symbols, indexes, strict=True)]
    for values, selected in items:
        if values.shape != selected.shape:
            raise ValueError(f"symbols and indexes must have one shape, got {values.shape} and {selected.shape}")
    return _core.rans_encode(items, table._core, threads)


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
    _check(table, threads)
    num_outs = len(indexes) if outs is None else len(outs)
    if not len(data) == len(indexes) == num_outs:
        counts = f"{len(data)}, {len(indexes)} and {num_outs}"
        raise ValueError(f"there must be as many data as indexes and outs, got {counts}")
    views = [as_bytes(stream) for stream in data]
    selected = [as_integers(item, "indexes") for item in indexes]
    if outs is None:
        outs = [np.empty(item.shape, dtype=np.int32) for item in selected]
        targets = outs
    else:
        targets = [as_output(out, item.shape) for out, item in zip(outs, selected, strict=True)]
        for i, (view, target) in enumerate(zip(views, targets, strict=True)):
            if np.may_share_memory(target, np.frombuffer(view, dtype=np.uint8)):
                raise ValueError("out must not share memory with data")
            if np.may_share_memory(target, selected[i]):
                selected[i] = selected[i].copy()
    _core.rans_decode(list(zip(views, selected, targets, strict=True)), table._core, threads)
    return list(outs)
