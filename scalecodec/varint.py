"""Unsigned LEB128 numbers, as the .scl header and coded activations have them."""

from __future__ import annotations


def varint(value: int) -> bytes:
    """Seven bits a byte, the lowest first, the top bit set on all but the last, as few bytes as it takes."""
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
