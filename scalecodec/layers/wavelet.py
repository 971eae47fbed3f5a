"""One level of a separable wavelet transform by lifting: Haar, the 5/3 and the 9/7 of JPEG 2000, as orthonormal as they
are (Daubechies and Sweldens 1998; lifting factors of ISO/IEC 15444-1, annex F).

Borders are mirrored about the first and the last sample, so that nothing grows and any even side is given back exactly
but for rounding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

# Lifting steps, odd samples first, and by what the low band is multiplied in the end, the high band divided.
_STEPS = {
    "haar": ((-1.0, 0.5), math.sqrt(2)),
    "5/3": ((-0.5, 0.25), math.sqrt(2)),
    "9/7": (
        (-1.586134342059924, -0.052980118572961, 0.882911075530934, 0.443506852043971),
        math.sqrt(2) / 1.230174104914001,
    ),
}


class Wavelet(nn.Module):
    """Forward and inverse transform of the last two axes.

    Parameters
    ----------
    kind : "haar", "5/3" or "9/7"
    """

    def __init__(self, kind: str = "haar") -> None:
        super().__init__()
        if kind not in _STEPS:
            raise ValueError(f"kind must be one of {', '.join(_STEPS)}, got {kind!r}")
        self.kind = kind

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, C, H, W], H and W even, to the low band [B, C, H/2, W/2] and the three high ones [B, 3 C, H/2, W/2]: high
        along the width, along the height, along both.
        """
        if x.shape[-1] % 2 or x.shape[-2] % 2 or 0 in x.shape:
            raise ValueError(f"sides must be even, got {tuple(x.shape)}")
        low, high = self._forward(x, -1)
        (low_low, high_low), (low_high, high_high) = (self._forward(band, -2) for band in (low, high))
        return low_low, torch.cat((low_high, high_low, high_high), 1)

    def inverse(self, low: Tensor, high: Tensor) -> Tensor:
        """What :meth:`forward` was given."""
        low_high, high_low, high_high = high.chunk(3, 1)
        return self._inverse(self._inverse(low, high_low, -2), self._inverse(low_high, high_high, -2), -1)

    def _forward(self, x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
        even, odd = x.unflatten(axis, (-1, 2)).unbind(axis)
        steps, scale = _STEPS[self.kind]
        for number, factor in enumerate(steps):
            if number % 2 == 0:
                odd = odd + factor * self._neighbours(even, axis, 1)
            else:
                even = even + factor * self._neighbours(odd, axis, -1)
        return even * scale, odd / scale

    def _inverse(self, low: Tensor, high: Tensor, axis: int) -> Tensor:
        steps, scale = _STEPS[self.kind]
        even, odd = low / scale, high * scale
        for number, factor in reversed(list(enumerate(steps))):
            if number % 2 == 0:
                odd = odd - factor * self._neighbours(even, axis, 1)
            else:
                even = even - factor * self._neighbours(odd, axis, -1)
        return torch.stack((even, odd), axis).flatten(axis - 1, axis)

    def _neighbours(self, band: Tensor, axis: int, side: int) -> Tensor:
        """The two neighbours that a sample of the other band has in this one, added; Haar has one, at its own place."""
        if self.kind == "haar":
            return band
        length = band.shape[axis]
        if side > 0:
            return band + torch.cat((band.narrow(axis, 1, length - 1), band.narrow(axis, length - 1, 1)), axis)
        return band + torch.cat((band.narrow(axis, 0, 1), band.narrow(axis, 0, length - 1)), axis)
