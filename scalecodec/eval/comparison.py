"""Bjontegaard deltas of one codec against the others of an evaluation.

Surprise first: a mean curve depends on how a codec spreads bits over the pictures, not only on how well it codes
each. So a comparison also holds the mean of the per-picture deltas, which does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scalecodec import metrics

from .rate_distortion import Point, Row, mean_curve


@dataclass(frozen=True)
class Comparison:
    """Rate of `label` against `anchor` at equal quality, in percent; negative saves.

    Attributes
    ----------
    quality : str
        "psnr" or "ms_ssim_db".
    of_means : BjontegaardDelta or None
        Of the two mean curves, with the range of quality in common; None where there is no such number.
    of_images : float or None
        Mean of the deltas of the single pictures, over the `num_images` that have one.
    num_images : int
    reason : str
        Why `of_means` is None, else empty.
    """

    label: str
    anchor: str
    quality: str
    of_means: metrics.BjontegaardDelta | None
    of_images: float | None
    num_images: int
    reason: str = ""


def compare(rows: Sequence[Row], label: str, *, quality: str = "psnr", method: str = "pchip") -> list[Comparison]:
    """Bjontegaard rate of one codec against every other one in `rows`.

    Parameters
    ----------
    rows : sequence of Row
    label : str
        The codec to judge; all others are anchors.
    quality : {"psnr", "ms_ssim_db"}
    method : str
        As for `metrics.bd_rate`.

    Raises
    ------
    ValueError
        `label` has no rows, or `quality` is neither.
    """
    if quality not in ("psnr", "ms_ssim_db"):
        raise ValueError(f"quality must be 'psnr' or 'ms_ssim_db', got {quality!r}")
    labels = list(dict.fromkeys(row.label for row in rows))
    if label not in labels:
        raise ValueError(f"no rows of {label!r}: there are {', '.join(labels)}")
    return [_compare_one(rows, label, anchor, quality, method) for anchor in labels if anchor != label]


def _delta(rows: Sequence[Row], label: str, anchor: str, quality: str, method: str) -> metrics.BjontegaardDelta:
    points = mean_curve(rows)
    anchor_rate, anchor_quality = _curve(points, anchor, quality)
    rate, own_quality = _curve(points, label, quality)
    return metrics.bd_rate(anchor_rate, anchor_quality, rate, own_quality, method)


def _curve(points: Sequence[Point], label: str, quality: str) -> tuple[list[float], list[float]]:
    curve = [point for point in points if point.label == label]
    values = [point.psnr if quality == "psnr" else point.ms_ssim_db for point in curve]
    known = [value for value in values if value is not None]
    if len(known) < len(values):
        raise ValueError(f"{label}: MS-SSIM was not measured on every picture")
    return [point.bpp for point in curve], known


def _compare_one(rows: Sequence[Row], label: str, anchor: str, quality: str, method: str) -> Comparison:
    deltas = []
    for name in dict.fromkeys(row.image for row in rows):
        try:
            deltas.append(_delta([row for row in rows if row.image == name], label, anchor, quality, method).value)
        except ValueError:  # this picture has no such number; `num_images` says how many have
            continue
    of_images = math.fsum(deltas) / len(deltas) if deltas else None
    try:
        of_means = _delta(rows, label, anchor, quality, method)
    except ValueError as error:
        return Comparison(label, anchor, quality, None, of_images, len(deltas), str(error))
    return Comparison(label, anchor, quality, of_means, of_images, len(deltas))
