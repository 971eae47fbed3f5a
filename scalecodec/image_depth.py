"""How many bits a sample a picture file holds, for the formats where Pillow would hand out eight without a word."""

from __future__ import annotations

import struct

from PIL import Image

_HEAD = 1 << 16  # bytes searched for the header of JPEG 2000 and AVIF: both stand before the picture data


def declared_bits(image: Image.Image) -> int:
    """Bits of the widest sample in the file behind an opened image.

    Parameters
    ----------
    image : PIL.Image.Image
        Its pixels need not be loaded; its file, where it has one, is left at the position it was found at.

    Returns
    -------
    int
        8 where the file says no more, or is gone.
    """
    if image.format == "TIFF":
        return max(getattr(image, "tag_v2", {}).get(258, (8,)))
    if image.format in ("JPEG2000", "AVIF"):
        head = _head_of(image)
        return _jpeg2000_bits(head) if image.format == "JPEG2000" else _av1_bits(head)
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    if image.format == "PPM":
        return max((one[1].bit_length() if isinstance(one, tuple) else 8 for one in arguments), default=8)
    return 16 if any(isinstance(one, str) and ";16" in one for one in arguments) else 8


def _head_of(image: Image.Image) -> bytes:
    file = getattr(image, "fp", None)
    if file is None or file.closed:
        return b""
    position = file.tell()
    file.seek(0)
    head = file.read(_HEAD)
    file.seek(position)
    return head


def _jpeg2000_bits(head: bytes) -> int:
    """From the SIZ marker of the codestream (ISO/IEC 15444-1, A.5.1): its components' Ssiz."""
    start = head.find(b"\xff\x4f\xff\x51")
    if start < 0 or len(head) < start + 42:
        return 8
    (components,) = struct.unpack_from(">H", head, start + 40)
    depths = head[start + 42 : start + 42 + 3 * components : 3]
    return max(((depth & 0x7F) + 1 for depth in depths), default=8)


def _av1_bits(head: bytes) -> int:
    """From the av1C box (AV1 Codec ISO Media File Format Binding, 2.3): high_bitdepth and twelve_bit."""
    start = head.find(b"av1C")
    if start < 0 or len(head) < start + 7:
        return 8
    flags = head[start + 6]
    return 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
