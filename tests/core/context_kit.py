"""Random context networks, and the definition of ``csrc/context.hpp`` in plain loops."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

import scalecodec as sc
from scalecodec.cdf import default_scale_table
from scalecodec.context import ContextNetwork

from .sums_kit import fma

SCALES = torch.as_tensor(default_scale_table(), dtype=torch.float32)
BOUND = 0.11


@dataclass
class Model:
    """Weights as the door takes them; sizes of hidden layers, and a slope for each but the last."""

    channels: int
    params: int
    context: int
    kernel: int = 5
    hidden: tuple[int, ...] = (20, 17)
    slopes: tuple[float | None, ...] = (0.01, 0.2)
    seed: int = 0
    weight: torch.Tensor = field(init=False)
    bias: torch.Tensor = field(init=False)
    layers: list = field(init=False)

    def __post_init__(self):
        noise = torch.Generator().manual_seed(self.seed)

        def randn(*shape):
            return torch.randn(*shape, generator=noise)

        self.weight = randn(self.context, self.channels, self.kernel, self.kernel) / (12 * self.channels) ** 0.5 / 4
        self.bias = randn(self.context) / 10
        sizes = [self.params + self.context, *self.hidden, 2 * self.channels]
        self.layers = [
            (randn(n, m) * (1.5 / m) ** 0.5, randn(n) / 10, slope)
            for m, n, slope in zip(sizes, sizes[1:], [*self.slopes, None], strict=False)
        ]

    def build(self) -> ContextNetwork:
        return ContextNetwork(self.weight, self.bias, self.layers, self.params)

    def inputs(self, batch, height, width, seed=1):
        noise = torch.Generator().manual_seed(seed)
        y = torch.randn(batch, self.channels, height, width, generator=noise) * 3
        return y, torch.randn(batch, self.params, height, width, generator=noise)


def gaussian_table():
    return sc.CdfTable.gaussian(SCALES)


def add(matrix, totals, values):
    """Chains of 64 inputs at a time."""
    for first in range(0, len(values), 64):
        sums = np.zeros_like(totals)
        for i in range(first, min(first + 64, len(values))):
            sums = fma(matrix[:, i], values[i], sums)
        with np.errstate(invalid="ignore", over="ignore"):
            totals = totals + sums
    return totals


def slow_distribution(model, decoded, params, h, w):
    """Scales and means at one position; ``decoded`` has its border of zeros, channels first."""
    weight = model.weight.numpy()
    totals = model.bias.numpy()
    pad = model.kernel // 2
    for dy in range(pad + 1):
        taps = model.kernel if dy < pad else pad  # left of the centre in the last row
        row = weight[:, :, dy, :taps].transpose(0, 2, 1).reshape(len(weight), -1)
        totals = add(row, totals, decoded[:, h + dy, w : w + taps].T.ravel())
    (matrix, bias, slope), *deeper = model.layers
    given = params[:, h, w]
    values = add(matrix.numpy()[:, : len(given)], bias.numpy(), given)
    values = add(matrix.numpy()[:, len(given) :], values, totals)
    for matrix, bias, next_slope in deeper:
        values = add(matrix.numpy(), bias.numpy(), activated(values, slope))
        slope = next_slope
    return np.split(activated(values, slope), 2)


def activated(values, slope):
    return values if slope is None else np.where(values > 0, values, values * np.float32(slope))


def slow_encode(model, y, params):
    """One item: symbols and indexes [H, W, M], and the decoded latents."""
    pad = model.kernel // 2
    channels, height, width = y.shape
    decoded = np.zeros((channels, height + 2 * pad, width + 2 * pad), np.float32)
    symbols, indexes = np.zeros((2, height, width, channels), np.int32)
    for h in range(height):
        for w in range(width):
            scales, means = slow_distribution(model, decoded, params.numpy(), h, w)
            symbols[h, w] = np.round(y[:, h, w].numpy() - means)
            bounded = torch.from_numpy(np.maximum(scales, np.float32(BOUND)))  # NaN stays
            indexes[h, w] = torch.bucketize(bounded, SCALES[:-1]).numpy()
            decoded[:, h + pad, w + pad] = symbols[h, w].astype(np.float32) + means
    return symbols, indexes, decoded[:, pad : pad + height, pad : pad + width]


def wavefront(kernel, height, width):
    """Rows and columns in the order of the wavefront."""
    places = [(h, w) for h in range(height) for w in range(width)]
    places.sort(key=lambda place: (place[1] + (kernel // 2 + 1) * place[0], place[0]))
    return tuple(np.array(places).T)
