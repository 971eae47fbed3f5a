"""A convolution network in integers: the same outputs on every machine, whatever its threads, layouts and libraries.

``scalecodec.kernels.integer_conv_ref`` is the definition; the compiled core computes it on CPUs of every kind, float64
matrix products on other devices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

from scalecodec import _core
from scalecodec.batches import check_threads
from scalecodec.kernels.integer_conv_ref import Layer

from .carried import CARRIER_BITS, CarriedNetwork


class IntegerNetwork:
    """Layers of integers, proved when they are taken: no sum of theirs can overflow, so none depends on its order.

    Parameters
    ----------
    input_limit : inputs are clamped to ``[-input_limit, input_limit]``, at most 32767
    layers : what ``integer_conv_ref`` describes
    table : int32 [65536], what stands for each int16 that the last layer gives, from -32768 on; or None

    Raises
    ------
    ValueError
        A number could overflow, or the layers do not follow each other; the message says which.
    """

    def __init__(self, input_limit: int, layers: Sequence[Layer], table: Tensor | None = None) -> None:
        self.input_limit, self.layers, self.table = input_limit, tuple(layers), table
        self._network = _core.IntegerNetwork(input_limit, self.layers)
        self._carried: dict[torch.device, CarriedNetwork] = {}
        low, high = self.layers[-1].limits
        if table is not None and (low < -(2**15) or high >= 2**15 or table.shape != (2**16,)):
            raise ValueError(f"a table has a number for each int16, and the last layer gives such: {low} to {high}")
        self.id = self._digest()

    @property
    def sum_bits(self) -> list[int]:
        """Bits, sign included, of the largest sum that each layer could come to."""
        return self._network.sum_bits

    def run(self, x: Tensor, threads: int = 1) -> Tensor:
        """Int32 [B, I, H, W] to int32 [B, O, stride * H, stride * W], on the device of ``x``: computed there on a CUDA
        GPU, where float64 can carry every sum.
        """
        check_threads(threads)
        if x.dtype is not torch.int32 or x.dim() != 4 or x.shape[1] != self.layers[0].num_inputs:
            wanted = f"int32 [B, {self.layers[0].num_inputs}, H, W]"
            raise ValueError(f"x must be {wanted}, got {x.dtype} {tuple(x.shape)}")
        carried = x.device.type == "cuda" and x.numel() > 0 and max(self.sum_bits) <= CARRIER_BITS
        if carried:
            if x.device not in self._carried:
                self._carried[x.device] = CarriedNetwork(self.input_limit, self.layers, x.device)
            values = self._carried[x.device].run(x.detach())
        else:
            values = torch.from_numpy(self._network.run(x.detach().cpu().contiguous().numpy(), threads)).to(x.device)
        return values if self.table is None else self.table.to(x.device)[values.long() + 2**15]

    def _digest(self) -> bytes:
        """8 bytes: SHA-256 prefix over all integers, little-endian."""
        digest = hashlib.sha256(self.input_limit.to_bytes(4, "little"))
        for layer in self.layers:
            head = (layer.num_inputs, layer.num_outputs, layer.stride, *layer.limits)
            digest.update(b"".join(number.to_bytes(8, "little", signed=True) for number in head))
            for phase in layer.phases:
                ends = (*phase.weight.shape, *phase.start)
                digest.update(b"".join(int(number).to_bytes(8, "little", signed=True) for number in ends))
                for array in (phase.weight, phase.bias, phase.multiplier, phase.negative, phase.shift):
                    digest.update(array.astype(array.dtype.newbyteorder("<")).tobytes())
        if self.table is not None:
            digest.update(self.table.cpu().numpy().astype("<i4").tobytes())
        return digest.digest()[:8]
