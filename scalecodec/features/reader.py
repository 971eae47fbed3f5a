"""Bytes with a magic in front and a CRC-32C behind, walked through with nothing trusted."""

from __future__ import annotations

from typing import Any

from scalecodec import _core
from scalecodec.arrays import as_bytes
from scalecodec.errors import BitstreamError


def sealed(magic: bytes, content: bytes) -> bytes:
    """``content`` between its magic and its checksum."""
    data = magic + content
    return data + _core.crc32c(data).to_bytes(4, "little")


class Reader:
    """Reads what :func:`sealed` made; every method raises BitstreamError where the bytes are not such."""

    def __init__(self, data: Any, magic: bytes, what: str) -> None:
        view = as_bytes(data)
        if len(view) < len(magic) + 4 or view[: len(magic)] != magic:
            raise BitstreamError(f"these bytes are not {what}, or of another version")
        if _core.crc32c(view[:-4]).to_bytes(4, "little") != view[-4:]:
            raise BitstreamError(f"checksum mismatch in {what}")
        self._view, self._position = view[:-4], len(magic)

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes, a view."""
        taken = self._view[self._position : self._position + count]
        if len(taken) < count:
            raise BitstreamError(f"{count} bytes are wanted at {self._position}, {len(taken)} are left")
        self._position += count
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self) -> int:
        """A number below 2^63, in as few bytes as it takes."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
            if shift > 56:
                raise BitstreamError("a number goes on beyond 63 bits")
        if byte == 0 and shift > 7:
            raise BitstreamError("a number has more bytes than it takes")
        return value

    def finish(self) -> None:
        """There must be no bytes left."""
        if self._position != len(self._view):
            raise BitstreamError(f"{len(self._view) - self._position} bytes are left over")
