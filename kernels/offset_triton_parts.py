"""What the Triton kernels of offset quantization share: an element's arithmetic, and how launchers lay tensors out."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .row_layout import RowLayout

BLOCK = 1024
MAX_ITEM = 2**31 - 2**14  # int32 counts an item's elements, and on to the end of the last program's
EXACT = {"enable_fp_fusion": False}


@triton.jit
def round_half_even(x):
    """2^23 has no fraction bits to spare. What is larger is whole already."""
    size = tl.abs(x)
    rounded = tl.where(size < 8388608.0, (size + 8388608.0) - 8388608.0, size)
    return tl.where(x < 0, -rounded, rounded)


@triton.jit
def load(ptr, batch, element, size, row_size, batch_stride, row_stride, ONE_ROW: tl.constexpr):
    """Elements of an item, 0 beyond its end."""
    place = element
    if not ONE_ROW:
        place = (element // row_size).to(tl.int64) * row_stride + element % row_size
    return tl.load(ptr + batch * batch_stride + place, mask=element < size, other=0.0).to(tl.float32)


@triton.jit
def store(ptr, value, mask):
    """Float32 in the pointer's type, half to even: the interpreter would cut bfloat16 off, a GPU would not."""
    if ptr.dtype.element_ty == tl.bfloat16:
        bits = value.to(tl.uint32, bitcast=True)
        bits = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
        value = tl.where(value == value, bits.to(tl.float32, bitcast=True), value)
    tl.store(ptr, value, mask=mask)


@triton.jit
def count_beyond(bounded, thresholds_ptr, num_thresholds, LEVELS: tl.constexpr):
    """How many thresholds ``bounded`` is not at or below: a binary search, the same decisions for all."""
    index = tl.zeros_like(bounded).to(tl.int32)
    for level in tl.static_range(LEVELS):
        half = 1 << (LEVELS - 1 - level)
        probe = index + half - 1
        threshold = tl.load(thresholds_ptr + probe, mask=probe < num_thresholds, other=float("inf"))
        index += tl.where(bounded <= threshold, 0, half)
    return tl.minimum(index, num_thresholds)  # NaN is at or below nothing


@triton.jit
def reconstruct(rounded, gain, offset):
    size = tl.where(rounded == 0, 0.0, tl.abs(rounded) - offset)
    return tl.div_rn(tl.where(rounded < 0, -size, size), gain)


def rows(layout: RowLayout, first: Tensor, *others: Tensor | None) -> list[Tensor]:
    """All in the layout; the first stands for one that is missing, which a kernel does not look at."""
    view = layout.view(first)
    return [view, *(view if tensor is None else layout.view(tensor) for tensor in others)]


def strides(views: list[Tensor]) -> list[int]:
    return [stride for view in views for stride in view.stride()[:2]]


def tables(offsets: Tensor | None, scale_table: Tensor) -> tuple[Tensor, Tensor]:
    scale_table = plain(scale_table)
    return scale_table if offsets is None else plain(offsets), scale_table


def offsets_stride(offsets: Tensor | None) -> int:
    return 0 if offsets is None or len(offsets) == 1 else offsets.shape[1]


def plain(tensor: Tensor) -> Tensor:
    return tensor.float().contiguous()


def sizes(layout: RowLayout, block: int) -> tuple[int, int, int]:
    """Programs an item, elements an item, elements a row; ValueError where kernels cannot count an item's elements."""
    size = layout.num_rows * layout.row_size
    if size > MAX_ITEM:
        raise ValueError(f"an item must have at most {MAX_ITEM} elements, got {size}")
    return triton.cdiv(size, block), size, layout.row_size


def launch(kernel: Any, layout: RowLayout, span: int, first: Tensor, *arguments: Any, **constants: Any) -> None:
    """One program for ``span`` elements of an item, on the device of ``first``; none where there are no elements."""
    programs = layout.shape[0] * sizes(layout, span)[0]
    if programs:
        with torch.cuda.device_of(first):
            kernel[(programs,)](first, *arguments, **constants, **EXACT)
