"""Integer convolution networks, the definition: NumPy, slow and obvious.

A layer's outputs are ``stride`` times as dense as its inputs: it is ``stride * stride`` phases, each an ordinary
convolution at the inputs' positions. A transposed convolution is such, and so is one with a sub-pixel shuffle behind
it. Nothing is rounded but by the shift, which every machine does alike: all implementations give the same integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Phase(NamedTuple):
    """One phase: ``start`` (y, x) is where the kernel's first weight stands from the position; [O] of the rest."""

    weight: NDArray[np.int16]  # [O, rows, columns, I]
    start: tuple[int, int]
    bias: NDArray[np.int64]
    multiplier: NDArray[np.int32]
    negative: NDArray[np.int32]  # the multiplier of sums below 0
    shift: NDArray[np.int32]


class Layer(NamedTuple):
    num_inputs: int
    num_outputs: int
    stride: int
    limits: tuple[int, int]  # what its outputs are clamped to
    phases: tuple[Phase, ...]  # row by row


def run(input_limit: int, layers: Sequence[Layer], x: NDArray[np.int32]) -> NDArray[np.int32]:
    """Int32 [B, I, H, W], clamped to ``[-input_limit, input_limit]``, to int32 [B, O, stride * H, stride * W]."""
    values = np.clip(x.astype(np.int64), -input_limit, input_limit)
    for layer in layers:
        batch, _, height, width = values.shape
        out = np.zeros((batch, layer.num_outputs, height, layer.stride, width, layer.stride), np.int64)
        for place, phase in enumerate(layer.phases):
            out[:, :, :, place // layer.stride, :, place % layer.stride] = _phase(phase, values, layer.limits)
        values = out.reshape(batch, layer.num_outputs, height * layer.stride, width * layer.stride)
    return values.astype(np.int32)


def _phase(phase: Phase, x: NDArray[np.int64], limits: tuple[int, int]) -> NDArray[np.int64]:
    batch, _, height, width = x.shape
    num_outputs, rows, columns, _ = phase.weight.shape
    far = max(rows, columns) + max(map(abs, phase.start))
    frame = np.pad(x, ((0, 0), (0, 0), (far, far), (far, far)))
    total = np.zeros((batch, num_outputs, height, width), np.int64) + phase.bias[:, None, None]
    for row in range(rows):
        for column in range(columns):
            top, left = far + phase.start[0] + row, far + phase.start[1] + column
            seen = frame[:, :, top : top + height, left : left + width]
            total += np.einsum("oi,bihw->bohw", phase.weight[:, row, column].astype(np.int64), seen)
    multiplier, negative, shift = (
        each.astype(np.int64)[:, None, None] for each in (phase.multiplier, phase.negative, phase.shift)
    )
    half = np.where(shift > 0, np.int64(1) << np.maximum(shift - 1, 0), 0)
    return np.clip((total * np.where(total < 0, negative, multiplier) + half) >> shift, *limits)
