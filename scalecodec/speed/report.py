"""Speeds as text, JSON and a bar chart."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict

from scalecodec import figures
from scalecodec.text import columns

from .measure import Result, Row


def table(result: Result) -> str:
    """One block of lines a set of latents, then one for the thread counts, for a terminal.

    Returns
    -------
    str
        Lines without a newline at the end.
    """
    first = result.rows[0]
    blocks = [
        f"{first.symbols:,} symbols, a table each of 64 Gaussians; nanoseconds a symbol, one thread (processor time)",
        *(_block(rows, rows[0].latents) for rows in _by_latents(result.rows)),
    ]
    if any(row.encode_ratio is not None for row in result.rows):
        blocks.append("x: times as fast as the best rival that uses a table a symbol, as ours do.")
    if result.thread_rows:
        several = max(row.threads for row in result.thread_rows)
        blocks += [
            f"{result.thread_rows[0].symbols:,} symbols, one thread and {several}; nanoseconds a symbol (wall clock)",
            _thread_block(result.thread_rows, several),
        ]
        if result.load > 0.5:
            blocks.append(
                f"Load average {result.load:.1f} before: what else was running may have held the threads back."
            )
    if result.missing:
        blocks.append("\n".join(result.missing))
    return "\n\n".join(blocks)


def to_json(result: Result) -> str:
    """All of it as one JSON object with the keys "machine", "load", "rows", "thread_rows" and "missing"."""
    return json.dumps(asdict(result), indent=1, allow_nan=False)


def plot(result: Result, path: str | os.PathLike[str]) -> None:
    """Draw the coders with one thread as bars, a panel a set of latents, and write the picture.

    Raises
    ------
    ImportError
        matplotlib is missing.
    """
    panels = _by_latents(result.rows)
    figure = figures.blank(4 * len(panels) + 2, 1.5 + 0.45 * len(panels[0]))
    axes = figure.subplots(1, len(panels), sharex=True, sharey=True, squeeze=False)[0]
    for panel, rows in zip(axes, panels, strict=True):
        for shift, name in ((-0.2, "encode"), (0.2, "decode")):
            times = [getattr(row, f"{name}_ns") for row in rows]
            bars = panel.barh([i + shift for i in range(len(rows))], times, 0.4, label=name)
            panel.bar_label(bars, [f"{time:.3g}" for time in times], padding=2, fontsize=7)
        panel.set(xscale="log", title=f"{rows[0].latents}: {_bits(rows[0]):.2f} bit a symbol")
        panel.set_yticks(range(len(rows)), [row.label for row in rows])
        panel.xaxis.set_major_formatter("{x:g}")
        panel.margins(x=0.15)
        panel.grid(visible=True, axis="x", alpha=0.3)
    axes[0].invert_yaxis()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, fontsize=8)
    figure.supxlabel(f"nanoseconds a symbol, one thread, {result.rows[0].symbols:,} symbols (logarithmic)", fontsize=9)
    figure.suptitle(str(result.machine["processor"]), fontsize=9)
    figures.save(figure, path)


def _by_latents(rows: Sequence[Row]) -> list[list[Row]]:
    names = dict.fromkeys(row.latents for row in rows)
    return [[row for row in rows if row.latents == name] for name in names]


def _bits(row: Row) -> float:
    return 8 * row.bytes / row.symbols


def _block(rows: Sequence[Row], name: str) -> str:
    head = (name, "encode", "x", "decode", "x", "bytes", "bit a symbol")
    lines = [
        (
            row.label,
            f"{row.encode_ns:.2f}",
            _ratio(row.encode_ratio),
            f"{row.decode_ns:.2f}",
            _ratio(row.decode_ratio),
            f"{row.bytes:.0f}",
            f"{_bits(row):.4f}",
        )
        for row in rows
    ]
    return columns([head, *lines])


def _thread_block(rows: Sequence[Row], several: int) -> str:
    head = ("", "latents", "encode, 1", f"encode, {several}", "x", "decode, 1", f"decode, {several}", "x")
    pairs = zip(rows[::2], rows[1::2], strict=True)
    lines = [
        (
            one.label,
            one.latents,
            f"{one.encode_ns:.2f}",
            f"{all_.encode_ns:.2f}",
            _ratio(all_.encode_ratio),
            f"{one.decode_ns:.2f}",
            f"{all_.decode_ns:.2f}",
            _ratio(all_.decode_ratio),
        )
        for one, all_ in pairs
    ]
    return columns([head, *lines])


def _ratio(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
