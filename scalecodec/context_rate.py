"""Rates of variable-rate autoregressive models (Kamisli et al. 2024, arXiv:2402.18930, section 3): gain, a shift of the
context, and the network that gives reconstruction offsets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _core
from .arrays import as_floats
from .dense import finite
from .sums import SumOrder

__all__ = ["ContextRate", "OffsetNetwork"]


class OffsetNetwork:
    """Dense layers with ReLU between them: from (scale times gain, gain) to a reconstruction offset. Immutable.

    An offset is what a symbol's size is lessened by, where it is not zero.

    Parameters
    ----------
    layers : sequence of (weight, bias)
        Float32 CPU tensors [num_outputs, num_inputs] and [num_outputs]; the first takes 2 inputs, the last gives 1
    kinds : sequence of int, one for each channel
    sums : for each layer, and each kind of channel, the orders in which outputs add up; by default our own

    Raises
    ------
    ValueError, TypeError
        Shapes do not fit together, or a weight is not finite or no such tensor.
    """

    def __init__(
        self,
        layers: Sequence[tuple[Tensor, Tensor]],
        kinds: Sequence[int],
        sums: Sequence[Sequence[Sequence[SumOrder]]] | None = None,
    ) -> None:
        if sums is not None and len(sums) != len(layers):
            raise ValueError(f"there must be sums for each of {len(layers)} layers, got {len(sums)}")
        if not all(isinstance(kind, int) and 0 <= kind < 2**31 for kind in kinds):
            raise ValueError("kinds must be ints, 0 or more")
        arrays = []
        for index, (weight, bias) in enumerate(layers):
            pair = [finite(value, f"{name} of layer {index}") for value, name in ((weight, "weight"), (bias, "bias"))]
            orders = [] if sums is None else sums[index]
            plain = [[(order.outputs, order.inputs, order.steps) for order in of_kind] for of_kind in orders]
            arrays.append((as_floats(pair[0]), as_floats(pair[1]), plain))
        self.num_channels = len(kinds)
        self._core = _core.OffsetNetwork(arrays, np.asarray(kinds, np.int32))

    def __call__(self, scales: Tensor, gain: float) -> Tensor:
        """Offsets [num_channels], float32, for ``scales`` [num_channels], which are scaled already."""
        return torch.from_numpy(self._core.offsets(as_floats(finite(scales, "scales")), gain))


@dataclass(frozen=True, eq=False)
class ContextRate:
    """What a rate changes in a context network's loop.

    Attributes
    ----------
    gain : 1 / step, positive; scales count times it, and so do latents less their mean before they are rounded
    shift : float32 tensor [num_context], added to the context's outputs; or None for zeros
    offsets : OffsetNetwork, or None for no offsets
    """

    gain: float = 1.0
    shift: Tensor | None = None
    offsets: OffsetNetwork | None = None

    def __post_init__(self) -> None:
        if not 0 < self.gain < math.inf:
            raise ValueError(f"gain must be positive and finite, got {self.gain!r}")
        if self.shift is not None:
            finite(self.shift, "shift")
        if not isinstance(self.offsets, OffsetNetwork | None):
            raise TypeError(f"offsets must be an OffsetNetwork or None, got {type(self.offsets).__name__}")

    def arrays(self) -> tuple[float, Any, Any]:
        """As the core takes them."""
        shift = None if self.shift is None else as_floats(self.shift)
        return self.gain, shift, None if self.offsets is None else self.offsets._core
