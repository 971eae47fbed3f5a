"""A training step of offset quantization on a GPU: one pass over memory forwards, one back.

The definition, the shapes and the order of operations are ``offset_quant_ref.py``'s. What the offsets' gradients are
summed of is summed in an order of its own, which is the same every time.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

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
from .row_layout import RowLayout, common_layout

_TABLE_BLOCK = 128  # elements that meet all tables at once: a tile of 128 x 64
_BLOCKS_PER_PROGRAM = 64  # of the offsets' gradient: as many fewer sums to add up in the end


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
    latent = load(latent_ptr, batch, element, size, row_size, latent_batch, latent_row, ONE_ROW)
    scale = load(scale_ptr, batch, element, size, row_size, scale_batch, scale_row, ONE_ROW)
    noise = load(noise_ptr, batch, element, size, row_size, noise_batch, noise_row, ONE_ROW)
    mean = 0.0
    if HAS_MEAN:
        mean = load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
    gain = tl.load(gain_ptr + batch)

    residual = (latent - mean) * gain
    scaled = scale * gain
    bounded = tl.where(scaled < scale_bound, scale_bound, scaled)
    index = count_beyond(bounded, thresholds_ptr, num_thresholds, LEVELS)
    offset = 0.0
    if HAS_OFFSETS:
        offset = tl.load(offsets_ptr + batch * offsets_batch + index)

    out = batch * size + element
    tl.store(noisy_ptr + out, residual + noise, mask=inside)
    tl.store(bounded_ptr + out, bounded, mask=inside)
    latent_hat = reconstruct(round_half_even(residual), gain, offset) + mean
    store(latent_hat_ptr + out, latent_hat, inside)
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
    from_hat = load(grad_latent_hat_ptr, batch, element, size, row_size, hat_batch, hat_row, ONE_ROW)
    grad_noisy = load(grad_noisy_ptr, batch, element, size, row_size, noisy_batch, noisy_row, ONE_ROW)
    grad_bounded = load(grad_bounded_ptr, batch, element, size, row_size, bounded_batch, bounded_row, ONE_ROW)
    scale = load(scale_ptr, batch, element, size, row_size, scale_batch, scale_row, ONE_ROW)
    gain = tl.load(gain_ptr + batch)

    out = batch * size + element
    from_noisy = grad_noisy * gain
    store(grad_latent_ptr + out, from_noisy + from_hat, inside)
    if HAS_MEAN:
        store(grad_mean_ptr + out, -from_noisy, inside)
    passes = (scale * gain >= scale_bound) | (grad_bounded < 0)
    store(grad_scale_ptr + out, tl.where(passes, grad_bounded * gain, 0.0), inside)


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
        grad = load(grad_latent_hat_ptr, batch, element, size, row_size, hat_batch, hat_row, ONE_ROW)
        latent = load(latent_ptr, batch, element, size, row_size, latent_batch, latent_row, ONE_ROW)
        mean = 0.0
        if HAS_MEAN:
            mean = load(mean_ptr, batch, element, size, row_size, mean_batch, mean_row, ONE_ROW)
        index = tl.load(indexes_ptr + batch * size + element, mask=inside, other=0).to(tl.int32)
        rounded = round_half_even((latent - mean) * gain)
        each = tl.div_rn(tl.where(rounded < 0, grad, -grad), gain)
        each = tl.where(inside & (rounded != 0), each, 0.0)
        total += tl.sum(tl.where(index[:, None] == tables[None, :], each[:, None], 0.0), axis=0)
    row = tl.program_id(0).to(tl.int64)
    tl.store(partial_ptr + row * num_tables + tables, total, mask=tables < num_tables)


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
    inputs, (noise_rows,) = rows(layout, latent, mean, scale), rows(layout, noise)
    launch(
        _simulate_kernel, layout, BLOCK,
        *inputs, plain(gain), *tables(offsets, scale_table), noise_rows,
        noisy, bounded, latent_hat, indexes,
        *sizes(layout, BLOCK), len(scale_table) - 1, scale_bound,
        *strides(inputs), *strides([noise_rows]), offsets_stride(offsets),
        ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, HAS_OFFSETS=offsets is not None,
        LEVELS=(len(scale_table) - 1).bit_length(), BLOCK=BLOCK,
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
    inputs = rows(layout, grad_noisy, grad_bounded, grad_latent_hat, scale)
    launch(
        _backward_kernel, layout, BLOCK,
        *inputs, plain(gain), grad_latent, grad_latent if grad_mean is None else grad_mean, grad_scale,
        *sizes(layout, BLOCK), scale_bound, *strides(inputs),
        ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None, BLOCK=BLOCK,
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
    partial = torch.zeros(len(latent), sizes(layout, span)[0], num_tables, device=latent.device)
    inputs = rows(layout, grad_latent_hat, latent, mean)
    launch(
        _offsets_backward_kernel, layout, span,
        *inputs, plain(gain), layout.view(indexes).contiguous(), partial,
        *sizes(layout, span), num_tables, *strides(inputs),
        ONE_ROW=layout.num_rows == 1, HAS_MEAN=mean is not None,
        TABLES=triton.next_power_of_2(num_tables), BLOCK=_TABLE_BLOCK,
        INNER_BLOCKS=triton.next_power_of_2(inner_blocks),
    )  # fmt: skip
    return partial.sum(1)
