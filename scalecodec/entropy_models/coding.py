"""Tables from a model's buffers, and the coding of a batch with them: what ours and CompressAI's models share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scalecodec.arrays import broadcasts
from scalecodec.cdf import CdfTable
from scalecodec.quantize import dequantize_
from scalecodec.streams import Stream

from .remade import Remade

TABLE_BUFFERS = ("_offset", "_quantized_cdf", "_cdf_length")


class PreparedTable(Remade[CdfTable]):
    """The prepared table of an entropy model's three buffers."""

    def of(self, model: Any) -> CdfTable:
        """The validated table of the present buffers of ``model``.

        Raises
        ------
        ValueError
            ``update()`` has not been run.
        TableError
            The buffers (from a checkpoint, say) are no valid tables.
        """
        if model._quantized_cdf.numel() == 0:
            raise ValueError("Uninitialized CDFs. Run update() first")
        buffers = [getattr(model, name) for name in TABLE_BUFFERS]
        # Copies: a tensor that NumPy has looked into cannot be resized any more, and CompressAI does that.
        return self.get(buffers, lambda: _prepare(*(buffer.detach().cpu().clone().numpy() for buffer in buffers)))


def _prepare(offset: Any, cdf: Any, cdf_length: Any) -> CdfTable:
    return CdfTable.from_cdf(cdf, cdf_length, offset)


def check_inputs(inputs: Tensor, indexes: Tensor, means: Tensor | None) -> None:
    """Raise ValueError unless these are latents, with an index each and means that spread to them."""
    if inputs.dim() < 2:
        raise ValueError("Invalid `inputs` size. Expected a tensor with at least 2 dimensions.")
    if inputs.shape != indexes.shape:
        raise ValueError("`inputs` and `indexes` should have the same size.")
    if means is not None and not broadcasts(means.shape, inputs.shape):
        raise ValueError(f"`means` of shape {tuple(means.shape)} do not fit `inputs` of {tuple(inputs.shape)}")


def encode_symbols(symbols: Tensor, indexes: Tensor, table: CdfTable, stream: Stream, threads: int = 1) -> list[bytes]:
    """One stream for each item of a batch."""
    return stream.encode_batch(list(symbols.cpu()), list(indexes.detach().cpu()), table, threads=threads)


def check_strings(strings: Any, indexes: Tensor, means: Tensor | None) -> None:
    """Raise ValueError unless there is a string for each item of ``indexes``, and ``means`` spread to these."""
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


def decode_symbols(
    strings: Sequence[bytes], indexes: Tensor, table: CdfTable, stream: Stream, threads: int = 1
) -> Tensor:
    """The symbols of a batch: new int32 tensor, of the shape and on the device of ``indexes``."""
    symbols = torch.empty(indexes.shape, dtype=torch.int32)
    stream.decode_batch(strings, list(indexes.cpu()), table, outs=list(symbols), threads=threads)
    return symbols.to(indexes.device)


def to_latents(symbols: Tensor, dtype: torch.dtype, means: Tensor | None, gain: float = 1.0) -> Tensor:
    """``symbols / gain + means``, in the memory of ``symbols`` where that serves."""
    if means is not None:
        return dequantize_(symbols, means, gain=gain)
    return symbols.to(dtype) if gain == 1 else symbols.to(dtype) / gain
