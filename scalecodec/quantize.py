"""Quantization doors: latents to integer symbols, scales to table indexes."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_INT32_LIMIT = 2.0**31


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]


def round_ste(x: Tensor) -> Tensor:
    """``round(x)``, half to even, with the gradient of the identity (straight-through)."""
    return _RoundStraightThrough.apply(x)


def to_symbols(x: Tensor) -> Tensor:
    """``round(x)``, half to even, as int32 of the same shape.

    Raises
    ------
    ValueError
        A value is not finite or rounds beyond int32: no stream could carry it.
    """
    # In float16 the limit itself would become an infinity.
    rounded = torch.round(x.float() if x.dtype is torch.float16 else x)
    if not bool(((rounded >= -_INT32_LIMIT) & (rounded < _INT32_LIMIT)).all()):
        raise ValueError("latents must be finite and round to int32, got a NaN or a value outside [-2**31, 2**31)")
    return rounded.to(torch.int32)


def build_indexes(scale: Tensor, scale_table: Tensor) -> Tensor:
    """Index of the first table scale that is not below ``scale``, or of the last: CompressAI's ``build_indexes``.

    Parameters
    ----------
    scale : float tensor, any shape; NaN selects the last table
    scale_table : float tensor [num_tables], ascending

    Returns
    -------
    int32 tensor of the shape of ``scale``, in [0, num_tables)
    """
    if scale_table.dim() != 1 or scale_table.numel() == 0:
        raise ValueError(f"scale_table must be 1-D and not empty, got shape {tuple(scale_table.shape)}")
    return torch.bucketize(scale.detach().contiguous(), scale_table[:-1].contiguous(), out_int32=True)
