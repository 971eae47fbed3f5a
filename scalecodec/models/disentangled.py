"""System 2: the base sees the picture and the task's features, the enhancement the picture only (Ozyilkan, Ulhaq, Choi
and Racape 2023, arXiv:2301.04183). Layers as in the authors' slides; activations are ours, as they name none.

The encoder needs the task's front half (:meth:`ScalableModel.attach`), unless it is blind; the decoder needs nothing of
it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalecodec.layers import analysis, conv, deconv, synthesis

from .scalable import ScalableModel

_STRIDE = 8  # of the features, at which the picture joins them


class DisentangledModel(ScalableModel):
    """Two layers, one task of stride 8. ``blind``: the base's encoder gets zeros for features, to see what they are
    worth; other parameters as of :class:`ScalableModel`.
    """

    counts: tuple[int, ...] = (2,)
    analysis_halo = 6  # the base's convolutions see 48 pixels of what the front half makes, and that as many for itself

    def __init__(self, channels: int = 96, features0: int = 256, blind: int = 0, **layers: Any) -> None:
        if features0 < 1:
            raise ValueError(f"features0 must be positive, got {features0}")
        self.blind = bool(blind)
        super().__init__(channels, features0, _STRIDE, **layers)

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        base, enhancement = layers
        size = self.sizes[0]
        self.base_analysis = nn.Sequential(
            *(conv(size + 3, n, stride=1), nn.LeakyReLU()), *(conv(n, n, stride=1), nn.LeakyReLU()), conv(n, base)
        )
        self.g_a, self.g_s = analysis(n, enhancement), synthesis(n, base + enhancement)
        features = nn.Sequential(
            *(deconv(base, n, stride=1), nn.LeakyReLU()), *(deconv(n, n, stride=1), nn.LeakyReLU()), deconv(n, size)
        )
        self.tasks = nn.ModuleList([features])

    def config(self) -> dict[str, int]:
        sizes = {name: value for name, value in super().config().items() if name not in ("stride0", "unpacked")}
        return sizes | ({"blind": 1} if self.blind else {})

    def analyse(self, x: Tensor) -> Tensor:
        small = F.interpolate(x, [side // _STRIDE for side in x.shape[-2:]], mode="bilinear", antialias=True)
        blank = x.new_zeros(len(x), self.sizes[0], *small.shape[-2:])
        seen = torch.cat((small, blank if self.blind else self.wanted(x, 0)), 1)
        return torch.cat((self.base_analysis(seen), self.g_a(x)), 1)
