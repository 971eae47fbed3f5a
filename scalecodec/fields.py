"""Fields that follow each other in bytes: what the .scl header and coded activations are written and read as."""

from __future__ import annotations

from scalecodec.errors import BitstreamError


def varint(value: int) -> bytes:
    """An unsigned LEB128 number: seven bits a byte, the lowest first, the top bit set on all bytes but the last."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class Fields:
    """Takes fields off the front of a buffer, never from beyond its end: BitstreamError where they are none.

    Attributes
    ----------
    view : memoryview of bytes
    what : str, names it in errors
    position : int, of the next field
    """

    def __init__(self, view: memoryview, what: str, position: int = 0) -> None:
        self.view, self.what, self.position = view, what, position

    def take(self, count: int) -> memoryview:
        """The next ``count`` bytes, a view."""
        end = self.position + count
        if end > len(self.view):
            raise BitstreamError(f"{self.what} is cut off: it has {len(self.view)} bytes, wanted {end} or more")
        start, self.position = self.position, end
        return self.view[start:end]

    def byte(self) -> int:
        return self.take(1)[0]

    def word(self) -> int:
        """32 bits, little-endian."""
        return int.from_bytes(self.take(4), "little")

    def varint(self, bits: int = 63) -> int:
        """A number below ``2^bits`` that :func:`varint` wrote: in as few bytes as it takes."""
        value = shift = 0
        while (byte := self.byte()) & 0x80:
            value |= (byte & 0x7F) << shift
            shift += 7
            if shift >= bits:
                raise BitstreamError(f"a number in {self.what} goes on beyond {bits} bits")
        if byte == 0 and shift:
            raise BitstreamError(f"a number in {self.what} is padded: it has more bytes than it takes")
        value |= byte << shift
        if value >> bits:
            raise BitstreamError(f"a number in {self.what} goes on beyond {bits} bits")
        return value
