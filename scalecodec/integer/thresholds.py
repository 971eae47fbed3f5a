"""Table indexes from integer scales: whole numbers compared with whole numbers, at every gain."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from scalecodec import _core

from .units import OUTPUT_FRACTION, OUTPUT_LIMIT


def scale_thresholds(scale_table: Sequence[float], scale_bound: float, gain: float) -> Tensor:
    """Int32 [num_tables - 1]: a scale has the index of how many thresholds it is beyond.

    The index is that of ``quantize.build_indexes`` for a scale of ``integer * 2^-16``, were there no rounding: the
    first table that is not below ``max(scale * gain, scale_bound)``, or the last. The quotients are exact,
    and the bound is read as float32.
    """
    return _thresholds(tuple(scale_table), np.float32(scale_bound).item(), float(gain)).clone()


@lru_cache(maxsize=512)
def _thresholds(scale_table: tuple[float, ...], scale_bound: float, gain: float) -> Tensor:
    unit = Fraction(gain) / 2**OUTPUT_FRACTION
    found = []
    for scale in scale_table[:-1]:
        below_bound = scale < scale_bound  # whatever the scale, the bound is beyond this table
        threshold = -OUTPUT_LIMIT - 1 if below_bound else math.floor(Fraction(scale) / unit)
        found.append(max(-OUTPUT_LIMIT - 1, min(OUTPUT_LIMIT, threshold)))
    return torch.tensor(found, dtype=torch.int32)


def integer_indexes(scales: Tensor, thresholds: Tensor) -> Tensor:
    """Uint8, of the shape of ``scales``, int32: of how many of up to 255 ascending thresholds each is beyond."""
    if scales.dtype is not torch.int32 or thresholds.dtype is not torch.int32 or thresholds.dim() != 1:
        raise TypeError(f"scales and thresholds must be int32, got {scales.dtype} and {thresholds.dtype}")
    if len(thresholds) > np.iinfo(np.uint8).max:
        raise ValueError(f"there may be at most 255 thresholds, got {len(thresholds)}")
    indexes = torch.empty(scales.shape, dtype=torch.uint8)
    _core.integer_indexes(scales.cpu().contiguous().numpy(), thresholds.cpu().numpy(), indexes.numpy())
    return indexes.to(scales.device)
