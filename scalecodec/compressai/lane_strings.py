"""Lane streams as strings of CompressAI's models: marked, so that no decoder takes one kind for the other.

A rans64 stream is a whole number of 32-bit words. A marked string never is: one byte in front says so, and one behind
where the length would come out even to words. Where the scales come from integer networks, their id stands behind the
mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from scalecodec import rans, rans64
from scalecodec.arrays import as_bytes
from scalecodec.errors import BitstreamError
from scalecodec.streams import LANES, RANS64, Stream

ID_BYTES = 8
_FLOAT, _INTEGER = b"Ll", b"Ss"  # the second of each where a byte follows the stream
_WORD_BYTES = 4


@dataclass(frozen=True)
class Marks:
    """How strings are marked. ``scales_id``: 8 bytes, that of the integer networks; empty where scales are floats."""

    scales_id: bytes = b""

    def mark(self, stream: bytes) -> bytes:
        """The string that carries a lane stream."""
        kind = _INTEGER if self.scales_id else _FLOAT
        padded = (1 + len(self.scales_id) + len(stream)) % _WORD_BYTES == 0
        return kind[padded : padded + 1] + self.scales_id + stream + b"\0" * padded

    def unmark(self, string: Any) -> memoryview:
        """The lane stream that a string carries; BitstreamError where it carries none, or one of other scales."""
        view = as_bytes(string)
        if len(view) % _WORD_BYTES == 0:
            raise BitstreamError("the string is a rans64 stream, as CompressAI's: accelerate with stream='compressai'")
        known = view[0] in _FLOAT + _INTEGER
        if not known or (view[0] in (_FLOAT[1], _INTEGER[1]) and view[-1] != 0):
            raise BitstreamError("the string is neither a rans64 stream nor a marked lane stream")
        is_integer = view[0] in _INTEGER
        if is_integer != bool(self.scales_id):
            kind = "integer" if is_integer else "float"
            raise BitstreamError(f"the string was made with {kind} scales: accelerate with scales='{kind}'")
        begin = 1 + len(self.scales_id)
        if is_integer and bytes(view[1:begin]) != self.scales_id:
            theirs, ours = bytes(view[1:begin]).hex(), self.scales_id.hex()
            raise BitstreamError(f"the string needs integer scales {theirs}, this model's are {ours}")
        return view[begin:-1] if view[0] in (_FLOAT[1], _INTEGER[1]) else view[begin:]

    def stream(self) -> Stream:
        """Lanes through these marks."""
        return Stream("marked lanes", LANES.kind, self._encode, self._decode)

    # In front of the stream's own doors, and with their other arguments.
    def _encode(self, *args: Any, **kwargs: Any) -> list[bytes]:
        return [self.mark(stream) for stream in rans.encode_batch(*args, **kwargs)]

    def _decode(self, data: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
        return rans.decode_batch([self.unmark(string) for string in data], *args, **kwargs)


def refuse_marked(strings: Sequence[Any]) -> None:
    """Raise BitstreamError where one of them carries a lane stream, as far as its length and first byte say."""
    for string in strings:
        view = as_bytes(string)
        if len(view) % _WORD_BYTES != 0 and view[0] in _FLOAT + _INTEGER:
            raise BitstreamError("the string carries a lane stream: accelerate with stream='lanes'")


def _decode_unmarked(data: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
    refuse_marked(data)
    return rans64.decode_batch(data, *args, **kwargs)


UNMARKED_RANS64 = Stream("rans64", RANS64.kind, rans64.encode_batch, _decode_unmarked)
