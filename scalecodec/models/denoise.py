"""System 5: the clean picture from the base, the noisy one from all (Ranjbar Alvar, Ulhaq, Choi and Bajic 2022,
arXiv:2205.01874). One hyperprior for both layers, a synthesis for each; one model for all noise levels, and all rates.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scalecodec.layers import analysis, synthesis

from .layered import LayeredModel, mean_square

MAX_DEVIATION = 55 / 255  # of the noise in training, uniform from 0
# Of the distortion. With 0.05 noise of 25 levels would not be worth its bits below gain 1: 0.05 lambda 255^2 sigma^2.
NOISY_SHARE = 0.25


class DenoisingModel(LayeredModel):
    """Base: without noise. Enhancement: as it came."""

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        self.g_a, self.g_s = analysis(n, sum(layers)), synthesis(n, sum(layers))
        self.g_clean = synthesis(n, layers[0])

    def seen(self, x: Tensor) -> Tensor:
        """With noise, of a deviation of its own for each item."""
        deviation = MAX_DEVIATION * torch.rand(len(x), 1, 1, 1, device=x.device)
        return x + deviation * torch.randn_like(x)

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        clean, noisy = (mean_square(self.reconstruct(y_hat, count), wanted) for count, wanted in ((1, x), (2, seen)))
        return (1 - NOISY_SHARE) * clean + NOISY_SHARE * noisy, clean

    def reconstruct(self, y_hat: Tensor, num_layers: int) -> Tensor:
        return self.g_clean(y_hat[:, : self.layer_channels[0]]) if num_layers == 1 else self.g_s(y_hat)
