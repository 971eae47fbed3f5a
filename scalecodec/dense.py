"""What the core's networks take: dense CPU tensors of float32, checked at the door."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def floats(value: Any, name: str, dims: int | None = None) -> Tensor:
    """``value`` without gradient; TypeError or ValueError unless it is such a tensor, of ``dims`` dimensions."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch tensor, got {type(value).__name__}")
    if value.dtype is not torch.float32 or value.device.type != "cpu" or value.layout is not torch.strided:
        raise TypeError(f"{name} must be a dense CPU tensor of float32, got {value.dtype} on {value.device}")
    if dims is not None and value.dim() != dims:
        raise ValueError(f"{name} must have {dims} dimensions, got shape {tuple(value.shape)}")
    return value.detach()


def finite(value: Any, name: str, dims: int | None = None) -> Tensor:
    """The same, and ValueError where an element is not finite."""
    tensor = floats(value, name, dims)
    if not bool(torch.isfinite(tensor).all()):
        raise ValueError(f"{name} must be finite")
    return tensor
