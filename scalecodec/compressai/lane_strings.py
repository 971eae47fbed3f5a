"""Lane streams as strings of CompressAI's models: marked, so that no decoder takes one kind for the other.

A rans64 stream is a whole number of 32-bit words. A marked string never is: one byte in front says so, and one behind
where the length would come out even to words.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scalecodec import rans, rans64
from scalecodec.arrays import as_bytes
from scalecodec.errors import BitstreamError
from scalecodec.streams import LANES, RANS64, Stream

_MARK, _MARK_PADDED = 0x4C, 0x6C  # "L", and "l" where a byte follows the stream
_WORD_BYTES = 4


def mark(stream: bytes) -> bytes:
    """The string that carries a lane stream."""
    padded = (len(stream) + 1) % _WORD_BYTES == 0
    return bytes([_MARK_PADDED if padded else _MARK]) + stream + b"\0" * padded


def refuse_marked(strings: Sequence[Any]) -> None:
    """Raise BitstreamError where one of them carries a lane stream, as far as its length and first byte say."""
    for string in strings:
        view = as_bytes(string)
        if len(view) % _WORD_BYTES != 0 and view[0] in (_MARK, _MARK_PADDED):
            raise BitstreamError("the string carries a lane stream: accelerate with stream='lanes'")


def unmark(string: Any) -> memoryview:
    """The lane stream that a string carries; raises BitstreamError where it carries none."""
    view = as_bytes(string)
    if len(view) % _WORD_BYTES == 0:
        raise BitstreamError("the string is a rans64 stream, as CompressAI's: accelerate with stream='compressai'")
    if view[0] not in (_MARK, _MARK_PADDED) or (view[0] == _MARK_PADDED and view[-1] != 0):
        raise BitstreamError("the string is neither a rans64 stream nor a marked lane stream")
    return view[1:-1] if view[0] == _MARK_PADDED else view[1:]


# In front of the streams' own doors, and with their other arguments.
def _encode_marked(*args: Any, **kwargs: Any) -> list[bytes]:
    return [mark(stream) for stream in rans.encode_batch(*args, **kwargs)]


def _decode_marked(data: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
    return rans.decode_batch([unmark(string) for string in data], *args, **kwargs)


def _decode_unmarked(data: Sequence[Any], *args: Any, **kwargs: Any) -> list[Any]:
    refuse_marked(data)
    return rans64.decode_batch(data, *args, **kwargs)


UNMARKED_RANS64 = Stream("rans64", RANS64.kind, rans64.encode_batch, _decode_unmarked)
MARKED_LANES = Stream("marked lanes", LANES.kind, _encode_marked, _decode_marked)
