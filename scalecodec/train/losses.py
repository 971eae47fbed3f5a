"""The rate-distortion loss over a batch of mixed rates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .config import LAMBDA_MAX


@dataclass(frozen=True)
class RateDistortion:
    """Loss of one batch and its parts; every field a tensor without batch dimension.

    ``loss`` unitless, ``bpp`` bits per pixel, ``mse`` on [0, 1] samples.
    """

    loss: Tensor
    bpp: Tensor
    mse: Tensor


def rate_distortion(output: dict[str, Any], x: Tensor, gain: Tensor, lambda_max: float = LAMBDA_MAX) -> RateDistortion:
    """Mean over items of ``(bpp + lambda * 255^2 * mse) / gain``, ``lambda = lambda_max * gain^2``.

    ``lambda ~ gain^2`` is the high-rate relation ``step^2 ~ 1 / lambda`` (arXiv:2402.18930; gains g_i = sqrt(lambda_i /
    lambda_max)). Without the division by the gain the high rates would own the gradient: bpp and distortion term both
    grow about as the gain does, so dividing weighs relative savings of rate alike at every level, as BD-rate does.

    Parameters
    ----------
    output : what a model's ``forward`` returned, with ``distortion`` and ``mse``, [B] each, where it weighs several
        pictures
    x : float [B, 3, H, W] in [0, 1]
    gain : float [B]
    """
    pixels = x.shape[-2] * x.shape[-1]
    bits = torch.stack([-p.log2().flatten(1).sum(1) for p in output["likelihoods"].values()]).sum(0)  # [B]
    bpp = bits / pixels
    mse = output["mse"] if "mse" in output else (output["x_hat"].float() - x).square().flatten(1).mean(1)  # [B]
    distortion = output.get("distortion", mse)
    lagrangian = lambda_max * gain**2
    loss = ((bpp + lagrangian * 255**2 * distortion) / gain).mean()
    return RateDistortion(loss, bpp.mean(), mse.mean())


def psnr_of(mse: float) -> float:
    """PSNR in dB of an MSE on [0, 1] samples."""
    return -10 * math.log10(max(mse, 1e-12))
