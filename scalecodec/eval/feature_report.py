"""An evaluation of feature codecs as text, CSV, JSON and a plot."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from scalecodec import figures
from scalecodec.text import columns

from .feature_accuracy import Row
from .feature_codecs import NONE
from .feature_summary import Reach


def table(rows: Sequence[Row]) -> str:
    """All rows in columns for a terminal, without a newline at the end; accuracies in percent."""
    has_ap50 = any(row.ap50 is not None for row in rows)
    metric = f"{rows[0].metric} %" if rows else "%"
    head = ("split", "codec", "setting", "bits/element", metric, *(["AP50 %"] * has_ap50), "encode ms", "decode ms")
    lines = [
        (
            row.split,
            row.codec,
            f"{row.setting:g}",
            f"{row.bits_per_element:.4f}",
            f"{100 * row.accuracy:.2f}",
            *(["-" if row.ap50 is None else f"{100 * row.ap50:.2f}"] * has_ap50),
            f"{row.encode_ms:.2f}",
            f"{row.decode_ms:.2f}",
        )
        for row in rows
    ]
    return columns([head, *lines])


def summary_table(reaches: Sequence[Reach]) -> str:
    """Codecs by splits: the least bits an element within the margin of uncompressed accuracy.

    A dash stands where no setting stays within it, "<=" before the cheapest setting's bits where that already does.
    """
    splits = list(dict.fromkeys(one.split for one in reaches))
    cells = {(one.codec, one.split): _cell(one) for one in reaches}
    lines = [
        (codec, *(cells.get((codec, split), "-") for split in splits))
        for codec in dict.fromkeys(one.codec for one in reaches)
    ]
    text = columns([("least bits/element", *splits), *lines])
    if reaches:
        one = reaches[0]
        points = 100 * (one.uncompressed - one.target)
        text += (
            f"\n({one.metric} within {points:g} point of uncompressed; linear between settings that beat cheaper ones)"
        )
    return text


def to_csv(records: Sequence[Row] | Sequence[Reach]) -> str:
    """In full precision under a header line; a cell is empty where there is no number."""
    buffer = io.StringIO()
    lines = [asdict(one) for one in records]
    if lines:
        writer = csv.DictWriter(buffer, list(lines[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(lines)
    return buffer.getvalue()


def to_json(rows: Sequence[Row], reaches: Sequence[Reach]) -> str:
    """One JSON object with the keys "rows" and "summary"."""
    document = {"rows": [asdict(row) for row in rows], "summary": [asdict(one) for one in reaches]}
    return json.dumps(document, indent=1, allow_nan=False)


def plot(rows: Sequence[Row], path: str | os.PathLike[str], *, title: str = "") -> None:
    """Accuracy over bits an element on a log scale, a panel a split, a line a codec, uncompressed as a dashed one.

    Parameters
    ----------
    rows : sequence of Row
    path : path
        .png, .svg or .pdf; written whole or not at all.
    title : str

    Raises
    ------
    ValueError
        There are no rows but of "none", or the suffix is none of these.
    ImportError
        matplotlib is missing; the message names the extras that bring it.
    """
    form = Path(path).suffix.lower().removeprefix(".")
    if form not in ("png", "svg", "pdf"):
        raise ValueError(f"cannot plot to {os.fspath(path)}: .png, .svg or .pdf")
    if all(row.codec == NONE for row in rows):
        raise ValueError("there is no codec to plot")
    splits = list(dict.fromkeys(row.split for row in rows))
    labels = list(dict.fromkeys(row.codec for row in rows if row.codec != NONE))
    wide = min(2, len(splits))
    high = -(-len(splits) // wide)
    figure = figures.blank(5.5 * wide, 4 * high)
    figure.suptitle(title)
    for place, split in enumerate(splits, 1):
        axes = figure.add_subplot(high, wide, place, title=split, xlabel="bits per element", xscale="log")
        axes.set_ylabel(f"{rows[0].metric} (%)")
        for color, label in enumerate(labels):
            here = [row for row in rows if row.split == split and row.codec == label]
            curve = sorted((row.bits_per_element, 100 * row.accuracy) for row in here)
            if curve:
                axes.plot(
                    *zip(*curve, strict=True), color=f"C{color}", marker="o", markersize=3, linewidth=1.2, label=label
                )
        for row in rows:
            if row.split == split and row.codec == NONE:
                axes.axhline(100 * row.accuracy, color="0.4", linewidth=0.8, linestyle="--", label="uncompressed")
        axes.grid(visible=True, alpha=0.3)
        if place == 1:
            axes.legend(fontsize=8)
    figures.save(figure, path)


def _cell(one: Reach) -> str:
    if one.bits_per_element is None:
        return "-"
    return f"{'<= ' if one.is_bound else ''}{one.bits_per_element:.3f}"
