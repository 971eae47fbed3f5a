"""The coding loop of autoregressive models, compiled: masked convolution, dense layers, quantization and rans64 coder
at one position after the other (Minnen et al. 2018, arXiv:1809.02736, section 3.1; Cheng et al. 2020, 2001.01568).

Encoder and decoder must see the very same floats, or all behind the first that differs is lost. So the arithmetic is
fixed (``csrc/context.hpp`` has the definition): thread counts, batches, kernel sets and machines agree bit for bit. In
our own order of sums it is nearly torch's; in torch's order, as ``sums.py`` measures it, it is torch's to the last bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from . import _core
from .arrays import as_bytes, as_floats
from .cdf import CdfTable
from .context_rate import ContextRate
from .dense import finite, floats
from .quantize import check_scales, check_threads
from .sums import SumOrder

__all__ = ["ContextNetwork"]

UNIT_RATE = ContextRate()
_ORDERS = ("raster", "wavefront")


def _weights(value: Any, name: str, dims: int) -> Tensor:
    tensor = finite(value, name, dims)
    if tensor.numel() == 0:
        raise ValueError(f"{name} must not be empty, got shape {tuple(tensor.shape)}")
    return tensor


def _bias(value: Any, name: str, count: int) -> Tensor:
    tensor = torch.zeros(count, dtype=torch.float32) if value is None else _weights(value, name, 1)
    if len(tensor) != count:
        raise ValueError(f"{name} must have {count} elements, got {len(tensor)}")
    return tensor


def _masked(weight: Any) -> Tensor:
    """Mask type A: zeros from the centre on, in raster order; what stands there need not be finite."""
    tensor = floats(weight, "weight", 4)
    kernel = tensor.shape[-1]
    if tensor.numel() == 0 or tensor.shape[-2] != kernel or kernel % 2 == 0:
        raise ValueError(f"weight must be [num_context, num_channels, k, k] with k odd, got {tuple(tensor.shape)}")
    before = torch.arange(kernel * kernel).view(kernel, kernel) < kernel * kernel // 2
    return _weights(torch.where(before, tensor, tensor.new_zeros(())), "weight", 4)


def _layer(index: int, layer: Any, num_inputs: int | None) -> tuple[Tensor, Tensor, float | None]:
    if not isinstance(layer, Sequence) or len(layer) != 3:
        raise TypeError(f"layer {index} must be (weight, bias, negative_slope or None)")
    weight, bias, slope = layer
    matrix = _weights(weight, f"the weight of layer {index}", 2)
    if num_inputs is not None and matrix.shape[1] != num_inputs:
        raise ValueError(f"layer {index} must take {num_inputs} inputs, got a weight of shape {tuple(matrix.shape)}")
    if slope is not None and not np.isfinite(slope):
        raise ValueError(f"the negative_slope of layer {index} must be finite, got {slope!r}")
    return matrix, _bias(bias, f"the bias of layer {index}", len(matrix)), None if slope is None else float(slope)


class ContextNetwork:
    """A context model's networks, their weights laid out for the core. Immutable; any number of threads may share it.

    Parameters
    ----------
    weight : float32 tensor [num_context, num_channels, k, k], k odd
        The masked convolution's weight. It is masked here (type A): only taps before the centre count.
    bias : float32 tensor [num_context], or None for zeros
    layers : sequence of (weight, bias, negative_slope)
        The 1x1 convolutions behind it, at least one: weight float32 [num_outputs, num_inputs], bias [num_outputs] or
        None, and the slope of the LeakyReLU that follows, or None where none does. The first takes params, then the
        context; the last gives 2 * num_channels outputs: scales, then means.
    num_params : int
        Channels of params, which come first among the first layer's inputs.
    sums : sequence of sequences of SumOrder, or None
        For the convolution (inputs by taps, then channels) and each layer the orders in which its outputs add up; by
        default our own, which is the same everywhere.

    Raises
    ------
    ValueError, TypeError
        Shapes do not fit together, a weight is not finite or not a CPU tensor of float32.

    Notes
    -----
    Takes a copy of the weights, O(their size). The GIL is released while coding.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        layers: Sequence[tuple[Tensor, Tensor | None, float | None]],
        num_params: int,
        sums: Sequence[Sequence[SumOrder]] | None = None,
    ) -> None:
        masked = _masked(weight)
        num_context, self.num_channels = masked.shape[:2]
        if isinstance(num_params, bool) or not isinstance(num_params, int) or num_params < 0:
            raise ValueError(f"num_params must be an int, 0 or more, got {num_params!r}")
        self.num_params = num_params
        if len(layers) == 0:
            raise ValueError("there must be at least one layer")
        prepared = []
        width = num_params + num_context
        for index, layer in enumerate(layers):
            prepared.append(_layer(index, layer, width))
            width = len(prepared[-1][0])
        if width != 2 * self.num_channels:
            raise ValueError(f"the last layer must give {2 * self.num_channels} outputs, got {width}")
        self._core = _core.ContextNetwork(
            as_floats(masked),
            as_floats(_bias(bias, "bias", num_context)),
            [(as_floats(matrix), as_floats(offsets), slope) for matrix, offsets, slope in prepared],
            [[(order.outputs, order.inputs, order.steps) for order in orders] for orders in sums or ()],
        )

    def predict(
        self, y_hat: Tensor, params: Tensor, *, threads: int = 1, rate: ContextRate = UNIT_RATE
    ) -> tuple[Tensor, Tensor]:
        """What the networks say of every position, given the latents before it; scales are not yet times the gain.

        Parameters
        ----------
        y_hat : float32 tensor [B, num_channels, H, W], not empty
        params : float32 tensor [B, num_params, H, W]
        threads : how many may work at once, 1 to 256

        Returns
        -------
        scales, means : float32 tensors of the shape of ``y_hat``, views of one new tensor

        Raises
        ------
        ValueError, TypeError
            Arguments do not fit.
        """
        latent, context = floats(y_hat, "y_hat", 4), floats(params, "params", 4)
        check_threads(threads)
        distributions = torch.empty((len(latent), 2 * self.num_channels, *latent.shape[2:]), dtype=torch.float32)
        self._core.predict(as_floats(latent), as_floats(context), rate.arrays(), distributions.numpy(), threads)
        scales, means = distributions.chunk(2, 1)
        return scales, means

    def encode(
        self,
        y: Tensor,
        params: Tensor,
        scale_table: Tensor,
        scale_bound: float | Tensor | None,
        table: CdfTable,
        *,
        threads: int = 1,
        order: str = "raster",
        rate: ContextRate = UNIT_RATE,
    ) -> tuple[list[bytes], Tensor]:
        """Quantize latents about their predicted means and code the symbols.

        Parameters
        ----------
        y : float32 tensor [B, num_channels, H, W], not empty
        params : float32 tensor [B, num_params, H, W]
        scale_table : float32 tensor, ascending, of no more scales than ``table`` has tables
        scale_bound : number, tensor of one, or None: scales below it count as it. A NaN scale selects the last table
        table : CdfTable
        threads : how many may work at once, 1 to 256; the result does not depend on it
        order : the order of symbols in a stream, channels innermost. ``"raster"`` is CompressAI's; ``"wavefront"``, by
            ``w + (k + 1) / 2 * h``, lets the decoder take many positions at once
        rate : of a variable-rate model

        Returns
        -------
        strings, y_hat : one rans64 stream for every item, and the decoded latents, a new tensor of the shape of ``y``

        Raises
        ------
        ValueError
            Arguments do not fit, or a latent less its mean is not finite or rounds beyond int32: one such is named.
        """
        latent = floats(y, "y", 4)
        context, how = self._arguments(params, scale_table, scale_bound, table, threads, order)
        if latent.numel() == 0 or latent.shape[1] != self.num_channels:
            raise ValueError(f"y must be [B, {self.num_channels}, H, W] and not empty, got {tuple(latent.shape)}")
        if context.shape[0] != latent.shape[0] or context.shape[2:] != latent.shape[2:]:
            raise ValueError(f"y and params must have one batch and size, got {tuple(y.shape)}, {tuple(params.shape)}")
        y_hat = torch.empty(latent.shape, dtype=torch.float32)
        latents, contexts = as_floats(latent), as_floats(context)
        return self._core.encode(latents, contexts, *how, rate.arrays(), y_hat.numpy(), threads), y_hat

    def decode(
        self,
        strings: Sequence[Any],
        params: Tensor,
        scale_table: Tensor,
        scale_bound: float | Tensor | None,
        table: CdfTable,
        *,
        threads: int = 1,
        order: str = "raster",
        rate: ContextRate = UNIT_RATE,
    ) -> Tensor:
        """Inverse of :meth:`encode`: the same ``y_hat``, bit for bit.

        Parameters
        ----------
        strings : sequence of B bytes-like streams
        params, scale_table, scale_bound, table, order, rate : as given to :meth:`encode`
        threads : how many may work at once, 1 to 256

        Returns
        -------
        New float32 tensor [B, num_channels, H, W].

        Raises
        ------
        BitstreamError
            A stream is short, long or damaged, or was made with other networks, params or tables.
        ValueError, TypeError
            The caller's arguments are at fault.
        """
        context, how = self._arguments(params, scale_table, scale_bound, table, threads, order)
        if context.shape[0] == 0 or context.shape[2] == 0 or context.shape[3] == 0:
            raise ValueError(f"params must not be empty, got shape {tuple(context.shape)}")
        if len(strings) != len(context):
            raise ValueError(f"there must be one stream for each of {len(context)} items, got {len(strings)}")
        data = [np.frombuffer(as_bytes(string), dtype=np.uint8) for string in strings]
        y_hat = torch.empty((len(context), self.num_channels, *context.shape[2:]), dtype=torch.float32)
        self._core.decode(data, as_floats(context), *how, rate.arrays(), y_hat.numpy(), threads)
        return y_hat

    def _arguments(
        self,
        params: Tensor,
        scale_table: Tensor,
        scale_bound: float | Tensor | None,
        table: CdfTable,
        threads: int,
        order: str,
    ) -> tuple[Tensor, tuple[Any, float, Any, bool]]:
        """Params, and what the core is told besides: scales, their bound, tables, and whether in wavefront order."""
        context, scales = floats(params, "params", 4), floats(scale_table, "scale_table", 1)
        if not isinstance(table, CdfTable):
            raise TypeError(f"table must be a CdfTable, got {type(table).__name__}")
        check_threads(threads)
        bound = check_scales(scales, scale_bound)
        if len(scales) > table.num_tables:
            raise ValueError(f"scale_table must have at most {table.num_tables} scales, got {len(scales)}")
        if context.shape[1] != self.num_params:
            raise ValueError(f"params must be [B, {self.num_params}, H, W], got {tuple(context.shape)}")
        if order not in _ORDERS:
            raise ValueError(f"order must be one of {', '.join(_ORDERS)}, got {order!r}")
        return context, (as_floats(scales), bound, table._core, order == "wavefront")
