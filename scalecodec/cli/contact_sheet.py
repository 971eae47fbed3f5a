"""The demo's picture: the photograph at several sizes, ours above and JPEG of the same size below."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SIDE = 320  # pixels of one view
_LABEL = 26

Column = tuple[str, NDArray[Any], "NDArray[Any] | None"]


def jpeg_of_size(samples: NDArray[Any], num_bytes: int) -> NDArray[Any] | None:
    """``samples`` through the best JPEG that is no larger, or None where JPEG cannot be so small."""
    best = None
    low, high = 1, 100
    while low <= high:
        quality = (low + high) // 2
        buffer = io.BytesIO()
        Image.fromarray(samples).save(buffer, "JPEG", quality=quality, optimize=True, progressive=True)
        if buffer.tell() <= num_bytes:
            best, low = buffer, quality + 1
        else:
            high = quality - 1
    return None if best is None else np.asarray(Image.open(best))


def contact_sheet(columns: Sequence[Column]) -> NDArray[Any]:
    """uint8 [h, w, 3]: for each (label, ours, JPEG) a centre view of both, one above the other."""
    sheet = Image.new("RGB", (len(columns) * (_SIDE + 4), 2 * (_SIDE + _LABEL)), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    for number, (label, ours, jpeg) in enumerate(columns):
        x = number * (_SIDE + 4)
        for row, (name, samples) in enumerate((("scalecodec", ours), ("JPEG", jpeg))):
            y = row * (_SIDE + _LABEL)
            title = label if number == 0 else f"{name}, {label}"
            draw.text(
                (x + 6, y + 4), title if samples is not None else f"JPEG cannot go down to {label}", "black", font
            )
            if samples is not None:
                sheet.paste(Image.fromarray(_centre(samples)), (x, y + _LABEL))
    return np.asarray(sheet)


def _centre(samples: NDArray[Any]) -> NDArray[Any]:
    top, left = (max(0, (side - _SIDE) // 2) for side in samples.shape[:2])
    return np.ascontiguousarray(samples[top : top + _SIDE, left : left + _SIDE])
