"""Tensors of three float types as arrays that the core reads and writes: halves as the uint16 of their bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .samples import FloatArray


def as_values(tensor: FloatArray) -> tuple[NDArray[Any], str]:
    """A C-contiguous array of the tensor's shape, a view where it is one: float32, or uint16 of halves; and its dtype.

    Raises
    ------
    TypeError
        It is neither a NumPy array nor a dense torch tensor of floats.
    """
    if isinstance(tensor, np.ndarray):
        if tensor.dtype.kind != "f":
            raise TypeError(f"activations must be floats, got {tensor.dtype}")
        if tensor.dtype.itemsize == 2:
            return np.require(tensor, np.float16, ["C", "A"]).view(np.uint16), "float16"
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which is refused
            return np.require(tensor, np.float32, ["C", "A"]), "float32"
    if not isinstance(tensor, torch.Tensor) or tensor.layout is not torch.strided:
        raise TypeError(f"activations must be a NumPy array or a dense torch tensor, got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"activations must be floats, got {tensor.dtype}")
    dense = tensor.detach().resolve_neg().cpu().contiguous()
    if dense.dtype in (torch.float16, torch.bfloat16):
        return dense.view(torch.uint16).numpy(), "bfloat16" if dense.dtype is torch.bfloat16 else "float16"
    return dense.float().numpy(), "float32"


def empty(shape: tuple[int, ...], dtype: str) -> tuple[Tensor, NDArray[Any]]:
    """A tensor to return, and the array over its memory to write into."""
    tensor = torch.empty(shape, dtype=getattr(torch, dtype))
    return tensor, tensor.numpy() if dtype == "float32" else tensor.view(torch.uint16).numpy()


def as_output(out: Tensor, shape: tuple[int, ...], dtype: str) -> NDArray[Any]:
    """The caller's very memory, as :func:`empty` has it; ValueError where it is of another form."""
    wanted = f"a contiguous CPU tensor of {dtype} and shape {shape}"
    if not isinstance(out, Tensor) or out.device.type != "cpu" or not out.is_contiguous():
        raise ValueError(f"out must be {wanted}")
    if tuple(out.shape) != shape or out.dtype is not getattr(torch, dtype):
        raise ValueError(f"out must be {wanted}, got {out.dtype} and {tuple(out.shape)}")
    dense = out.detach()
    return dense.numpy() if dtype == "float32" else dense.view(torch.uint16).numpy()


def levels_as(levels: NDArray[np.float32], dtype: str) -> NDArray[Any]:
    """Levels in a tensor's dtype, rounded half to even, none beyond its finite values: float32, or uint16 of halves."""
    if dtype == "float32":
        return levels
    if dtype == "float16":
        most = np.finfo(np.float16).max
        return np.clip(levels, -most, most).astype(np.float16).view(np.uint16)
    bits = levels.view(np.uint32)
    rounded = bits + 0x7FFF + (bits >> 16 & 1) >> 16
    return np.where(rounded & 0x7FFF == 0x7F80, rounded - 1, rounded).astype(np.uint16)
