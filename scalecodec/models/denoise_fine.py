"""System 5 with room for all noise: as :mod:`.denoise`, but the enhancement's latents lie on a grid finer by 4.

White noise has as much in it as there are samples, 768 for each latent position of 16 pixels: M channels cut from the
base's latent hold M / 768 of its energy at most (our derivation). Here they are what the clean picture lacks, in bands
of two octaves of the Haar wavelet: orthonormal, as good as any for white noise, with a step that is worth its bits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from scalecodec.layers import Wavelet, analysis, synthesis
from scalecodec.tiles import HALO

from .denoise import NOISY_SHARE, DenoisingModel
from .finer_coder import FinerCoder
from .layered import mean_square
from .mean_scale_coder import MeanScaleCoder

_BLOCK = 4
_BANDS = 3 * _BLOCK**2
# At gain 1, in samples of [0, 1]. With the Lagrangian of this gain, step^2 / 12 is where a bit more saves no more:
# d(bits a pixel) / d(mean squared error) = 3 / (2 ln 2 D) = NOISY_SHARE * 0.18 * 255^2.
_STEP = 24 / 255


class FineDenoisingModel(DenoisingModel):
    """Base: without noise. Enhancement: what that lacks of the picture as it came, but not what the base's rounding
    takes from it.

    Parameters
    ----------
    channels, layer0, offsets, hyper_step, integers : as of :class:`LayeredModel`
    """

    analysis_halo = HALO + 1  # what the base lacks is seen through its synthesis: 47 pixels in all

    def __init__(self, channels: int = 96, layer0: int = 128, **parts: Any) -> None:
        if parts.get("shared"):
            raise ValueError("layers of different grids share no hyperprior")
        super().__init__(channels, layer0, _BANDS * _BLOCK**2, **parts)

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        self.g_a, self.g_clean = analysis(n, layers[0]), synthesis(n, layers[0])
        self.wavelet = Wavelet("haar")

    def _make_coder(self, number: int, n: int, m: int, *parts: bool) -> MeanScaleCoder:
        if number == 0:
            return super()._make_coder(number, n, m, *parts)
        return FinerCoder(_BLOCK, -(-n // _BLOCK), _BANDS, *parts)

    def config(self) -> dict[str, int]:
        return {name: value for name, value in super().config().items() if name != "layer1"}

    def analyse(self, x: Tensor) -> Tensor:
        y: Tensor = self.g_a(x)
        with torch.no_grad():  # what the base lacks is not for the base to learn from
            bands = x - self.g_clean(y)
            for _ in range(2):
                bands = torch.cat(self.wavelet(bands), 1)
        return torch.cat((y, pixel_unshuffle(bands / _STEP, _BLOCK)), 1)

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        clean = self.reconstruct(y_hat, 1)
        apart = mean_square(clean, x)
        noisy = mean_square(clean.detach() + self._lacking(y_hat), seen)
        return (1 - NOISY_SHARE) * apart + NOISY_SHARE * noisy, apart

    def reconstruct(self, y_hat: Tensor, num_layers: int) -> Tensor:
        clean: Tensor = self.g_clean(y_hat[:, : self.layer_channels[0]])
        return clean if num_layers == 1 else clean + self._lacking(y_hat)

    def _lacking(self, y_hat: Tensor) -> Tensor:
        bands = pixel_shuffle(y_hat[:, self.layer_channels[0] :], _BLOCK) * _STEP
        for count in (_BANDS // 4, _BANDS // 16):
            bands = self.wavelet.inverse(bands[:, :count], bands[:, count:])
        return bands
