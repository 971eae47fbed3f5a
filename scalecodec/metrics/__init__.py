"""Quality and rate measures: PSNR and MS-SSIM of a picture, Bjontegaard deltas of two curves."""

from __future__ import annotations

from .bd_rate import METHODS, BjontegaardDelta, bd_psnr, bd_rate, improving
from .distortion import MS_SSIM_MIN_SIDE, ms_ssim, ms_ssim_db, psnr

__all__ = [
    "METHODS",
    "MS_SSIM_MIN_SIDE",
    "BjontegaardDelta",
    "bd_psnr",
    "bd_rate",
    "improving",
    "ms_ssim",
    "ms_ssim_db",
    "psnr",
]
