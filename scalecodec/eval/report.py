"""An evaluation as text, CSV, JSON and a plot."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from scalecodec import figures
from scalecodec.text import columns

from .comparison import Comparison
from .rate_distortion import Point, Row

_QUALITIES = {"psnr": "PSNR (dB)", "ms_ssim_db": "MS-SSIM (dB)"}


def table(points: Sequence[Point], comparisons: Sequence[Comparison] = ()) -> str:
    """The mean curves, and the comparisons below them, in columns for a terminal.

    Returns
    -------
    str
        Lines without a newline at the end. A dash stands where there is no number.
    """
    head = ("codec", "setting", "bpp", "PSNR dB", "MS-SSIM", "MS-SSIM dB", "encode s", "decode s")
    lines = [
        (
            point.label,
            f"{point.setting:g}",
            f"{point.bpp:.4f}",
            f"{point.psnr:.3f}",
            _number(point.ms_ssim, ".5f"),
            _number(point.ms_ssim_db, ".3f"),
            f"{point.encode_seconds:.3f}",
            f"{point.decode_seconds:.3f}",
        )
        for point in points
    ]
    text = columns([head, *lines])
    if not comparisons:
        return text
    head = ("codec", "against", "quality", "BD-rate %", "over", "per picture %", "pictures", "")
    lines = [
        (
            one.label,
            one.anchor,
            one.quality,
            _number(one.of_means.value if one.of_means else None, "+.2f"),
            f"{one.of_means.low:.2f} to {one.of_means.high:.2f}" if one.of_means else "-",
            _number(one.of_images, "+.2f"),
            str(one.num_images),
            one.reason,
        )
        for one in comparisons
    ]
    return text + "\n\n" + columns([head, *lines])


def to_csv(rows: Sequence[Row] | Sequence[Point]) -> str:
    """Rows or points as CSV in full precision under a header line; a cell is empty where there is no number."""
    records = [asdict(row) for row in rows]
    buffer = io.StringIO()
    if records:
        writer = csv.DictWriter(buffer, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return buffer.getvalue()


def to_json(rows: Sequence[Row], points: Sequence[Point], comparisons: Sequence[Comparison] = ()) -> str:
    """All of it as one JSON object with the keys "rows", "points" and "comparisons".

    Infinite qualities (a lossless rung) become null, as JSON has no infinity.
    """
    document = {
        "rows": [_finite(asdict(row)) for row in rows],
        "points": [_finite(asdict(point)) for point in points],
        "comparisons": [_finite(asdict(one)) for one in comparisons],
    }
    return json.dumps(document, indent=1, allow_nan=False)


def plot(points: Sequence[Point], path: str | os.PathLike[str], *, quality: str = "psnr", title: str = "") -> None:
    """Draw the mean curves, quality over rate, one line a codec.

    Parameters
    ----------
    points : sequence of Point
    path : path
        .png, .svg or .pdf; written whole or not at all.
    quality : {"psnr", "ms_ssim_db"}
        Points without a finite value of it are left out.
    title : str

    Raises
    ------
    ValueError
        No point can be drawn, or `quality` or the suffix is none of these.
    ImportError
        matplotlib is missing; the message names the extras that bring it.
    """
    form = Path(path).suffix.lower().removeprefix(".")
    if quality not in _QUALITIES or form not in ("png", "svg", "pdf"):
        raise ValueError(f"cannot plot {quality!r} to {os.fspath(path)}: psnr or ms_ssim_db, to .png, .svg or .pdf")
    curves: dict[str, list[tuple[float, float]]] = {}
    for point in points:
        value = point.psnr if quality == "psnr" else point.ms_ssim_db
        if value is not None and math.isfinite(value):
            curves.setdefault(point.label, []).append((point.bpp, value))
    if not curves:
        raise ValueError(f"no point has a finite {quality}")
    figure = figures.blank(7, 5)
    axes = figure.add_subplot(xlabel="rate (bits per pixel)", ylabel=_QUALITIES[quality], title=title)
    for label, curve in curves.items():
        axes.plot(*zip(*sorted(curve), strict=True), marker="o", markersize=3, linewidth=1.2, label=label)
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figures.save(figure, path)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
