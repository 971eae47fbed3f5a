"""Random integer networks, and torch networks that have an integer form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scalecodec.kernels.integer_conv_ref import Layer, Phase
from torch import nn

from scalecodec.integer import Exp


def random_layer(
    rng: np.random.Generator, num_inputs: int, num_outputs: int, stride: int, weight_bits: int, limits: tuple[int, int]
) -> Layer:
    """Kernels of all shapes about the position, sums that use most of their outputs' range."""
    most = 2 ** (weight_bits - 1) - 1
    phases = []
    for _ in range(stride * stride):
        rows, columns = rng.integers(1, 5, 2)
        weight = rng.normal(0, most / 4, (num_outputs, rows, columns, num_inputs)).clip(-most, most)
        start = int(rng.integers(-rows - 1, 3)), int(rng.integers(-columns - 1, 3))
        multiplier = rng.integers(2**14, 2**15, num_outputs)
        slope = rng.choice([0.0, 0.01, 1.0])
        bits = weight_bits + int(np.log2(rows * columns * num_inputs)) // 2
        numbers = (
            rng.integers(-(2**20), 2**20, num_outputs).astype(np.int64),
            multiplier.astype(np.int32),
            (multiplier * slope).astype(np.int32),
            (12 + bits + rng.integers(-2, 2, num_outputs)).astype(np.int32),
        )
        phases.append(Phase(weight.astype(np.int16), start, *numbers))
    return Layer(num_inputs, num_outputs, stride, limits, tuple(phases))


def random_layers(seed: int, sizes: Sequence[int], strides: Sequence[int], weight_bits: int) -> list[Layer]:
    rng = np.random.default_rng(seed)
    limits = [(-32767, 32767)] * (len(strides) - 1) + [(-(2**31), 2**31 - 1)]
    shapes = zip(sizes[:-1], sizes[1:], strides, limits, strict=True)
    return [random_layer(rng, i, o, stride, weight_bits, limit) for i, o, stride, limit in shapes]


def sub_pixel(num_inputs: int, num_outputs: int, factor: int = 2) -> nn.Sequential:
    """As CompressAI's ``subpel_conv3x3``."""
    return nn.Sequential(nn.Conv2d(num_inputs, num_outputs * factor**2, 3, padding=1), nn.PixelShuffle(factor))


def transposed(num_inputs: int, num_outputs: int, size: int, stride: int, padding: int) -> nn.ConvTranspose2d:
    extra = stride - size + 2 * padding
    return nn.ConvTranspose2d(num_inputs, num_outputs, size, stride, padding, output_padding=extra)


NETWORKS = {
    "mean-scale": lambda: nn.Sequential(
        *(transposed(6, 8, 5, 2, 2), nn.LeakyReLU(), transposed(8, 12, 5, 2, 2), nn.LeakyReLU()),
        nn.Conv2d(12, 10, 3, padding=1),
    ),
    "scale": lambda: nn.Sequential(
        *(transposed(6, 8, 5, 2, 2), nn.ReLU(), transposed(8, 6, 5, 2, 2), nn.ReLU()),
        *(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU()),
    ),
    "sub-pixel": lambda: nn.Sequential(
        *(nn.Conv2d(6, 7, 3, padding=1), nn.LeakyReLU(), sub_pixel(7, 5), nn.LeakyReLU(0.1)),
        *(sub_pixel(5, 4, 3), nn.Conv2d(4, 3, 1)),
    ),
    "even kernels": lambda: nn.Sequential(transposed(6, 5, 4, 2, 1), nn.ReLU(), transposed(5, 4, 2, 2, 0)),
    "from beyond": lambda: nn.Sequential(nn.ConvTranspose2d(6, 5, 3, 3, 1, output_padding=2), nn.ReLU()),
    "threefold": lambda: nn.Sequential(transposed(6, 5, 5, 3, 1), nn.LeakyReLU(), transposed(5, 4, 3, 1, 1)),
    "softplus": lambda: nn.Sequential(transposed(6, 5, 5, 2, 2), nn.LeakyReLU(), nn.Conv2d(5, 4, 1), nn.Softplus()),
    "exp": lambda: nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU(), nn.Conv2d(5, 4, 1), Exp()),
    "no bias": lambda: nn.Sequential(nn.Conv2d(6, 4, (3, 5), padding=(1, 2), bias=False)),
}


def network(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS[name]().eval()
