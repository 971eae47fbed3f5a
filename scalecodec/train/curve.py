"""The estimated rate-distortion curve of one model over whole pictures, and its plot."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from ..gains import GAIN_TABLE
from ..image import read
from ..models import CompressionModel
from .data import image_paths
from .losses import psnr_of

_GAIN_INDEXES = range(0, 256, 32)
_MAX_PICTURES = 24


@torch.no_grad()
def rd_curve(model: CompressionModel, folder: str | os.PathLike[str]) -> list[dict[str, float]]:
    """Mean estimated rate and PSNR at eight gains, over the first 24 pictures of a folder.

    Returns
    -------
    list of dict
        ``gain``, ``bpp`` (from likelihoods, bits per pixel) and ``psnr_db`` (mean of the pictures' PSNR, RGB).
    """
    points = []
    pictures = [_padded(path, model.downsampling_factor) for path in image_paths(folder)[:_MAX_PICTURES]]
    for gain in (GAIN_TABLE[index] for index in _GAIN_INDEXES):
        rates, qualities = [], []
        for x, (height, width) in pictures:
            output = model(x, gain)
            bits = sum(float(-p.log2().sum()) for p in output["likelihoods"].values())
            error = (output["x_hat"].clamp(0, 1) - x)[:, :, :height, :width].square().mean()
            rates.append(bits / (height * width))
            qualities.append(psnr_of(float(error)))
        points.append({"gain": gain, "bpp": float(np.mean(rates)), "psnr_db": float(np.mean(qualities))})
    return points


def _padded(path: Path, multiple: int) -> tuple[torch.Tensor, tuple[int, int]]:
    samples = read(path).samples
    x = torch.from_numpy(samples.astype(np.float32) / np.iinfo(samples.dtype).max).permute(2, 0, 1)[None, :3]
    height, width = x.shape[2:]
    return F.pad(x.expand(-1, 3, -1, -1), (0, -width % multiple, 0, -height % multiple), mode="replicate"), (height, width)


def draw_curve(points: Sequence[dict[str, float]], path: str | os.PathLike[str]) -> None:
    """Draw the points of :func:`rd_curve` as a PNG; ImportError names the extra where matplotlib is missing."""
    from ..eval import report
    from ..eval.rate_distortion import Point

    report.plot(
        [
            Point("estimated", point["gain"], 1, point["bpp"], point["psnr_db"], None, None, 0.0, 0.0)
            for point in points
        ],
        path,
    )
