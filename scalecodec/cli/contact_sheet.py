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
View = tuple[str, "NDArray[Any] | None"]


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
    ours, theirs = [], []
    for number, (label, one, other) in enumerate(columns):
        ours.append((f"scalecodec, {label}" if number else label, one))
        name = f"JPEG, {label}" if number else label
        theirs.append((name if other is not None else f"JPEG cannot go down to {label}", other))
    return sheet([ours, theirs])


def sheet(rows: Sequence[Sequence[View]]) -> NDArray[Any]:
    """uint8 [h, w, 3]: centre views of pictures in rows, each under its title."""
    height, width = len(rows) * (_SIDE + _LABEL), len(rows[0]) * (_SIDE + 4)
    page = Image.new("RGB", (width, height), "white")
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(15)
    for row, views in enumerate(rows):
        for column, (title, samples) in enumerate(views):
            x, y = column * (_SIDE + 4), row * (_SIDE + _LABEL)
            draw.text((x + 6, y + 4), title, "black", font)
            if samples is not None:
                page.paste(Image.fromarray(_centre(samples)), (x, y + _LABEL))
    return np.asarray(page)


def _centre(samples: NDArray[Any]) -> NDArray[Any]:
    top, left = (max(0, (side - _SIDE) // 2) for side in samples.shape[:2])
    return np.ascontiguousarray(samples[top : top + _SIDE, left : left + _SIDE])
