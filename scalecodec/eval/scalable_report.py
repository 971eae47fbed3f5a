"""An evaluation of layers as text and as a plot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from scalecodec import figures
from scalecodec.text import columns

from .scalable import UNCOMPRESSED, Row, saving


@dataclass(frozen=True)
class Saving:
    """Mean rate of a codec's layers over an anchor's at equal accuracy; ``anchor_layers`` 0: it has none.

    ``percent`` is negative for a saving, and None where the curves have no range of accuracy, ``low`` to ``high``, in
    common.
    """

    codec: str
    layers: int
    anchor: str
    anchor_layers: int
    percent: float | None
    low: float | None
    high: float | None


def savings(rows: Sequence[Row]) -> list[Saving]:
    """Of each codec's layers, against each codec without layers, and as many layers of each codec listed after it."""
    kinds = list(dict.fromkeys((row.codec, row.layers) for row in rows if row.codec != UNCOMPRESSED))
    found = []
    for place, (codec, layers) in enumerate(kinds):
        if not layers:
            continue
        anchors = [kind for kind in kinds if not kind[1]] + [kind for kind in kinds[place + 1 :] if kind[1] == layers]
        for anchor in anchors:
            try:
                delta = saving(rows, codec, layers, *anchor)
            except ValueError:  # no accuracy that both reach, or one setting that beats all others
                found.append(Saving(codec, layers, *anchor, None, None, None))
            else:
                found.append(Saving(codec, layers, *anchor, delta.value, delta.low, delta.high))
    return found


def table(rows: Sequence[Row], found: Sequence[Saving]) -> str:
    """For a terminal, without a newline at the end; accuracies in percent."""
    head = ("codec", "setting", "layers", "bits/pixel", f"{rows[0].metric} %", "PSNR dB")
    lines = [
        (
            row.codec,
            f"{row.setting:g}",
            str(row.layers or "-"),
            f"{row.bits_per_pixel:.4f}",
            f"{100 * row.accuracy:.2f}",
            "-" if row.psnr_db is None else f"{row.psnr_db:.2f}",
        )
        for row in rows
    ]
    text = columns([head, *lines])
    for one in found:
        told = "too little accuracy in common"
        rate = told if one.percent is None else f"{one.percent:+.1f} % rate at equal accuracy"
        span = "" if one.low is None or one.high is None else f" ({100 * one.low:.1f} to {100 * one.high:.1f} %)"
        anchor = f"{one.anchor}, {one.anchor_layers} layers" if one.anchor_layers else one.anchor
        text += f"\n{one.codec}, {one.layers} layers, against {anchor}: {rate}{span}"
    return text


def plot(rows: Sequence[Row], path: str | os.PathLike[str]) -> None:
    """Accuracy, and PSNR, over bits a pixel on a log scale, a line for each codec and number of layers."""
    figure = figures.blank(11, 4)
    kinds = dict.fromkeys((row.codec, row.layers) for row in rows if row.codec != UNCOMPRESSED)
    for place, (name, value) in enumerate(
        ((rows[0].metric + " (%)", lambda row: 100 * row.accuracy), ("PSNR (dB)", lambda row: row.psnr_db)), 1
    ):
        axes = figure.add_subplot(1, 2, place, xlabel="bits per pixel", ylabel=name, xscale="log")
        for color, (codec, layers) in enumerate(kinds):
            here = [row for row in rows if (row.codec, row.layers) == (codec, layers)]
            curve = sorted((row.bits_per_pixel, value(row)) for row in here if value(row) is not None)
            label = codec if not layers else f"{codec}, {layers} layers"
            if curve:
                axes.plot(*zip(*curve, strict=True), color=f"C{color}", marker="o", markersize=3, label=label)
        axes.grid(visible=True, alpha=0.3)
        if place == 1:
            axes.axhline(100 * rows[0].accuracy, color="0.4", linewidth=0.8, linestyle="--", label=UNCOMPRESSED)
            axes.legend(fontsize=8)
    figures.save(figure, path)
