"""Rate-distortion evaluation: ladders of settings over a folder of pictures, beside JPEG, WebP, JPEG 2000 and AVIF."""

from __future__ import annotations

from . import anchors, report, variants
from .comparison import Comparison, compare
from .ladder import Rung, scalecodec_ladder
from .published_curves import distances, published_curve
from .rate_distortion import Point, Row, find_images, mean_curve, measure

__all__ = [
    "Comparison",
    "Point",
    "Row",
    "Rung",
    "anchors",
    "compare",
    "distances",
    "find_images",
    "mean_curve",
    "measure",
    "published_curve",
    "report",
    "scalecodec_ladder",
    "variants",
]
