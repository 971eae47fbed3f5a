"""Offset quantization on a GPU: one pass over memory each for coding, for a training step, and for its gradients.

The definition, the shapes and the order of operations are ``offset_quant_ref.py``'s; so are symbols, indexes and
latents, bit for bit: nothing is fused or approximated. What the offsets' gradients are summed of is summed in an order
of its own, which is the same every time.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from .row_layout import RowLayout, common_layout

_BLOCK = 1024
_TABLE_BLOCK = 128  # elements that meet all tables at once: a tile of 128 x 64
_BLOCKS_PER_PROGRAM = 64  # of the offsets' gradient: as many fewer sums to add up in the end
_EXACT = {"enable_fp_fusion": False}
_LIMITS = {torch.int8: 2.0**7, torch.int16: 2.0**15, torch.int32: 2.0**31}


@triton.jit
def _round_half_even(x):
    """2^23 has no fraction bits to spare. What is larger is whole already."""
    size = tl.abs(x)
    rounded = tl.where(size < 8388608.0, (size + 8388608.0) - 8388608.0, size)
    return tl.where(x < 0, -rounded, rounded)


@triton.jit
def _load(ptr, batch, element, size, row_size, batch_stride, row_stride, ONE_ROW: tl.constexpr):
    """Elements of an item, 0 beyond its end."""
    place = element
    if not ONE_ROW:
        place = element // row_size * row_stride + element % row_size
    return tl.load(ptr + batch * batch_stride + place, mask=element < size, other=0.0).to(tl.float32)


@triton.jit
def _store(ptr, value, mask):
    """Float32 in the pointer's type, half to even: the interpreter would cut bfloat16 off, a GPU would not."""
    if ptr.dtype.element_ty == tl.bfloat16:
        bits = value.to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        value = tl.where(value == value, bits.to(tl.float32, bitcast=True), value)
    tl.store(ptr, value, mask=mask)


@triton.jit
def _count_beyond(bounded, thresholds_ptr, num_thresholds, LEVELS: tl.constexpr):
    """How many thresholds ``bounded`` is not at or below: a binary search, the same decisions for all."""
    index = tl.zeros_like(bounded).to(tl.int32)
    for level in tl.static_range(LEVELS):
        half = 1 << (LEVELS - 1 - level)
        probe = index + half - 1
        threshold = tl.load(thresholds_ptr + probe, mask=probe < num_thresholds, other=float("inf"))
        index += tl.where(bounded <= threshold, 0, half)
    return tl.minimum(index, num_thresholds)  # NaN is at or below nothing


@triton.jit
def _reconstruct(rounded, gain, offset):
    size = tl.where(rounded == 0, 0.0, tl.abs(rounded) - offset)
    return tl.div_rn(tl.where(rounded < 0, -size, size), gain)


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
    latent = _load(latent_ptr, batch, element, size, row_size, latent_batch, latent_row, ONE_ROW)
    scale = _load(scale_ptr, batch, element, size, row_size, scale_batch, scale_row, ONE_ROW)
    mean = 0.0
    if HAS_MEAN:
        mean = _load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
    gain = tl.load(gain_ptr + batch)

    residual = (latent - mean) * gain
    rounded = _round_half_even(residual)
    scaled = scale * gain
    index = _count_beyond(tl.where(scaled < scale_bound, scale_bound, scaled), thresholds_ptr, num_thresholds, LEVELS)
    offset = 0.0
    if HAS_OFFSETS:
        offset = tl.load(offsets_ptr + batch * offsets_batch + index)
    fits = (rounded >= -limit) & (rounded < limit)
    if tl.max((inside & ~fits).to(tl.int32)) > 0:
        tl.store(unfit_ptr, 1)

    out = batch * size + element
    tl.store(symbols_ptr + out, tl.where(fits, rounded, 0.0).to(tl.int32), mask=inside)
    tl.store(indexes_ptr + out, index, mask=inside)
    _store(latent_hat_ptr + out, _reconstruct(rounded, gain, offset) + mean, inside)


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
    symbols = _load(symbols_ptr, batch, element, size, row_size, symbols_batch, symbols_row, ONE_ROW)
    mean = 0.0
    if HAS_MEAN:
        mean = _load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
    offset = 0.0
    if HAS_OFFSETS:
        index = _load(indexes_ptr, batch, element, size, row_size, indexes_batch, indexes_row, ONE_ROW).to(tl.int32)
        offset = tl.load(offsets_ptr + batch * offsets_batch + index)
    latent_hat = _reconstruct(symbols, tl.load(gain_ptr + batch), offset) + mean
    _store(latent_hat_ptr + batch * size + element, latent_hat, element < size)


