"""The masked convolution of context models."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class MaskedConv2d(nn.Conv2d):
    """Mask type A (van den Oord et al. 2016, arXiv:1601.06759): sees what comes before its centre in raster order.

    Float [B, in_channels, H, W] to [B, out_channels, H, W]; ``kernel_size`` odd. The buffer ``mask`` is CompressAI's.
    """

    mask: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int = 5) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        before = torch.arange(kernel_size * kernel_size) < kernel_size * kernel_size // 2
        self.register_buffer("mask", before.view(kernel_size, kernel_size).expand_as(self.weight).float())

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)
