"""What the doors accept: NumPy arrays and CPU torch tensors of integers, viewed without a copy where they allow it."""

from __future__ import annotations

import operator
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A NumPy array, or a torch tensor: torch is not imported for a type's sake.
IntegerArray = Any


def as_array(value: IntegerArray, name: str) -> NDArray[Any]:
    """``value`` as a NumPy array sharing its memory.

    Raises
    ------
    TypeError
        It is neither a NumPy array (or scalar) nor a dense CPU torch tensor.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        if value.layout is not torch.strided or value.device.type != "cpu":
            raise TypeError(f"{name} must be a dense CPU tensor, got {value.layout} on {value.device}; use .cpu()")
        if value.is_floating_point() or value.is_complex() or value.dtype is torch.bool:
            raise TypeError(f"{name} must have an integer dtype, got {value.dtype}")
        return value.detach().numpy()
    if isinstance(value, np.ndarray | np.generic):
        return np.asarray(value)
    raise TypeError(f"{name} must be a NumPy array or a CPU torch tensor, got {type(value).__name__}")


def as_integers(value: IntegerArray, name: str) -> NDArray[np.integer]:
    """``value`` as a C-contiguous, aligned integer array in native byte order; copied only where it is not that yet."""
    array = as_array(value, name)
    if array.dtype.kind not in "iu":
        raise TypeError(f"{name} must have an integer dtype, got {array.dtype}")
    return np.require(array, array.dtype.newbyteorder("="), ["C", "A"])


def as_floats(tensor: Any, shape: Sequence[int] | None = None) -> NDArray[np.float32]:
    """A dense CPU tensor of float32 as a C-contiguous, aligned array; copied only where it is not that yet.

    Spread to ``shape`` where one is given, which it must broadcast to.
    """
    array = tensor.detach().numpy()
    if shape is not None and array.shape != shape:
        array = np.broadcast_to(array, shape)
    return np.require(array, None, ["C", "A"])


def broadcasts(shape: Sequence[int], target: Sequence[int]) -> bool:
    """Whether what has ``shape`` can be spread to ``target``, and is not larger."""
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False))


def as_output(value: IntegerArray, shape: tuple[int, ...]) -> NDArray[np.integer]:
    """``out``, checked to be a writable, C-contiguous integer array of ``shape``: the caller's very memory."""
    array = as_array(value, "out")
    if array.dtype.kind not in "iu" or not array.dtype.isnative:
        raise TypeError(f"out must have a native integer dtype, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"out must have shape {shape}, got {array.shape}")
    if not (array.flags.c_contiguous and array.flags.aligned and array.flags.writeable):
        raise ValueError("out must be C-contiguous, aligned and writable")
    return array


def as_index(value: Any, name: str) -> int:
    """Python's own integer; TypeError where it is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None


def as_bytes(data: Any) -> memoryview:
    """``data`` as a flat view of bytes.

    Raises
    ------
    TypeError
        It is not bytes-like.
    ValueError
        It is not contiguous.
    """
    try:
        view = memoryview(data)
    except TypeError:
        raise TypeError(f"data must be bytes-like, got {type(data).__name__}") from None
    if not view.c_contiguous:
        raise ValueError("data must be contiguous")
    return view.cast("B") if view.nbytes else memoryview(b"")
