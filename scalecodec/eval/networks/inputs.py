"""From an RGB picture to the planes that a network resizes and scales in its own way."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor


def planes(rgb: npt.NDArray[Any]) -> Tensor:
    """A picture as float32 [1, 3, H, W], RGB, still 0 to 255; a copy.

    Raises
    ------
    TypeError
        `rgb` is no array of uint8.
    ValueError
        It is not [H, W, 3] with H and W of at least 1.
    """
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8:
        raise TypeError(f"a picture must be an ndarray of uint8, got {getattr(rgb, 'dtype', type(rgb).__name__)}")
    if rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ValueError(f"a picture must be [H, W, 3], got shape {rgb.shape}")
    return torch.from_numpy(np.array(rgb.transpose(2, 0, 1), np.float32, order="C")).unsqueeze(0)


def resized(picture: Tensor, height: int, width: int, *, antialias: bool) -> Tensor:
    """Bilinear, pixel centres at one half: [1, C, H, W] -> [1, C, height, width]."""
    return F.interpolate(picture, (height, width), mode="bilinear", align_corners=False, antialias=antialias)
