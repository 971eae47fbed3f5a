"""Bytes with a magic in front and a CRC-32C behind, walked through with nothing trusted."""

from __future__ import annotations

from typing import Any

from scalecodec import _core
from scalecodec.arrays import as_bytes
from scalecodec.errors import BitstreamError
from scalecodec.fields import Fields


def sealed(magic: bytes, content: bytes) -> bytes:
    """``content`` between its magic and its checksum."""
    data = magic + content
    return data + _core.crc32c(data).to_bytes(4, "little")


class Reader(Fields):
    """The fields of what :func:`sealed` made; BitstreamError where the bytes are not such."""

    def __init__(self, data: Any, magic: bytes, what: str) -> None:
        view = as_bytes(data)
        if len(view) < len(magic) + 4 or view[: len(magic)] != magic:
            raise BitstreamError(f"these bytes are not {what}, or of another version")
        if _core.crc32c(view[:-4]).to_bytes(4, "little") != view[-4:]:
            raise BitstreamError(f"checksum mismatch in {what}")
        super().__init__(view[:-4], what, len(magic))

    def finish(self) -> None:
        """There must be no bytes left."""
        if self.position != len(self.view):
            raise BitstreamError(f"{len(self.view) - self.position} bytes are left over in {self.what}")
