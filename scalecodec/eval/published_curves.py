"""Curves of the full-size models (N = 192, M = 320) that ours are small forms of, as CompressAI measured them on Kodak:
real files, means of 24 pictures. Facts from its repository, commit 92d3a6b, results/image/kodak/<name>-ans.json.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .rate_distortion import Point

RATES = (0.14, 0.5, 1.0)  # bits per pixel
_NAMES = {
    "vbr-scale": "bmshj2018-hyperprior-vbr",
    "vbr-mean": "mbt2018-mean-vbr",
    "vbr-autoregressive": "mbt2018-vbr",
}
# Bits per pixel and PSNR (RGB, dB), at steps from 10 down to 1.
_CURVES = {
    "vbr-scale": (
        *((0.1382, 27.41), (0.1970, 28.75), (0.2456, 29.68), (0.2927, 30.45)),
        *((0.3663, 31.49), (0.4205, 32.17), (0.5051, 33.14), (0.5901, 34.00)),
        *((0.6966, 34.98), (0.7998, 35.84), (0.9226, 36.76), (1.0546, 37.63)),
        *((1.2127, 38.57), (1.3544, 39.32), (1.5368, 40.15), (1.7010, 40.81)),
    ),
    "vbr-mean": (
        *((0.1360, 27.76), (0.1960, 29.08), (0.2451, 29.97), (0.2926, 30.73)),
        *((0.3662, 31.76), (0.4202, 32.43), (0.5048, 33.38), (0.5887, 34.23)),
        *((0.6938, 35.18), (0.7955, 36.01), (0.9166, 36.91), (1.0466, 37.78)),
        *((1.2027, 38.70), (1.3418, 39.43), (1.5200, 40.25), (1.6811, 40.90)),
    ),
    "vbr-autoregressive": (
        *((0.1310, 27.63), (0.1893, 28.99), (0.2375, 29.90), (0.2845, 30.67)),
        *((0.3568, 31.71), (0.4098, 32.39), (0.4922, 33.35), (0.5740, 34.21)),
        *((0.6763, 35.17), (0.7746, 36.00), (0.8919, 36.90), (1.0169, 37.75)),
        *((1.1666, 38.65), (1.3011, 39.35), (1.4736, 40.15), (1.6295, 40.76)),
    ),
}


def published_curve(name: str) -> list[Point]:
    """The curve of the full-size model of this kind (a name that ``models.create`` knows), lowest rate first.

    Settings are not known and NaN, as are times; KeyError where there is no such curve.
    """
    nan = float("nan")
    label = f"{_NAMES[name]}, published"
    return [Point(label, nan, 24, bpp, psnr, None, None, nan, nan) for bpp, psnr in _CURVES[name]]


def distances(points: Sequence[Point], theirs: Sequence[Point], rates: Sequence[float] = RATES) -> dict[float, float]:
    """How many dB of PSNR the one curve lies above the other at each rate that both have points on either side of;
    straight between points over the logarithm of the rate.
    """
    ours, others = (sorted((point.bpp, point.psnr) for point in curve) for curve in (points, theirs))
    low, high = max(ours[0][0], others[0][0]), min(ours[-1][0], others[-1][0])
    return {rate: _at(ours, rate) - _at(others, rate) for rate in rates if low <= rate <= high}


def _at(curve: Sequence[tuple[float, float]], rate: float) -> float:
    rates, qualities = zip(*curve, strict=True)
    return float(np.interp(np.log(rate), np.log(rates), qualities))
