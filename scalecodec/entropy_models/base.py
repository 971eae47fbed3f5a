"""What both entropy models share: tables, quantization, and the coding of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.cdf import CdfTable
from scalecodec.layers import LowerBound
from scalecodec.quantize import to_symbols
from scalecodec.streams import RANS64, Stream

from . import coding
from .coding import TABLE_BUFFERS

_LIKELIHOOD_BOUND = 1e-9


class EntropyModel(nn.Module):
    """What both models share: the three table buffers, the prepared table, and coding of a batch.

    Buffers (int32, empty until ``update``): ``_quantized_cdf`` [num_tables, max_length], ``_cdf_length`` [num_tables],
    ``_offset`` [num_tables].
    """

    _offset: Tensor
    _quantized_cdf: Tensor
    _cdf_length: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.likelihood_lower_bound = LowerBound(_LIKELIHOOD_BOUND)
        for name in TABLE_BUFFERS:
            self.register_buffer(name, torch.IntTensor())
        self._prepared = coding.PreparedTable()

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any) -> None:
        # The tables' sizes depend on the weights: take the checkpoint's.
        for name in (*TABLE_BUFFERS, "scale_table"):
            source = state_dict.get(prefix + name)
            if source is not None and hasattr(self, name):
                setattr(self, name, torch.empty_like(getattr(self, name)).resize_(source.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def table(self) -> CdfTable:
        """The prepared, validated table of the present buffers; rebuilt only when these change.

        Raises
        ------
        ValueError
            ``update()`` has not been run.
        TableError
            The buffers (from a checkpoint, say) are no valid tables.
        """
        return self._prepared.of(self)

    def _set_table(self, table: CdfTable) -> None:
        device = self._offset.device
        for name, array in zip(TABLE_BUFFERS, (table.offset, table.cdf, table.cdf_length), strict=True):
            setattr(self, name, torch.from_numpy(array.copy()).to(device))

    def quantize(self, inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
        """``inputs`` with uniform noise ("noise"), rounded about ``means`` ("dequantize"), or as int32 ("symbols")."""
        if mode == "noise":
            return inputs + torch.empty_like(inputs).uniform_(-0.5, 0.5)
        if mode == "symbols":
            return to_symbols(inputs, means)
        if mode == "dequantize":
            rounded = torch.round(inputs if means is None else inputs - means)
            return rounded if means is None else rounded + means
        raise ValueError(f'Invalid quantization mode: "{mode}"')

    @staticmethod
    def dequantize(inputs: Tensor, means: Tensor | None = None, dtype: torch.dtype = torch.float) -> Tensor:
        """Symbols to values: ``inputs + means``, in the dtype of ``means`` if given, else in ``dtype``."""
        return inputs.to(dtype) if means is None else inputs.to(means.dtype) + means

    def compress(
        self,
        inputs: Tensor,
        indexes: Tensor,
        means: Tensor | None = None,
        *,
        gain: float = 1.0,
        stream: Stream = RANS64,
    ) -> list[bytes]:
        """One stream per batch item, of the kind that ``stream`` says; by default CompressAI's very bytes.

        Parameters
        ----------
        inputs, indexes : float and int tensors of one shape [B, ...]
        means : float tensor, broadcastable to ``inputs``
        gain : 1 / step; ``round((inputs - means) * gain)`` is coded

        Raises
        ------
        ValueError
            Shapes differ, values are not finite or beyond int32, an index is out of range, or ``update`` was not run.
        TypeError
            ``indexes`` are no integers.
        """
        coding.check_inputs(inputs, indexes, means)
        return coding.encode_symbols(to_symbols(inputs, means, gain=gain), indexes, self.table, stream)

    def decompress(
        self,
        strings: Sequence[bytes],
        indexes: Tensor,
        dtype: torch.dtype = torch.float,
        means: Tensor | None = None,
        *,
        gain: float = 1.0,
        stream: Stream = RANS64,
    ) -> Tensor:
        """Inverse of :meth:`compress`: ``symbols / gain + means``, of the shape and on the device of ``indexes``.

        In the dtype of ``means`` if given, else in ``dtype``.

        Raises
        ------
        ValueError
            Counts or shapes do not fit.
        BitstreamError
            A stream is damaged, short, long, or made with other tables or indexes.
        """
        symbols = self.decode_symbols(strings, indexes, means, stream=stream)
        return coding.to_latents(symbols, dtype, means, gain)

    def decode_symbols(
        self, strings: Sequence[bytes], indexes: Tensor, means: Tensor | None = None, *, stream: Stream = RANS64
    ) -> Tensor:
        """The symbols alone: int32, of the shape and on the device of ``indexes``; errors as of :meth:`decompress`."""
        coding.check_strings(strings, indexes, means)
        return coding.decode_symbols(strings, indexes, self.table, stream)
