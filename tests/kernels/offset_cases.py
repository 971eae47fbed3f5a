"""Inputs of offset quantization: every layout, dtype and shape that the kernels promise, and values that hurt."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BOUND = 0.11
SHAPES = [
    (1, 1),
    (2, 7),
    (1, 3, 5),
    (2, 6, 5, 7),
    (3, 4, 1, 1),
    (1, 192, 3, 4),
    (2, 1, 33, 64),
    (0, 4, 2, 2),
    (2, 3, 0, 2),
]
LAYOUTS = ("contiguous", "channels_last", "chunk", "chunk_channels_last", "every_second", "mixed")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)


def scales_of(num_tables: int) -> Tensor:
    scales = torch.logspace(math.log10(BOUND), math.log10(16.0), max(num_tables, 2), dtype=torch.float64)
    return scales[:num_tables].float()


def laid_out(x: Tensor, layout: str) -> Tensor:
    """The same values at other strides."""
    if layout == "channels_last" and x.dim() == 4:
        return x.contiguous(memory_format=torch.channels_last)
    if layout.startswith("chunk") and x.dim() >= 2:
        both = torch.cat([x, torch.full_like(x, math.nan)], 1)
        if layout.endswith("channels_last") and x.dim() == 4:
            both = both.contiguous(memory_format=torch.channels_last)
        return both[:, : x.shape[1]]
    if layout == "every_second":
        return torch.stack([x, torch.full_like(x, math.nan)], -1)[..., 0]
    return x.contiguous()


@dataclass
class Case:
    """One call: latent, mean, scale [B, ...], gain [B], offsets [B or 1, num_tables], noise [B, ...]."""

    latent: Tensor
    mean: Tensor | None
    scale: Tensor
    gain: Tensor
    offsets: Tensor | None
    scale_table: Tensor
    noise: Tensor

    def arguments(self) -> tuple[Any, ...]:
        return self.latent, self.mean, self.scale, self.gain, self.offsets, self.scale_table, BOUND

    def to(self, device: str) -> Case:
        return Case(**{name: None if value is None else value.to(device) for name, value in vars(self).items()})


def make(
    shape: tuple[int, ...],
    layout: str = "contiguous",
    dtype: torch.dtype = torch.float32,
    num_tables: int = 64,
    with_mean: bool = True,
    offset_rows: int | None = None,
    seed: int = 0,
    spread: float = 4.0,
) -> Case:
    """Latents of some rates, gains from 0.06 to 1; ``offset_rows`` None: no offsets, 0: one row an item."""
    torch.manual_seed(seed)
    layouts = {"mixed": ("channels_last", "contiguous", "chunk_channels_last", "chunk")}.get(layout, (layout,) * 4)
    scale = 0.05 * torch.exp(torch.rand(shape) * 6)
    mean = torch.randn(shape) * spread
    latent = mean + torch.randn(shape) * scale * 2
    values = [latent, mean, scale, torch.rand(shape) - 0.5]
    latent, mean, scale, noise = (laid_out(x.to(dtype), one) for x, one in zip(values, layouts, strict=True))
    offsets = None if offset_rows is None else torch.rand(offset_rows or shape[0], num_tables) * 0.4
    gain = 0.06 * 16 ** torch.rand(shape[0])
    return Case(latent, mean if with_mean else None, scale, gain, offsets, scales_of(num_tables), noise)


def cases() -> Iterator[tuple[str, Case]]:
    """A walk through all that may differ."""
    for at, shape in enumerate(SHAPES):
        for layout in LAYOUTS:
            dtype = DTYPES[at % 3]
            kind = {"with_mean": at % 2 == 0, "offset_rows": (None, 0, 1)[(at + len(layout)) % 3]}
            name = f"{'x'.join(map(str, shape))}-{layout}-{str(dtype).removeprefix('torch.')}"
            yield name, make(shape, layout, dtype, **kind)
    for num_tables in (1, 2, 3, 63, 65, 256):
        yield f"{num_tables}-tables", make((2, 3, 9, 5), num_tables=num_tables, offset_rows=0)
    for dtype in DTYPES:
        yield f"large-{dtype}", make((2, 8, 24, 24), "channels_last", dtype, offset_rows=1)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal in shape, dtype and every bit, the sign of zero and NaN included."""
    if one.shape != other.shape or one.dtype is not other.dtype:
        return False
    if one.is_floating_point():
        whole = {2: torch.int16, 4: torch.int32}[one.element_size()]
        one, other = one.contiguous().view(whole), other.contiguous().view(whole)
    return torch.equal(one.cpu(), other.cpu())
