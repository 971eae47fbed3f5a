"""What both entropy models share: tables, quantization, and the coding of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.arrays import broadcasts
from scalecodec.cdf import CdfTable
from scalecodec.layers import LowerBound
from scalecodec.quantize import dequantize_, to_symbols
from scalecodec.streams import RANS64, Stream

TABLE_BUFFERS = ("_offset", "_quantized_cdf", "_cdf_length")
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
        self._prepared: tuple[list[tuple[Tensor, int]], CdfTable] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": None}

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
        buffers = (self._quantized_cdf, self._cdf_length, self._offset)
        if buffers[0].numel() == 0:
            raise ValueError("Uninitialized CDFs. Run update() first")
        # Tensors made in inference mode count no versions, but every way to fill them makes new ones.
        versions = [0 if buffer.is_inference() else buffer._version for buffer in buffers]
        if self._prepared is None or not all(
            buffer is old and version == seen
            for buffer, version, (old, seen) in zip(buffers, versions, self._prepared[0], strict=True)
        ):
            table = CdfTable.from_cdf(*(buffer.detach().cpu().numpy() for buffer in buffers))
            # The tensors, not their addresses: those of freed ones come back.
            self._prepared = (list(zip(buffers, versions, strict=True)), table)
        return self._prepared[1]

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
        if inputs.dim() < 2:
            raise ValueError("Invalid `inputs` size. Expected a tensor with at least 2 dimensions.")
        if inputs.shape != indexes.shape:
            raise ValueError("`inputs` and `indexes` should have the same size.")
        if means is not None and not broadcasts(means.shape, inputs.shape):
            raise ValueError(f"`means` of shape {tuple(means.shape)} do not fit `inputs` of {tuple(inputs.shape)}")
        symbols = to_symbols(inputs, means, gain=gain).cpu()
        return stream.encode_batch(list(symbols), list(indexes.detach().cpu()), self.table)

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
        if not isinstance(strings, tuple | list):
            raise ValueError("Invalid `strings` parameter type.")
        if len(strings) != indexes.size(0):
            raise ValueError("Invalid strings or indexes parameters")
        if indexes.dim() < 2:
            raise ValueError("Invalid `indexes` size. Expected a tensor with at least 2 dimensions.")
        if means is not None and (
            means.shape[:2] != indexes.shape[:2]
            or means.dim() != indexes.dim()
            or any(m not in (1, i) for m, i in zip(means.shape[2:], indexes.shape[2:], strict=True))
        ):
            raise ValueError("Invalid means or indexes parameters")
        symbols = torch.empty(indexes.shape, dtype=torch.int32)
        stream.decode_batch(strings, list(indexes.cpu()), self.table, list(symbols))
        symbols = symbols.to(indexes.device)
        if means is not None:
            return dequantize_(symbols, means, gain=gain)
        return symbols.to(dtype) if gain == 1 else symbols.to(dtype) / gain
