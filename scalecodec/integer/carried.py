"""The integer network on any device that torch knows: whole numbers carried in float64.

A sum of whole numbers below 2^53 is exact in float64 whatever its order, so a matrix product may add them up as it
likes. It must be a matrix product: what a library calls a convolution may be Winograd's or a Fourier transform's, which
round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import pad

from scalecodec.kernels.integer_conv_ref import Layer, Phase

CARRIER_BITS = 53


class _Phase(NamedTuple):
    """A phase on a device: weight [O, rows, columns, I] and bias [O, 1] in float64, the rest int64 [O, 1, 1]."""

    start: tuple[int, int]
    weight: Tensor
    bias: Tensor
    multiplier: Tensor
    negative: Tensor
    half: Tensor
    shift: Tensor


class CarriedNetwork:
    """Layers on one device. Requires: no sum of theirs passes 2^53."""

    def __init__(self, input_limit: int, layers: Sequence[Layer], device: torch.device) -> None:
        self._input_limit, self._layers = input_limit, layers
        self._phases = [[_on(phase, device) for phase in layer.phases] for layer in layers]

    def run(self, x: Tensor) -> Tensor:
        """As ``integer_conv_ref.run``, for int32 [B, I, H, W] on the device."""
        values = x.double().clamp(-self._input_limit, self._input_limit)
        for layer, phases in zip(self._layers, self._phases, strict=True):
            batch, _, height, width = values.shape
            out = values.new_empty(batch, layer.num_outputs, height, layer.stride, width, layer.stride)
            for place, phase in enumerate(phases):
                out[:, :, :, place // layer.stride, :, place % layer.stride] = _run(phase, values, layer.limits)
            values = out.view(batch, layer.num_outputs, height * layer.stride, width * layer.stride)
        return values.int()


def _on(phase: Phase, device: torch.device) -> _Phase:
    weight, bias = (torch.from_numpy(array).to(device).double() for array in (phase.weight, phase.bias))
    multiplier, negative, shift = (
        torch.from_numpy(array).to(device).long()[:, None, None]
        for array in (phase.multiplier, phase.negative, phase.shift)
    )
    half = torch.where(shift > 0, 1 << (shift - 1).clamp(min=0), 0)
    return _Phase(phase.start, weight, bias[:, None], multiplier, negative, half, shift)


def _run(phase: _Phase, x: Tensor, limits: tuple[int, int]) -> Tensor:
    batch, _, height, width = x.shape
    _, rows, columns, _ = phase.weight.shape
    (top, left), (bottom, right) = phase.start, (phase.start[0] + rows - 1, phase.start[1] + columns - 1)
    frame = pad(x, (max(0, -left), max(0, right), max(0, -top), max(0, bottom)))
    total = phase.bias.expand(batch, -1, height * width)
    for row in range(rows):
        for column in range(columns):
            y, z = max(0, top) + row, max(0, left) + column
            seen = frame[:, :, y : y + height, z : z + width].reshape(batch, -1, height * width)
            total = total + phase.weight[:, row, column] @ seen
    sums = total.long().view(batch, -1, height, width)
    scaled = sums * torch.where(sums < 0, phase.negative, phase.multiplier) + phase.half
    return (scaled >> phase.shift).clamp(*limits).double()
