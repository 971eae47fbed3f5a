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

TABLE_BUFFERS = ("_offset", "_quantized_cdf", "_cdf_length")


class PreparedTable:
    """The prepared table of a model's three buffers, made again only when these change; copies start empty."""

    def __init__(self) -> None:
        self._made_of: list[tuple[Tensor, int]] = []
        self._table: CdfTable | None = None

    def __reduce__(self) -> tuple[type[PreparedTable], tuple[()]]:
        return PreparedTable, ()

    def of(self, model: Any) -> CdfTable:
        """The validated table of the present buffers of ``model``.

        Raises
        ------
        ValueError
            ``update()`` has not been run.
        TableError
            The buffers (from a checkpoint, say) are no valid tables.
        """
        buffers = [getattr(model, name) for name in TABLE_BUFFERS]
        if model._quantized_cdf.numel() == 0:
            raise ValueError("Uninitialized CDFs. Run update() first")
        # Tensors made in inference mode count no versions, but every way to fill them makes new ones.
        versions = [0 if buffer.is_inference() else buffer._version for buffer in buffers]
        unchanged = len(self._made_of) == len(buffers) and all(
            buffer is old and version == seen
            for buffer, version, (old, seen) in zip(buffers, versions, self._made_of, strict=True)
        )
        if self._table is None or not unchanged:
            offset, cdf, cdf_length = (buffer.detach().cpu().numpy() for buffer in buffers)
            self._table = CdfTable.from_cdf(cdf, cdf_length, offset)
            # The tensors, not their addresses: those of freed ones come back.
            self._made_of = list(zip(buffers, versions, strict=True))
        return self._table


def check_inputs(inputs: Tensor, indexes: Tensor, means: Tensor | None) -> None:
    """Raise ValueError unless these are latents, with an index each and means that spread to them."""
    if inputs.dim() < 2:
        raise ValueError("Invalid `inputs` size. Expected a tensor with at least 2 dimensions.")
    if inputs.shape != indexes.shape:
        raise ValueError("`inputs` and `indexes` should have the same size.")
    if means is not None and not broadcasts(means.shape, inputs.shape):
        raise ValueError(f"`means` of shape {tuple(means.shape)} do not fit `inputs` of {tuple(inputs.shape)}")


def encode_symbols(symbols: Tensor, indexes: Tensor, table: CdfTable, stream: Stream) -> list[bytes]:
    """One stream for each item of a batch."""
    return stream.encode_batch(list(symbols.cpu()), list(indexes.detach().cpu()), table)


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


def decode_symbols(strings: Sequence[bytes], indexes: Tensor, table: CdfTable, stream: Stream) -> Tensor:
    """The symbols of a batch: new int32 tensor, of the shape and on the device of ``indexes``."""
    symbols = torch.empty(indexes.shape, dtype=torch.int32)
    stream.decode_batch(strings, list(indexes.cpu()), table, list(symbols))
    return symbols.to(indexes.device)


def to_latents(symbols: Tensor, dtype: torch.dtype, means: Tensor | None, gain: float = 1.0) -> Tensor:
    """``symbols / gain + means``, in the memory of ``symbols`` where that serves."""
    if means is not None:
        return dequantize_(symbols, means, gain=gain)
    return symbols.to(dtype) if gain == 1 else symbols.to(dtype) / gain
