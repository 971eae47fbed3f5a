"""Tensors [B, ...] as [B, num_rows, row_size], dense in rows: contiguous, channels_last, and halves of either."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor


class RowLayout(NamedTuple):
    """How elementwise kernels walk over tensors of one shape."""

    shape: torch.Size
    order: tuple[int, ...]  # of the dimensions in memory, the batch first
    num_rows: int
    row_size: int

    def view(self, tensor: Tensor) -> Tensor:
        """The tensor as [B, num_rows, row_size], its rows dense; a copy only where it does not lie so."""
        rows = len(tensor), self.num_rows, self.row_size
        moved = tensor.permute(self.order)
        view = _try_view(moved, rows)
        return moved.reshape(rows).contiguous() if view is None else view

    def empty(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """A new tensor of the shape, dense in the order."""
        moved = torch.empty([self.shape[dim] for dim in self.order], dtype=dtype, device=device)
        return moved.permute(*sorted(range(len(self.order)), key=self.order.__getitem__))

    def laid(self, tensor: Tensor) -> Tensor:
        """The tensor, dense in the order; a copy only where it is not."""
        wanted = self.empty(tensor.dtype, tensor.device)
        return tensor if tensor.stride() == wanted.stride() else wanted.copy_(tensor)

    def position(self, place: int) -> tuple[int, ...]:
        """Of an element's place in memory, in the order: its index in the tensor."""
        index = [0] * len(self.order)
        for dim in reversed(self.order):
            place, index[dim] = divmod(place, self.shape[dim])
        return tuple(index)


def common_layout(first: Tensor, *others: Tensor | None) -> RowLayout:
    """The layout of ``first``, in one row an item where the others lie so too; all have one shape [B, ...]."""
    order = tuple(range(first.dim()))
    if first.dim() == 4 and first.stride(1) == 1 and first.shape[1] > 1:
        order = (0, 2, 3, 1)
    size = math.prod(first.shape[1:])
    whole = [
        _try_view(tensor.permute(order), (len(first), 1, size)) for tensor in (first, *others) if tensor is not None
    ]
    row_size = size if all(view is not None for view in whole) else first.shape[order[-1]]
    return RowLayout(first.shape, order, size // max(1, row_size), row_size)


def _try_view(tensor: Tensor, rows: tuple[int, int, int]) -> Tensor | None:
    try:
        view = tensor.view(rows)
    except (RuntimeError, ValueError):  # torch has no other way to ask
        return None
    return view if rows[-1] < 2 or view.stride(-1) == 1 else None
