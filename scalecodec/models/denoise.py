"""System 5: the clean picture from the base, the noisy one from all (Ranjbar Alvar, Ulhaq, Choi and Bajic 2022,
arXiv:2205.01874); one model for all noise levels, and all rates.

The paper cuts one latent in two (``shared``). White noise, though, has as much in it as there are samples, 768 for each
position of that latent: M2 channels of it hold M2 / 768 of the noise's energy at most. So the enhancement's latents lie
on a grid finer by 4 unless told otherwise: what the clean picture lacks, under an orthonormal transform to begin with.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from scalecodec.layers import analysis, synthesis
from scalecodec.tiles import HALO

from .finer_coder import FinerCoder
from .layered import LayeredModel, mean_square
from .mean_scale_coder import MeanScaleCoder

MAX_DEVIATION = 55 / 255  # of the noise in training, uniform from 0
# Of the distortion. With 0.05 noise of 25 levels would not be worth its bits below gain 1: 0.05 lambda 255^2 sigma^2.
_NOISY_SHARE = 0.25
_BLOCK = 4
_UNIT_STEP = 20 / 255  # of the noise at gain 1, before training


class DenoisingModel(LayeredModel):
    """Base: without noise. Enhancement: as it came.

    ``layer1``, unless ``shared``: channels of the finer latent, which count 16 times on the common grid. Other
    parameters as of :class:`LayeredModel`.
    """

    def __init__(
        self, channels: int = 96, layer0: int = 128, layer1: int = 48, shared: bool = False, **parts: Any
    ) -> None:
        self.block = 1 if shared else _BLOCK
        self.analysis_halo = HALO if shared else 2 * HALO  # what the base lacks is seen through its synthesis
        super().__init__(channels, layer0, layer1 * self.block**2, shared=shared, **parts)

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        base, enhancement = layers
        self.g_clean = synthesis(n, base)
        if self.shared:
            self.g_a, self.g_s = analysis(n, base + enhancement), synthesis(n, base + enhancement)
            return
        self.g_a = analysis(n, base)
        finer = enhancement // _BLOCK**2
        self.noise_analysis = nn.Conv2d(3, finer, _BLOCK, _BLOCK, bias=False)
        self.noise_synthesis = nn.ConvTranspose2d(finer, 3, _BLOCK, _BLOCK, bias=False)
        nn.init.orthogonal_(self.noise_analysis.weight, 1 / _UNIT_STEP)
        with torch.no_grad():
            self.noise_synthesis.weight.copy_(self.noise_analysis.weight * _UNIT_STEP**2)

    def _make_coder(self, number: int, n: int, m: int, *parts: bool) -> MeanScaleCoder:
        if self.shared or number == 0:
            return super()._make_coder(number, n, m, *parts)
        return FinerCoder(_BLOCK, -(-n // _BLOCK), m // _BLOCK**2, *parts)

    def config(self) -> dict[str, int]:
        return super().config() | {"layer1": self.layer_channels[1] // self.block**2}

    def seen(self, x: Tensor) -> Tensor:
        """With noise, of a deviation of its own for each item."""
        deviation = MAX_DEVIATION * torch.rand(len(x), 1, 1, 1, device=x.device)
        return x + deviation * torch.randn_like(x)

    def analyse(self, x: Tensor) -> Tensor:
        y = self.g_a(x)
        if self.shared:
            return y
        with torch.no_grad():  # what the base lacks is not for the base to learn from
            clean = self.g_clean(y)
        return torch.cat((y, pixel_unshuffle(self.noise_analysis(x - clean), _BLOCK)), 1)

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        clean = self.reconstruct(y_hat, 1)
        found = self.g_s(y_hat) if self.shared else clean.detach() + self._noise(y_hat)
        apart, noisy = mean_square(clean, x), mean_square(found, seen)
        return (1 - _NOISY_SHARE) * apart + _NOISY_SHARE * noisy, apart

    def reconstruct(self, y_hat: Tensor, num_layers: int) -> Tensor:
        if self.shared and num_layers == 2:
            return self.g_s(y_hat)
        clean: Tensor = self.g_clean(y_hat[:, : self.layer_channels[0]])
        return clean if num_layers == 1 else clean + self._noise(y_hat)

    def _noise(self, y_hat: Tensor) -> Tensor:
        found: Tensor = self.noise_synthesis(pixel_shuffle(y_hat[:, self.layer_channels[0] :], _BLOCK))
        return found
