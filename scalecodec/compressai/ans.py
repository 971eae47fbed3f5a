"""CompressAI's coder, call for call: ``compressai.ans`` with checks, arrays and tables that stay prepared.

The streams are CompressAI's, byte for byte, wherever its coder is defined; where it crashes, hangs or reads past its
buffers, these give the right answer or raise. Every call takes

- ``symbols``, ``indexes``: lists, tuples or other sequences of ints, as there, or integer arrays: NumPy or CPU torch,
  any shape, used in place where contiguous;
- ``cdfs``, ``cdfs_sizes``, ``offsets``: sequences, as there, arrays or tensors, or a prepared
  :class:`~scalecodec.CdfTable` in place of the three. Entries beyond a row's size are never looked at. Tables seen in a
  call before are known again by what is in them (``tables.py``).

The GIL is released while symbols are coded. Encoders and decoders can be copied and pickled unless they hold a stream.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from scalecodec import _core
from scalecodec.arrays import as_bytes, as_integers

from .tables import Tables, find, int32

__all__ = ["BufferedRansEncoder", "RansDecoder", "RansEncoder"]


class _Call(NamedTuple):
    """Flat symbols and indexes of one call, and what they are coded with."""

    symbols: NDArray[np.integer]
    indexes: NDArray[np.integer]
    tables: Tables


class _Question(NamedTuple):
    """What a decoder is asked for."""

    indexes: NDArray[np.integer]
    tables: Tables
    wants_list: bool


def _numbers(values: Any, name: str) -> NDArray[np.integer]:
    return as_integers(values, name) if hasattr(values, "dtype") else _core.int32_array(values, name)


def _call(symbols: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any) -> _Call:
    values, selected = _numbers(symbols, "symbols"), _numbers(indexes, "indexes")
    if not hasattr(indexes, "dtype") and values.ndim == 1:
        selected = selected[: len(values)]  # as in CompressAI, which reads no more of them than there are symbols
    if values.shape != selected.shape:
        raise ValueError(f"symbols and indexes must have one shape, got {values.shape} and {selected.shape}")
    selected = selected.reshape(-1)
    return _Call(values.reshape(-1), selected, find(selected, cdfs, cdfs_sizes, offsets))


def _question(indexes: Any, cdfs: Any, cdfs_sizes: Any, offsets: Any) -> _Question:
    selected = _numbers(indexes, "indexes")
    return _Question(selected, find(selected.reshape(-1), cdfs, cdfs_sizes, offsets), not hasattr(indexes, "dtype"))


def _encode(calls: list[_Call]) -> bytes:
    encoder = _core.Rans64Encoder()
    for symbols, indexes, tables in reversed(calls):
        if isinstance(tables, _core.Table):
            encoder.prepend(symbols, indexes, tables)
        else:
            encoder.prepend_rows(symbols, tables)
    return encoder.finish()


def _decode(stream: _core.Rans64Decoder, asked: _Question) -> Any:
    out = np.empty(asked.indexes.shape, dtype=np.int32)
    if isinstance(asked.tables, _core.Table):
        stream.decode(asked.indexes, asked.tables, out)
    else:
        stream.decode_rows(asked.tables, out)
    return _core.int_list(out) if asked.wants_list else out


def _owned(given: Any, numbers: NDArray[np.integer], name: str) -> NDArray[np.int32]:
    """int32 that no caller can change: made from a sequence, or copied from an array."""
    narrow = int32(numbers, name)
    return narrow.copy() if hasattr(given, "dtype") else narrow


class RansEncoder:
    """One stream a call."""

    def encode_with_indexes(
        self, symbols: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any = None, offsets: Any = None
    ) -> bytes:
        """Code ``symbols``, each with the table that its index names.

        Parameters
        ----------
        symbols : integers within int32
        indexes : integers of the same shape, in [0, number of tables); a sequence may be longer
        cdfs : rows from 0 to 65536, strictly increasing, or a CdfTable
        cdfs_sizes : entries of each row, its last symbol being the escape
        offsets : the symbol of each row's first interval

        Returns
        -------
        bytes
            Whole 32-bit words; 8 bytes where there are no symbols.

        Raises
        ------
        TableError
            A row breaks its contract.
        ValueError, TypeError
            Anything else that the caller's arguments can have.
        """
        return _encode([_call(symbols, indexes, cdfs, cdfs_sizes, offsets)])


class BufferedRansEncoder:
    """One stream from any number of calls: symbols decode in the order in which they were given."""

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def encode_with_indexes(
        self, symbols: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any = None, offsets: Any = None
    ) -> None:
        """Append; as :meth:`RansEncoder.encode_with_indexes`. Copied: the caller may change what it gave."""
        call = _call(symbols, indexes, cdfs, cdfs_sizes, offsets)
        num_tables = call.tables.num_tables
        if len(call.indexes) and not 0 <= call.indexes.min() <= call.indexes.max() < num_tables:
            raise ValueError(
                f"indexes must lie in [0, {num_tables}), got values from {call.indexes.min()} to {call.indexes.max()}"
            )
        owned = [_owned(symbols, call.symbols, "symbols"), _owned(indexes, call.indexes, "indexes")]
        self._calls.append(_Call(owned[0], owned[1], call.tables))

    def flush(self) -> bytes:
        """The stream of everything appended since the last flush (8 bytes where that is nothing)."""
        calls, self._calls = self._calls, []
        return _encode(calls)


class RansDecoder:
    """Decodes a whole stream at once, from any thread, or one stream over several calls, one at a time."""

    def __init__(self) -> None:
        self._stream: _core.Rans64Decoder | None = None

    def decode_with_indexes(
        self, encoded: Any, indexes: Any, cdfs: Any, cdfs_sizes: Any = None, offsets: Any = None
    ) -> Any:
        """All symbols of a stream.

        Parameters
        ----------
        encoded : bytes-like, contiguous
        indexes : one a symbol, all that the stream was made with: unlike CompressAI this checks the stream's end,
            which tells damage and wrong tables. For a stream's first symbols only, take :meth:`decode_stream`.
        cdfs, cdfs_sizes, offsets : those of the encoder

        Returns
        -------
        list of int; where ``indexes`` is an array or a tensor an int32 array of its shape

        Raises
        ------
        BitstreamError
            The stream is short, long or damaged, or was made with other tables or indexes.
        TableError, ValueError, TypeError
            As :meth:`RansEncoder.encode_with_indexes`.
        """
        stream = _core.Rans64Decoder(as_bytes(encoded))
        symbols = _decode(stream, _question(indexes, cdfs, cdfs_sizes, offsets))
        stream.finish()
        return symbols

    def set_stream(self, encoded: Any) -> None:
        """Begin with this stream (bytes-like; what can change is copied). BitstreamError where it cannot be one."""
        self._stream = None
        view = as_bytes(encoded)
        self._stream = _core.Rans64Decoder(encoded if type(encoded) is bytes else bytes(view))

    def decode_stream(self, indexes: Any, cdfs: Any, cdfs_sizes: Any = None, offsets: Any = None) -> Any:
        """The next symbols of the stream, one an index; else as :meth:`decode_with_indexes`, but for the end check.

        After a failure in the midst of the stream it must be set anew.
        """
        stream, asked = self._begun(), _question(indexes, cdfs, cdfs_sizes, offsets)
        self._stream = None  # an error leaves it somewhere in between
        symbols = _decode(stream, asked)
        self._stream = stream
        return symbols

    def finish(self) -> None:
        """Raise BitstreamError unless the stream is read to its end and the coder is back in its start state.

        Not in CompressAI, whose decoder cannot tell.
        """
        self._begun().finish()

    def _begun(self) -> _core.Rans64Decoder:
        if self._stream is None:
            raise ValueError("there is no stream: call set_stream first, and again after an error")
        return self._stream
