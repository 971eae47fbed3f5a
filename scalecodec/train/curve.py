"""The estimated rate-distortion curve of one model over whole pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from scalecodec.gains import GAIN_TABLE
from scalecodec.models import CompressionModel

from .data import image_paths, read_rgb
from .losses import psnr_of

_GAIN_INDEXES = range(0, 256, 32)
_MAX_PICTURES = 24


@torch.no_grad()
def rd_curve(model: CompressionModel, folder: str | Path) -> list[dict[str, float]]:
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
    """A picture as float [1, 3, H, W], extended to the model's multiple, and its own height and width."""
    x = torch.from_numpy(read_rgb(path).astype(np.float32) / 255).permute(2, 0, 1)[None]
    height, width = x.shape[2:]
    fill = (0, -width % multiple, 0, -height % multiple)
    return F.pad(x, fill, mode="replicate"), (height, width)
