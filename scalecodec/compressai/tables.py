"""Tables as CompressAI's callers bring them, with every call: those seen before are kept prepared.

Lists can be changed in place, so that a table is known by what is in it and not by its address.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalecodec import _core
from scalecodec.arrays import as_integers
from scalecodec.cdf import CdfTable

MAX_KEPT = 16  # sets of tables; a model has two to twelve
MAX_BYTES = 128 << 20  # of all kept sets, with the integers of their lists
MIN_SINGLE_USE = 2048  # fewer tables than that, used once each, are taken for such that come again

Tables = _core.Table | _core.TableRows
Int32 = NDArray[np.int32]


def int32(values: Any, name: str) -> NDArray[np.int32]:
    """A sequence, array or tensor of integers as int32; ValueError where one does not fit."""
    if not hasattr(values, "dtype"):
        return _core.int32_array(values, name)
    array = as_integers(values, name)
    narrow = array.astype(np.int32, copy=False)
    if array.dtype != np.int32 and not np.array_equal(narrow, array):
        raise ValueError(f"{name} must fit int32, got values from {array.min()} to {array.max()}")
    return narrow


class TableCache:
    """The sets of tables last used, prepared; bounded in number and in bytes.

    For any number of threads and across a fork, without a lock: what is kept is replaced as a whole, and where two
    threads do so at once the worst is a table prepared twice.
    """

    def __init__(self, max_kept: int = MAX_KEPT, max_bytes: int = MAX_BYTES) -> None:
        self._max_kept = max_kept
        self._max_bytes = max_bytes
        self._kept: tuple[tuple[_core.TableRows, _core.Table], ...] = ()  # last used first

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, indexes: NDArray[np.integer], cdfs: Any, cdf_length: Int32, offset: Int32) -> _core.Table:
        """The prepared table, right in the rows that ``indexes`` name; of 64 Gaussians in lists within some 5 us."""
        kept = self._kept
        for place, (rows, table) in enumerate(kept):
            if rows.matches(cdfs, cdf_length, offset, indexes):
                if place:
                    self._kept = (kept[place], *kept[:place], *kept[place + 1 :])
                return table
        rows = _core.TableRows(cdfs, cdf_length, offset, keep_objects=True)
        equal = [table for known, table in kept if known.equals(rows)]
        table = equal[0] if equal else rows.prepare()
        self._keep(rows, table)
        return table

    def _keep(self, rows: _core.TableRows, table: _core.Table) -> None:
        kept: list[tuple[_core.TableRows, _core.Table]] = []
        room = self._max_bytes
        for known in ((rows, table), *(known for known in self._kept if not known[0].equals(rows))):
            room -= known[0].num_bytes
            if room < 0 or len(kept) == self._max_kept:
                break
            kept.append(known)
        if kept:
            self._kept = tuple(kept)


_CACHE = TableCache()


def find(indexes: NDArray[np.integer], cdfs: Any, cdfs_sizes: Any, offsets: Any) -> Tables:
    """What a call with these flat ``indexes`` codes with: a prepared table, or rows that serve one symbol each.

    Raises
    ------
    TableError
        A row does not start at 0, rise strictly and end at 65536, or its size is not that of a row.
    ValueError, TypeError
        The three are not equally many, hold no integers or such beyond int32, or a CdfTable is one of four.
    """
    if isinstance(cdfs, CdfTable):
        if cdfs_sizes is not None or offsets is not None:
            raise TypeError("a CdfTable has cdfs_sizes and offsets of its own: leave these out")
        return cdfs._core
    lengths, first_symbols = int32(cdfs_sizes, "cdfs_sizes"), int32(offsets, "offsets")
    for name, array in (("cdfs_sizes", lengths), ("offsets", first_symbols)):
        if array.ndim != 1:
            raise ValueError(f"{name} must be 1-D, got shape {array.shape}")
    if hasattr(cdfs, "dtype"):
        cdfs = as_integers(cdfs, "cdfs")
        if cdfs.ndim != 2:
            raise ValueError(f"cdfs must be 2-D [num_tables, width], got shape {cdfs.shape}")
    if _each_row_once(indexes, len(lengths)):
        rows = _core.TableRows(cdfs, lengths, first_symbols, keep_objects=False)
        rows.check()
        return rows
    return _CACHE.find(indexes, cdfs, lengths, first_symbols)


def _each_row_once(indexes: NDArray[np.integer], num_tables: int) -> bool:
    """Whether the call is as CompressAI's mixtures make it: a table an element, never seen again; or without any."""
    count = len(indexes)
    if count < MIN_SINGLE_USE:
        return count == 0
    return count <= num_tables and np.array_equal(indexes, np.arange(count))
