"""System 3: a picture in two bands of frequency, the base and what sharpens it, for quality and regions (Choi, Racape,
Hamidi-Rad, Ulhaq and Feltman 2022, arXiv:2301.01290).

The networks are ours: the paper's layers are not published. A wavelet parts the picture; two branches of three stages
each have a path of their own and one from the other branch. Without the enhancement its latents are 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scalecodec.layers import GDN, Wavelet, conv, deconv

from .layered import LayeredModel, mean_square

_BASE_SHARE = 0.3  # of the distortion: the base's own picture


class _Stage(nn.Module):
    """Both branches one octave further: each convolves itself and the other (``deconv`` where inverse)."""

    def __init__(self, sizes: tuple[int, int], out: tuple[int, int], inverse: bool, last: bool) -> None:
        super().__init__()
        step = deconv if inverse else conv
        self.intra = nn.ModuleList(step(size, to) for size, to in zip(sizes, out, strict=True))
        self.inter = nn.ModuleList(step(size, to) for size, to in zip(sizes, reversed(out), strict=True))
        self.norms = nn.ModuleList(nn.Identity() if last else GDN(to, inverse) for to in out)

    def forward(self, bands: Sequence[Tensor]) -> list[Tensor]:
        low, high = bands
        mixed = self.intra[0](low) + self.inter[1](high), self.intra[1](high) + self.inter[0](low)
        return [norm(band) for norm, band in zip(self.norms, mixed, strict=True)]


class _Analysis(nn.Module):
    def __init__(self, n: int, low: int, high: int) -> None:
        super().__init__()
        self.wavelet = Wavelet("haar")
        sizes = [(3, 9), (n, n), (n, n), (low, high)]
        self.stages = nn.Sequential(*(_Stage(sizes[i], sizes[i + 1], False, i == 2) for i in range(3)))

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.stages(self.wavelet(x)), 1)


class _Synthesis(nn.Module):
    def __init__(self, n: int, low: int, high: int) -> None:
        super().__init__()
        self.wavelet, self.split = Wavelet("haar"), (low, high)
        sizes = [(low, high), (n, n), (n, n), (3, 9)]
        self.stages = nn.Sequential(*(_Stage(sizes[i], sizes[i + 1], True, i == 2) for i in range(3)))

    def forward(self, y: Tensor) -> Tensor:
        low, high = self.stages(y.split(self.split, 1))
        return self.wavelet.inverse(low, high)


class FrequencyModel(LayeredModel):
    """Base: the picture but for its fine detail. Enhancement: that."""

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        low, high = layers
        self.g_a, self.g_s = _Analysis(n, low, high), _Synthesis(n, low, high)

    def reconstruct(self, y_hat: Tensor, num_layers: int) -> Tensor:
        return self.g_s(y_hat)  # of the base alone the enhancement's latents are 0

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        low, high = y_hat.split(list(self.layer_channels), 1)
        alone = torch.cat((low, torch.zeros_like(high)), 1)
        full, base = (mean_square(self.g_s(latents), x) for latents in (y_hat, alone))
        return (1 - _BASE_SHARE) * full + _BASE_SHARE * base, full
