"""The integer network on any device that torch knows: whole numbers carried in float64.

A sum of whole numbers below 2^53 is exact in float64 whatever its order, so a matrix product may add them up as it
likes. It must be a matrix product: what a library calls a convolution may be Winograd's or a Fourier transform's, which
round.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from scalecodec.kernels.integer_conv_ref import Layer, Phase

CARRIER_BITS = 53


def run_carried(input_limit: int, layers: Sequence[Layer], x: Tensor) -> Tensor:
    """As ``integer_conv_ref.run``, on the device of ``x``. Requires: no sum beyond 2^53."""
    values = x.double().clamp(-input_limit, input_limit)
    for layer in layers:
        batch, _, height, width = values.shape
        out = values.new_empty(batch, layer.num_outputs, height, layer.stride, width, layer.stride)
        for place, phase in enumerate(layer.phases):
            out[:, :, :, place // layer.stride, :, place % layer.stride] = _phase(phase, values, layer.limits)
        values = out.view(batch, layer.num_outputs, height * layer.stride, width * layer.stride)
    return values.int()


def _phase(phase: Phase, x: Tensor, limits: tuple[int, int]) -> Tensor:
    batch, _, height, width = x.shape
    _, rows, columns, _ = phase.weight.shape
    (top, left), (bottom, right) = phase.start, (phase.start[0] + rows - 1, phase.start[1] + columns - 1)
    frame = pad(x, (max(0, -left), max(0, right), max(0, -top), max(0, bottom)))
    weight = torch.from_numpy(phase.weight).to(x.device).double()
    total = torch.from_numpy(phase.bias).to(x.device).double()[:, None].expand(batch, -1, height * width)
    for row in range(rows):
        for column in range(columns):
            y, z = max(0, top) + row, max(0, left) + column
            seen = frame[:, :, y : y + height, z : z + width].reshape(batch, -1, height * width)
            total = total + weight[:, row, column] @ seen
    sums = total.long().view(batch, -1, height, width)
    multiplier, negative, shift = (
        torch.from_numpy(each).to(x.device).long()[:, None, None]
        for each in (phase.multiplier, phase.negative, phase.shift)
    )
    half = torch.where(shift > 0, 1 << (shift - 1).clamp(min=0), 0)
    return ((sums * torch.where(sums < 0, negative, multiplier) + half) >> shift).clamp(*limits).double()
