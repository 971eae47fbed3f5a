"""The two strided convolutions that every transform here is made of."""

from __future__ import annotations

from torch import nn


def conv(in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 2) -> nn.Conv2d:
    """Convolution with "same" padding: [B, in, H, W] -> [B, out, ceil(H / stride), ceil(W / stride)]."""
    return nn.Conv2d(in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2)


def deconv(in_channels: int, out_channels: int, kernel_size: int = 5, stride: int = 2) -> nn.ConvTranspose2d:
    """Transposed convolution: [B, in, H, W] -> [B, out, stride * H, stride * W]."""
    return nn.ConvTranspose2d(
        in_channels, out_channels, kernel_size, stride=stride, padding=kernel_size // 2, output_padding=stride - 1
    )
