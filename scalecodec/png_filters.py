"""The five filters of PNG, forward and back, on whole pictures (ISO/IEC 15948, clause 9).

Surprise first: undoing Average and Paeth needs the neighbours' results, so no row can be done at once; but all
samples on one anti-diagonal can, and a picture has only height + width - 1 of these.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .errors import BitstreamError

Bytes = npt.NDArray[np.uint8]

NONE, SUB, UP, AVERAGE, PAETH = range(5)
_ROWS = 64  # rows filtered at once: five candidates of them stay small


def filter_rows(rows: Bytes, pixel_bytes: int) -> Bytes:
    """Filter each row by the one of the five that leaves the smallest sum of absolute residuals.

    Parameters
    ----------
    rows : uint8 [H, row_bytes]
    pixel_bytes : int
        Bytes of one pixel; divides row_bytes.

    Returns
    -------
    uint8 [H, 1 + row_bytes]
        The filter's number before each row, ready for deflate.
    """
    height, row_bytes = rows.shape
    padded = np.zeros((height + 1, row_bytes + pixel_bytes), np.uint8)  # a zero row above, a zero pixel to the left
    padded[1:, pixel_bytes:] = rows
    out = np.empty((height, 1 + row_bytes), np.uint8)
    for top in range(0, height, _ROWS):
        bottom = min(top + _ROWS, height)
        candidates = _residuals(padded[top : bottom + 1], pixel_bytes)
        cost = np.abs(candidates.view(np.int8).astype(np.int16)).sum(axis=2, dtype=np.int64)
        choice = cost.argmin(axis=0)
        out[top:bottom, 0] = choice
        out[top:bottom, 1:] = candidates[choice, np.arange(bottom - top)]
    return out


def unfilter_rows(filtered: Bytes, pixel_bytes: int) -> Bytes:
    """Undo `filter_rows`, whichever filter each row names.

    Parameters
    ----------
    filtered : uint8 [H, 1 + row_bytes]
    pixel_bytes : int

    Returns
    -------
    uint8 [H, row_bytes]
        A new array.

    Raises
    ------
    BitstreamError
        A row names no filter.
    """
    filters = filtered[:, 0]
    if filters.max() > PAETH:
        raise BitstreamError(
            f"row {int((filters > PAETH).argmax())} names PNG filter {filters.max()}, there are 0 to 4"
        )
    rows = filtered[:, 1:].copy()
    if filters.max() <= UP:
        _undo_by_row(rows, filters, pixel_bytes)
    else:
        _undo_by_diagonal(rows, filters, pixel_bytes)
    return rows


def _paeth(
    left: npt.NDArray[np.int16], up: npt.NDArray[np.int16], corner: npt.NDArray[np.int16]
) -> npt.NDArray[np.int16]:
    """Whichever of the three is nearest to left + up - corner; ties go to left, then up."""
    to_left, to_up = np.abs(up - corner), np.abs(left - corner)
    to_corner = np.abs(left + up - 2 * corner)
    return np.where((to_left <= to_up) & (to_left <= to_corner), left, np.where(to_up <= to_corner, up, corner))


def _residuals(padded: Bytes, pixel_bytes: int) -> Bytes:
    """All five candidates, uint8 [5, H, row_bytes], of the rows below the first."""
    wide = padded.astype(np.int16)
    here, left = wide[1:, pixel_bytes:], wide[1:, :-pixel_bytes]
    up, corner = wide[:-1, pixel_bytes:], wide[:-1, :-pixel_bytes]
    guesses = np.stack((np.zeros_like(here), left, up, (left + up) >> 1, _paeth(left, up, corner)))
    return (here - guesses).astype(np.uint8)  # differences are modulo 256


def _undo_by_row(rows: Bytes, filters: Bytes, pixel_bytes: int) -> None:
    for y, kind in enumerate(filters):
        if kind == SUB:
            pixels = rows[y].reshape(-1, pixel_bytes)
            np.add.accumulate(pixels, axis=0, dtype=np.uint8, out=pixels)
        elif kind == UP and y:
            rows[y] += rows[y - 1]


def _undo_by_diagonal(rows: Bytes, filters: Bytes, pixel_bytes: int) -> None:
    height, width = rows.shape[0], rows.shape[1] // pixel_bytes
    pixels = rows.reshape(-1, pixel_bytes)
    step = max(width - 1, 1)  # from one row to the next along an anti-diagonal
    masks = [(filters == kind)[:, None] for kind in (SUB, UP, AVERAGE, PAETH)]
    # results of the last two diagonals by row; entry 0 is the zero row above the picture
    newest, older = (np.zeros((height + 1, pixel_bytes), np.int16) for _ in range(2))
    for diagonal in range(height + width - 1):
        top, bottom = max(0, diagonal - width + 1), min(height, diagonal + 1)
        first = top * width + diagonal - top
        here = pixels[first : first + (bottom - top - 1) * step + 1 : step]
        left, up, corner = newest[top + 1 : bottom + 1], newest[top:bottom], older[top:bottom]
        sub, above, average, paeth = (mask[top:bottom] for mask in masks)
        guess = sub * left + above * up + average * ((left + up) >> 1) + paeth * _paeth(left, up, corner)
        here += guess.astype(np.uint8)
        newest, older = older, newest
        newest[top + 1 : bottom + 1] = here
