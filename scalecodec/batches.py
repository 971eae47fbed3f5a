"""What the doors of both streams check before a batch is coded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .arrays import IntegerArray, as_bytes, as_integers, as_output
from .cdf import CdfTable

MAX_THREADS = 256

Integers = NDArray[np.integer]


def check_table(table: CdfTable) -> None:
    """Raise TypeError unless it is one."""
    if not isinstance(table, CdfTable):
        raise TypeError(f"table must be a CdfTable, got {type(table).__name__}")


def check_threads(threads: int) -> None:
    """Raise TypeError or ValueError unless it is an int in [1, 256]."""
    if not isinstance(threads, int):
        raise TypeError(f"threads must be an int, got {threads!r}")
    if not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must lie in [1, {MAX_THREADS}], got {threads}")


def encode_item(symbols: IntegerArray, indexes: IntegerArray) -> tuple[Integers, Integers]:
    """One stream's symbols and indexes as the core takes them."""
    values, selected = as_integers(symbols, "symbols"), as_integers(indexes, "indexes")
    if values.shape != selected.shape:
        raise ValueError(f"symbols and indexes must have one shape, got {values.shape} and {selected.shape}")
    return values, selected


def encode_items(symbols: Sequence[IntegerArray], indexes: Sequence[IntegerArray]) -> list[tuple[Integers, Integers]]:
    """The same for a batch."""
    if len(symbols) != len(indexes):
        raise ValueError(f"there must be as many symbols as indexes, got {len(symbols)} and {len(indexes)}")
    return [encode_item(values, selected) for values, selected in zip(symbols, indexes, strict=True)]


def decode_items(
    data: Sequence[Any], indexes: Sequence[IntegerArray], outs: Sequence[IntegerArray] | None
) -> tuple[list[tuple[memoryview, Integers, Integers]], list[Any]]:
    """A batch to decode as the core takes it, and what to return: ``outs``, or new int32 arrays."""
    num_outs = len(indexes) if outs is None else len(outs)
    if not len(data) == len(indexes) == num_outs:
        counts = f"{len(data)}, {len(indexes)} and {num_outs}"
        raise ValueError(f"there must be as many data as indexes and outs, got {counts}")
    views = [as_bytes(stream) for stream in data]
    selected = [as_integers(item, "indexes") for item in indexes]
    if outs is None:
        outs = [np.empty(item.shape, dtype=np.int32) for item in selected]
        return list(zip(views, selected, outs, strict=True)), list(outs)
    targets = [as_output(out, item.shape) for out, item in zip(outs, selected, strict=True)]
    for i, (view, target) in enumerate(zip(views, targets, strict=True)):
        if np.may_share_memory(target, np.frombuffer(view, dtype=np.uint8)):
            raise ValueError("out must not share memory with data")
        if np.may_share_memory(target, selected[i]):
            selected[i] = selected[i].copy()
    return list(zip(views, selected, targets, strict=True)), list(outs)
