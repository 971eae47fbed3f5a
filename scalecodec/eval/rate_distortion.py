"""Run ladders over pictures: real bytes, PSNR, MS-SSIM and times for each picture and setting, and the mean curves."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np

from scalecodec import image, metrics

from .ladder import Rung, Samples

_SUFFIXES = frozenset((".png", ".jpg", ".jpeg", ".webp", ".avif", ".jp2", ".tif", ".tiff", ".bmp", ".ppm"))
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Row:
    """One picture at one rung. `ms_ssim` is None where it was not asked for, or the picture is under 161 a side."""

    label: str
    setting: float
    image: str
    width: int
    height: int
    num_bytes: int
    bpp: float
    psnr: float
    ms_ssim: float | None
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Point:
    """The mean over the pictures at one rung. `ms_ssim_db` is that of the mean MS-SSIM, as the field draws it."""

    label: str
    setting: float
    num_images: int
    bpp: float
    psnr: float
    ms_ssim: float | None
    ms_ssim_db: float | None
    encode_seconds: float
    decode_seconds: float


def find_images(folder: str | os.PathLike[str]) -> list[Path]:
    """The pictures right in a folder, by suffix, in order of name; ValueError where there is none."""
    found = sorted(path for path in Path(folder).iterdir() if path.suffix.lower() in _SUFFIXES)
    if not found:
        raise ValueError(f"{os.fspath(folder)}: no picture in this folder")
    return found


def measure(
    images: Iterable[str | os.PathLike[str]],
    rungs: Sequence[Rung],
    *,
    ms_ssim: bool = True,
    progress: Progress | None = None,
) -> list[Row]:
    """Encode and decode every picture at every rung, one at a time.

    Parameters
    ----------
    images : iterable of path
        8-bit RGB; grey is taken as RGB of three equal channels. `find_images` lists a folder.
    rungs : sequence of Rung
        Those of several codecs may stand in one list. Each codec runs once untimed before its first row.
    ms_ssim : bool
        Needs `pytorch-msssim`, and about half a second a row for a picture of 768x512.
    progress : callable, optional
        Called as ``progress(done, total, label)`` after each row.

    Returns
    -------
    list of Row
        Picture by picture, in the order of `rungs`.

    Raises
    ------
    ValueError
        Nothing to do, two pictures have one name, a picture has alpha or 16 bits, or what a codec decodes is not of
        the picture's shape and type.
    BitstreamError
        A picture cannot be read.
    """
    paths = [Path(path) for path in images]
    if not paths or not rungs:
        raise ValueError("an evaluation needs at least one picture and one rung")
    if len({path.name for path in paths}) < len(paths):
        raise ValueError("two pictures have one name: their rows could not be told apart")
    rows: list[Row] = []
    warm: set[str] = set()
    for path in paths:
        samples = read_rgb(path)
        for rung in rungs:
            if rung.label not in warm:
                rung.decode(rung.encode(samples))
                warm.add(rung.label)
            rows.append(_measure_one(path.name, samples, rung, ms_ssim))
            if progress is not None:
                progress(len(rows), len(paths) * len(rungs), f"{rung.label} {rung.setting:g} {path.name}")
    return rows


def mean_curve(rows: Iterable[Row]) -> list[Point]:
    """Mean over the pictures for each codec and setting, in the order of first appearance.

    Rates and qualities are plain means over pictures. MS-SSIM is None where one picture has none.
    """
    groups: dict[tuple[str, float], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.label, row.setting), []).append(row)
    return [_mean(group) for group in groups.values()]


def read_rgb(path: Path) -> Samples:
    """A picture as uint8 [H, W, 3], grey in all three; ValueError where it has alpha or 16 bits."""
    samples = image.read(path).samples
    if samples.dtype != np.uint8 or samples.shape[2] not in (1, 3):
        raise ValueError(
            f"{path}: an evaluation takes 8-bit RGB or grey, not {samples.dtype} of {samples.shape[2]} channels"
        )
    return samples if samples.shape[2] == 3 else np.repeat(samples, 3, axis=2)


def _measure_one(name: str, samples: Samples, rung: Rung, ms_ssim: bool) -> Row:
    start = perf_counter()
    data = rung.encode(samples)
    encoded = perf_counter()
    decoded = rung.decode(data)
    end = perf_counter()
    if decoded.shape != samples.shape or decoded.dtype != samples.dtype:
        raise ValueError(
            f"{rung.label} made {decoded.dtype} {decoded.shape} of {samples.dtype} {samples.shape} of {name}"
        )
    height, width = samples.shape[:2]
    similarity = None
    if ms_ssim and min(height, width) >= metrics.MS_SSIM_MIN_SIDE:
        similarity = metrics.ms_ssim(samples, decoded)
    return Row(
        label=rung.label,
        setting=rung.setting,
        image=name,
        width=width,
        height=height,
        num_bytes=len(data),
        bpp=8 * len(data) / (width * height),
        psnr=metrics.psnr(samples, decoded),
        ms_ssim=similarity,
        encode_seconds=encoded - start,
        decode_seconds=end - encoded,
    )


def _mean(group: Sequence[Row]) -> Point:
    similarities = [row.ms_ssim for row in group if row.ms_ssim is not None]
    similarity = math.fsum(similarities) / len(group) if len(similarities) == len(group) else None

    def mean(values: Iterable[float]) -> float:
        return math.fsum(values) / len(group)

    return Point(
        label=group[0].label,
        setting=group[0].setting,
        num_images=len(group),
        bpp=mean(row.bpp for row in group),
        psnr=mean(row.psnr for row in group),
        ms_ssim=similarity,
        ms_ssim_db=None if similarity is None else metrics.ms_ssim_db(similarity),
        encode_seconds=mean(row.encode_seconds for row in group),
        decode_seconds=mean(row.decode_seconds for row in group),
    )
