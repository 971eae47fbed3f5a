"""System 3: a picture in two bands of frequency, the base and what sharpens it, for quality and regions (Choi, Racape,
Hamidi-Rad, Ulhaq and Feltman 2022, arXiv:2301.01290).

The networks are ours: the paper's layers are not published. A wavelet parts the picture; two branches of stages each
have a path of their own and one from the other branch. Without the enhancement its latents are 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.layers import GDN, Wavelet, conv, deconv

from .layered import LayeredModel, mean_square

_BASE_SHARE = 0.3  # of the distortion: the base's own picture
# Strides of the stages behind the wavelet. With a first one of its own scale they do what four strided convolutions of
# pixels do (a 5-tap one is a 3-tap one of Haar bands), and can begin from such; files of old have three.
_STRIDES = {3: (2, 2, 2), 4: (1, 2, 2, 2)}


class _Stage(nn.Module):
    """Both branches, an octave further where ``stride`` is 2: each convolves itself and the other (``deconv`` where
    inverse).
    """

    def __init__(self, sizes: Sequence[tuple[int, int]], stride: int, inverse: bool, last: bool) -> None:
        super().__init__()
        step, taps = deconv if inverse else conv, 5 if stride == 2 else 3
        into, out = sizes
        self.intra = nn.ModuleList(step(size, to, taps, stride) for size, to in zip(into, out, strict=True))
        self.inter = nn.ModuleList(step(size, to, taps, stride) for size, to in zip(into, reversed(out), strict=True))
        self.norms = nn.ModuleList(nn.Identity() if last else GDN(to, inverse) for to in out)

    def forward(self, bands: Sequence[Tensor]) -> list[Tensor]:
        low, high = bands
        mixed = self.intra[0](low) + self.inter[1](high), self.intra[1](high) + self.inter[0](low)
        return [norm(band) for norm, band in zip(self.norms, mixed, strict=True)]


def _stages(sizes: Sequence[tuple[int, int]], strides: Sequence[int], inverse: bool) -> nn.Sequential:
    last = len(strides) - 1
    return nn.Sequential(*(_Stage(sizes[i : i + 2], stride, inverse, i == last) for i, stride in enumerate(strides)))


class _Analysis(nn.Module):
    def __init__(self, n: int, latents: tuple[int, int], strides: Sequence[int]) -> None:
        super().__init__()
        self.wavelet = Wavelet("haar")
        self.stages = _stages([(3, 9), *[(n, n)] * (len(strides) - 1), latents], strides, inverse=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.stages(self.wavelet(x)), 1)


class _Synthesis(nn.Module):
    def __init__(self, n: int, latents: tuple[int, int], strides: Sequence[int]) -> None:
        super().__init__()
        self.wavelet, self.split = Wavelet("haar"), latents
        self.stages = _stages([latents, *[(n, n)] * (len(strides) - 1), (3, 9)], strides[::-1], inverse=True)

    def forward(self, y: Tensor) -> Tensor:
        low, high = self.stages(y.split(self.split, 1))
        return self.wavelet.inverse(low, high)


class FrequencyModel(LayeredModel):
    """Base: the picture but for its fine detail. Enhancement: that.

    Parameters
    ----------
    channels : N, of each branch
    stages : of each branch, 3 or 4
    layer0, layer1, shared, offsets, hyper_step, integers : as of :class:`LayeredModel`
    """

    def __init__(self, channels: int = 48, stages: int = 4, **layers: Any) -> None:
        if stages not in _STRIDES:
            raise ValueError(f"stages must be of {tuple(_STRIDES)}, got {stages}")
        self.stages = stages
        super().__init__(channels, **layers)

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        low, high = layers
        strides = _STRIDES[self.stages]
        self.g_a, self.g_s = _Analysis(n, (low, high), strides), _Synthesis(n, (low, high), strides)

    def config(self) -> dict[str, int]:
        return super().config() | {"stages": self.stages}

    def reconstruct(self, y_hat: Tensor, num_layers: int) -> Tensor:
        return self.g_s(y_hat)  # of the base alone the enhancement's latents are 0

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        low, high = y_hat.split(list(self.layer_channels), 1)
        alone = torch.cat((low, torch.zeros_like(high)), 1)
        full, base = (mean_square(self.g_s(latents), x) for latents in (y_hat, alone))
        return (1 - _BASE_SHARE) * full + _BASE_SHARE * base, full
