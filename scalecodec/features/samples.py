"""What the doors of this package accept as activations: NumPy arrays and torch tensors of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

FloatArray = Any  # a NumPy array or a torch tensor


def as_samples(value: FloatArray, name: str = "activations") -> NDArray[np.float32]:
    """``value`` as a C-contiguous float32 array of its shape; a view where it is one, else a copy.

    Parameters
    ----------
    value : float16, bfloat16 (torch), float32 or float64; a tensor on any device

    Raises
    ------
    TypeError
        It is no array or tensor of floats.
    ValueError
        An element is not finite, or not finite as float32.
    """
    if isinstance(value, torch.Tensor):
        if not value.is_floating_point():
            raise TypeError(f"{name} must be floats, got {value.dtype}")
        array = value.detach().resolve_neg().float().cpu().numpy()
    elif isinstance(value, np.ndarray):
        if value.dtype.kind != "f":
            raise TypeError(f"{name} must be floats, got {value.dtype}")
        with np.errstate(over="ignore"):  # beyond float32 becomes inf, which is refused
            array = value.astype(np.float32, copy=False)
    else:
        raise TypeError(f"{name} must be a NumPy array or a torch tensor, got {type(value).__name__}")
    if not np.isfinite(array).all():
        where = int(np.argmin(np.isfinite(array)))
        raise ValueError(f"{name} must be finite, got {array.ravel()[where]} (element {where})")
    return np.require(array, np.float32, ["C", "A"])
