"""Offset quantization on a GPU: one pass over memory to code, one to decode.

The definition, the shapes and the order of operations are ``offset_quant_ref.py``'s; so are symbols, indexes and
latents, bit for bit: nothing is fused or approximated.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .offset_quant_ref import SYMBOL_LIMITS
from .offset_triton_parts import (
    BLOCK,
    count_beyond,
    launch,
    load,
    offsets_stride,
    plain,
    reconstruct,
    round_half_even,
    rows,
    sizes,
    store,
    strides,
    tables,
)
from .row_layout import common_layout


@triton.jit
def _quantize_kernel(
    latent_ptr, mean_ptr, scale_ptr, gain_ptr, offsets_ptr, thresholds_ptr,  # inputs
    symbols_ptr, indexes_ptr, latent_hat_ptr, unfit_ptr,  # outputs, dense
    num_blocks, size, row_size, num_thresholds, scale_bound, limit,
    latent_batch, latent_row, mean_batch, mean_row, scale_batch, scale_row, offsets_batch,  # strides
    ONE_ROW: tl.constexpr, HAS_MEAN: tl.constexpr, HAS_OFFSETS: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // num_blocks).to(tl.int64)
    element = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    inside = element < size
    latent = load(latent_ptr, batch, element, size, row_size, latent_batch, latent_row, ONE_ROW)
    scale = load(scale_ptr, batch, element, size, row_size, scale_batch, scale_row, ONE_ROW)
    mean = 0.0
    if HAS_MEAN:
        mean = load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
    gain = tl.load(gain_ptr + batch)

    residual = (latent - mean) * gain
    rounded = round_half_even(residual)
    scaled = scale * gain
    index = count_beyond(tl.where(scaled < scale_bound, scale_bound, scaled), thresholds_ptr, num_thresholds, LEVELS)
    offset = 0.0
    if HAS_OFFSETS:
        offset = tl.load(offsets_ptr + batch * offsets_batch + index)
    fits = (rounded >= -limit) & (rounded < limit)
    if tl.max((inside & ~fits).to(tl.int32)) > 0:
        tl.store(unfit_ptr, 1)

    out = batch * size + element
    tl.store(symbols_ptr + out, tl.where(fits, rounded, 0.0).to(tl.int32), mask=inside)
    tl.store(indexes_ptr + out, index, mask=inside)
    store(latent_hat_ptr + out, reconstruct(rounded, gain, offset) + mean, inside)


@triton.jit
def _dequantize_kernel(
    symbols_ptr, indexes_ptr, mean_ptr, gain_ptr, offsets_ptr,  # inputs
    latent_hat_ptr,  # output, dense
    num_blocks, size, row_size,
    symbols_batch, symbols_row, indexes_batch, indexes_row, mean_batch, mean_row, offsets_batch,  # strides
    ONE_ROW: tl.constexpr, HAS_MEAN: tl.constexpr, HAS_OFFSETS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // num_blocks).to(tl.int64)
    element = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    symbols = load(symbols_ptr, batch, element, size, row_size, symbols_batch, symbols_row, ONE_ROW)
    mean = 0.0
    if HAS_MEAN:
        mean = load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
    offset = 0.0
    if HAS_OFFSETS:
        index = load(indexes_ptr, batch, element, size, row_size, indexes_batch, indexes_row, ONE_ROW).to(tl.int32)
        offset = tl.load(offsets_ptr + batch * offsets_batch + index)
    latent_hat = reconstruct(symbols, tl.load(gain_ptr + batch), offset) + mean
    store(latent_hat_ptr + batch * size + element, latent_hat, element < size)


def quantize(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: Tensor,
    offsets: Tensor | None,
    scale_table: Tensor,
    scale_bound: float,
    symbol_dtype: torch.dtype,
) -> tuple[Tensor, Tensor, Tensor, bool]:
    """As the definition; waits for the GPU to say whether all symbols fit."""
    layout = common_layout(latent, mean, scale)
    symbols = layout.empty(symbol_dtype, latent.device)
    indexes = layout.empty(torch.uint8, latent.device)
    latent_hat = layout.empty(latent.dtype, latent.device)
    unfit = torch.zeros(1, dtype=torch.int32, device=latent.device)
    inputs = rows(layout, latent, mean, scale)
    launch(
        _quantize_kernel, layout, BLOCK,
        *inputs, plain(gain), *tables(offsets, scale_table),
        symbols, indexes, latent_hat, unfit,
        *sizes(layout, BLOCK), len(scale_table) - 1, scale_bound, SYMBOL_LIMITS[symbol_dtype],
        *strides(inputs), offsets_stride(offsets),
        ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, HAS_OFFSETS=offsets is not None,
        LEVELS=(len(scale_table) - 1).bit_length(), BLOCK=BLOCK,
    )  # fmt: skip
    return symbols, indexes, latent_hat, not unfit.item()


def dequantize(
    symbols: Tensor, indexes: Tensor, mean: Tensor | None, gain: Tensor, offsets: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """As the definition. Requires: indexes below the number of offsets."""
    layout = common_layout(symbols, indexes, mean)
    latent_hat = layout.empty(dtype, symbols.device)
    inputs = rows(layout, symbols, indexes, mean)
    launch(
        _dequantize_kernel, layout, BLOCK,
        *inputs, plain(gain), plain(gain if offsets is None else offsets), latent_hat,
        *sizes(layout, BLOCK), *strides(inputs), offsets_stride(offsets),
        ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, HAS_OFFSETS=offsets is not None, BLOCK=BLOCK,
    )  # fmt: skip
    return latent_hat
