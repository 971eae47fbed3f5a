"""What the doors of quantization take, and which tensors the compiled core reads."""

from __future__ import annotations

import math
from numbers import Real

import torch
from torch import Tensor

from scalecodec.batches import MAX_THREADS

FLOAT32_RANGE = (2.0**-126, 2.0**127)
SYMBOL_BITS = {torch.int8: 8, torch.int16: 16, torch.int32: 32}
_INDEX_TABLES = {torch.uint8: 2**8, torch.uint16: 2**16, torch.int32: 2**31 - 1}


def check_threads(threads: int) -> None:
    """Raise ValueError unless this is a number of threads."""
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must be an int in [1, {MAX_THREADS}], got {threads!r}")


def check_gain_and_threads(gain: float, threads: int) -> None:
    """Raise ValueError unless these are a gain in float32's range and a number of threads."""
    low, high = FLOAT32_RANGE
    if isinstance(gain, bool) or not isinstance(gain, Real) or not low <= gain <= high:
        raise ValueError(f"gain must be a number in [2**-126, 2**127], got {gain!r}")
    check_threads(threads)


def suits_core(*tensors: Tensor | None) -> bool:
    """Whether all are dense float32 on the CPU."""
    return all(
        t is None or (t.dtype is torch.float32 and t.device.type == "cpu" and t.layout is torch.strided)
        for t in tensors
    )


def check_index_tables(scale_table: Tensor, scale_bound: float | Tensor | None, dtype: torch.dtype) -> None:
    """Raise ValueError or TypeError unless indexes of ``dtype`` can name these tables."""
    if dtype not in _INDEX_TABLES:
        raise TypeError(f"indexes must be uint8, uint16 or int32, got {dtype}")
    if scale_table.dim() != 1 or scale_table.numel() == 0:
        raise ValueError(f"scale_table must be 1-D and not empty, got shape {tuple(scale_table.shape)}")
    if len(scale_table) > _INDEX_TABLES[dtype]:
        raise ValueError(f"indexes of {dtype} name at most {_INDEX_TABLES[dtype]} tables, got {len(scale_table)}")
    if isinstance(scale_bound, Tensor) and scale_bound.numel() != 1:
        raise ValueError(f"scale_bound must be one number, got shape {tuple(scale_bound.shape)}")


def bound_of(scale_bound: float | Tensor | None) -> float:
    """The bound as a number (-inf: none); ValueError where it is NaN."""
    bound = -math.inf if scale_bound is None else float(scale_bound)
    if math.isnan(bound):
        raise ValueError("scale_bound must not be NaN")
    return bound


def check_scales(scale_table: Tensor, scale_bound: float | Tensor | None) -> float:
    """The bound as a number (-inf: none). ValueError unless a table of scales and a bound are such."""
    check_index_tables(scale_table, scale_bound, torch.int32)
    return bound_of(scale_bound)