@triton.jit
def _simulate_kernel(
    latent_ptr, mean_ptr, scale_ptr, gain_ptr, offsets_ptr, thresholds_ptr, noise_ptr,  # inputs
    noisy_ptr, bounded_ptr, latent_hat_ptr, indexes_ptr,  # outputs, dense
    num_blocks, size, row_size, num_thresholds, scale_bound,
    latent_batch, latent_row, mean_batch, mean_row, scale_batch, scale_row, noise_batch, noise_row, offsets_batch,
    ONE_ROW: tl.constexpr, HAS_MEAN: tl.constexpr, HAS_OFFSETS: tl.constexpr, LEVELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // num_blocks).to(tl.int64)
    element = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    inside = element < size
    latent = _load(latent_ptr, batch, element, size, row_size, latent_batch, latent_row, ONE_ROW)
    scale = _load(scale_ptr, batch, element, size, row_size, scale_batch, scale_row, ONE_ROW)
    noise = _load(noise_ptr, batch, element, size, row_size, noise_batch, noise_row, ONE_ROW)
    mean = 0.0
    if HAS_MEAN:
        mean = _load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
    gain = tl.load(gain_ptr + batch)

    residual = (latent - mean) * gain
    scaled = scale * gain
    bounded = tl.where(scaled < scale_bound, scale_bound, scaled)
    index = _count_beyond(bounded, thresholds_ptr, num_thresholds, LEVELS)
    offset = 0.0
    if HAS_OFFSETS:
        offset = tl.load(offsets_ptr + batch * offsets_batch + index)

    out = batch * size + element
    tl.store(noisy_ptr + out, residual + noise, mask=inside)
    tl.store(bounded_ptr + out, bounded, mask=inside)
    latent_hat = _reconstruct(_round_half_even(residual), gain, offset) + mean
    _store(latent_hat_ptr + out, latent_hat, inside)
    tl.store(indexes_ptr + out, index, mask=inside)


@triton.jit
def _backward_kernel(
    grad_noisy_ptr, grad_bounded_ptr, grad_latent_hat_ptr, scale_ptr, gain_ptr,  # inputs
    grad_latent_ptr, grad_mean_ptr, grad_scale_ptr,  # outputs, dense
    num_blocks, size, row_size, scale_bound,
    noisy_batch, noisy_row, bounded_batch, bounded_row, hat_batch, hat_row, scale_batch, scale_row,
    ONE_ROW: tl.constexpr, HAS_MEAN: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // num_blocks).to(tl.int64)
    element = tl.program_id(0) % num_blocks * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    inside = element < size
    from_hat = _load(grad_latent_hat_ptr, batch, element, size, row_size, hat_batch, hat_row, ONE_ROW)
    grad_noisy = _load(grad_noisy_ptr, batch, element, size, row_size, noisy_batch, noisy_row, ONE_ROW)
    grad_bounded = _load(grad_bounded_ptr, batch, element, size, row_size, bounded_batch, bounded_row, ONE_ROW)
    scale = _load(scale_ptr, batch, element, size, row_size, scale_batch, scale_row, ONE_ROW)
    gain = tl.load(gain_ptr + batch)

    out = batch * size + element
    from_noisy = grad_noisy * gain
    _store(grad_latent_ptr + out, from_noisy + from_hat, inside)
    if HAS_MEAN:
        _store(grad_mean_ptr + out, -from_noisy, inside)
    passes = (scale * gain >= scale_bound) | (grad_bounded < 0)
    _store(grad_scale_ptr + out, tl.where(passes, grad_bounded * gain, 0.0), inside)


@triton.jit
def _offsets_backward_kernel(
    grad_latent_hat_ptr, latent_ptr, mean_ptr, gain_ptr, indexes_ptr,  # inputs; indexes dense
    partial_ptr,  # [B, num_blocks, num_tables]
    num_blocks, size, row_size, num_tables,
    hat_batch, hat_row, latent_batch, latent_row, mean_batch, mean_row,
    ONE_ROW: tl.constexpr, HAS_MEAN: tl.constexpr, TABLES: tl.constexpr,
    BLOCK: tl.constexpr, INNER_BLOCKS: tl.constexpr,
):  # fmt: skip
    batch = (tl.program_id(0) // num_blocks).to(tl.int64)
    gain = tl.load(gain_ptr + batch)
    tables = tl.arange(0, TABLES)  # [TABLES]
    total = tl.zeros([TABLES], dtype=tl.float32)
    for block in range(INNER_BLOCKS):
        element = (tl.program_id(0) % num_blocks * INNER_BLOCKS + block) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
        inside = element < size
        grad = _load(grad_latent_hat_ptr, batch, element, size, row_size, hat_batch, hat_row, ONE_ROW)
        latent = _load(latent_ptr, batch, element, size, row_size, latent_batch, latent_row, ONE_ROW)
        mean = 0.0
        if HAS_MEAN:
            mean = _load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
        index = tl.load(indexes_ptr + batch * size + element, mask=inside, other=0).to(tl.int32)
        rounded = _round_half_even((latent - mean) * gain)
        each = tl.div_rn(tl.where(rounded < 0, grad, -grad), gain)
        each = tl.where(inside & (rounded != 0), each, 0.0)
        total += tl.sum(tl.where(index[:, None] == tables[None, :], each[:, None], 0.0), axis=0)
    row = tl.program_id(0).to(tl.int64)
    tl.store(partial_ptr + row * num_tables + tables, total, mask=tables < num_tables)


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
    inputs = _rows(layout, latent, mean, scale)
    if latent.numel():
        _quantize_kernel[_grid(layout, _BLOCK)](
            *inputs, _plain(gain), *_tables(offsets, scale_table),
            symbols, indexes, latent_hat, unfit,
            *_sizes(layout, _BLOCK), len(scale_table) - 1, scale_bound, _LIMITS[symbol_dtype],
            *_strides(inputs), _offsets_stride(offsets),
            ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, HAS_OFFSETS=offsets is not None,
            LEVELS=(len(scale_table) - 1).bit_length(), BLOCK=_BLOCK,
            **_EXACT,
        )  # fmt: skip
    return symbols, indexes, latent_hat, not unfit.item()


def dequantize(
    symbols: Tensor, indexes: Tensor, mean: Tensor | None, gain: Tensor, offsets: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """As the definition. Requires: indexes below the number of offsets."""
    layout = common_layout(symbols, indexes, mean)
    latent_hat = layout.empty(dtype, symbols.device)
    inputs = _rows(layout, symbols, indexes, mean)
    if symbols.numel():
        _dequantize_kernel[_grid(layout, _BLOCK)](
            *inputs, _plain(gain), _plain(gain if offsets is None else offsets), latent_hat,
            *_sizes(layout, _BLOCK), *_strides(inputs), _offsets_stride(offsets),
            ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, HAS_OFFSETS=offsets is not None, BLOCK=_BLOCK,
            **_EXACT,
        )  # fmt: skip
    return latent_hat


def simulate(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: Tensor,
    offsets: Tensor | None,
    scale_table: Tensor,
    scale_bound: float,
    noise: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """As the definition."""
    layout = common_layout(latent, mean, scale, noise)
    noisy = layout.empty(torch.float32, latent.device)
    bounded = layout.empty(torch.float32, latent.device)
    latent_hat = layout.empty(latent.dtype, latent.device)
    indexes = layout.empty(torch.uint8, latent.device)
    inputs, (noise_rows,) = _rows(layout, latent, mean, scale), _rows(layout, noise)
    if latent.numel():
        _simulate_kernel[_grid(layout, _BLOCK)](
            *inputs, _plain(gain), *_tables(offsets, scale_table), noise_rows,
            noisy, bounded, latent_hat, indexes,
            *_sizes(layout, _BLOCK), len(scale_table) - 1, scale_bound,
            *_strides(inputs), *_strides([noise_rows]), _offsets_stride(offsets),
            ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, HAS_OFFSETS=offsets is not None,
            LEVELS=(len(scale_table) - 1).bit_length(), BLOCK=_BLOCK,
            **_EXACT,
        )  # fmt: skip
    return noisy, bounded, latent_hat, indexes


def simulate_backward(
    grad_noisy: Tensor,
    grad_bounded: Tensor,
    grad_latent_hat: Tensor,
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: Tensor,
    offsets: Tensor | None,
    indexes: Tensor,
    scale_bound: float,
) -> tuple[Tensor, Tensor | None, Tensor, Tensor | None]:
    """As the definition."""
    layout = common_layout(latent, mean, scale, grad_noisy, grad_bounded, grad_latent_hat)
    grad_latent = layout.empty(latent.dtype, latent.device)
    grad_mean = None if mean is None else layout.empty(mean.dtype, latent.device)
    grad_scale = layout.empty(scale.dtype, latent.device)
    inputs = _rows(layout, grad_noisy, grad_bounded, grad_latent_hat, scale)
    if latent.numel():
        _backward_kernel[_grid(layout, _BLOCK)](
            *inputs, _plain(gain), grad_latent, grad_latent if grad_mean is None else grad_mean, grad_scale,
            *_sizes(layout, _BLOCK), scale_bound, *_strides(inputs),
            ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, BLOCK=_BLOCK, **_EXACT,
        )  # fmt: skip
    if offsets is None:
        return grad_latent, grad_mean, grad_scale, None
    each = _offsets_backward(layout, grad_latent_hat, latent, mean, gain, indexes, offsets.shape[1])
    return grad_latent, grad_mean, grad_scale, each.sum(0, keepdim=True) if len(offsets) != len(each) else each


def _offsets_backward(
    layout: RowLayout,
    grad_latent_hat: Tensor,
    latent: Tensor,
    mean: Tensor | None,
    gain: Tensor,
    indexes: Tensor,
    num_tables: int,
) -> Tensor:
    """Gradients of every item's offsets, [B, num_tables]."""
    inner_blocks = min(_BLOCKS_PER_PROGRAM, max(1, triton.cdiv(layout.num_rows * layout.row_size, _TABLE_BLOCK)))
    span = _TABLE_BLOCK * triton.next_power_of_2(inner_blocks)  # few values, so few compilations
    partial = torch.zeros(len(latent), _sizes(layout, span)[0], num_tables, device=latent.device)
    inputs = _rows(layout, grad_latent_hat, latent, mean)
    if latent.numel():
        _offsets_backward_kernel[_grid(layout, span)](
            *inputs, _plain(gain), layout.view(indexes).contiguous(), partial,
            *_sizes(layout, span), num_tables, *_strides(inputs),
            ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None,
            TABLES=triton.next_power_of_2(num_tables), BLOCK=_TABLE_BLOCK,
            INNER_BLOCKS=triton.next_power_of_2(inner_blocks), **_EXACT,
        )  # fmt: skip
    return partial.sum(1)


def _rows(layout: RowLayout, first: Tensor, *others: Tensor | None) -> list[Tensor]:
    """All in the layout; the first stands for one that is missing, which a kernel does not look at."""
    view = layout.view(first)
    return [view, *(view if tensor is None else layout.view(tensor) for tensor in others)]


def _strides(views: list[Tensor]) -> list[int]:
    return [stride for view in views for stride in view.stride()[:2]]


def _tables(offsets: Tensor | None, scale_table: Tensor) -> tuple[Tensor, Tensor]:
    scale_table = _plain(scale_table)
    return scale_table if offsets is None else _plain(offsets), scale_table


def _offsets_stride(offsets: Tensor | None) -> int:
    return 0 if offsets is None or len(offsets) == 1 else offsets.shape[1]


def _plain(tensor: Tensor) -> Tensor:
    return tensor.float().contiguous()


def _sizes(layout: RowLayout, block: int) -> tuple[int, int, int]:
    """Programs an item, elements an item, elements a row."""
    size = layout.num_rows * layout.row_size
    return triton.cdiv(size, block), size, layout.row_size


def _grid(layout: RowLayout, block: int) -> tuple[int]:
    return (layout.shape[0] * _sizes(layout, block)[0],)
