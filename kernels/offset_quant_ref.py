"""Offset quantization, the definition: torch, slow and obvious.

Source: Kamisli, Racape and Choi 2024 (arXiv:2402.18930): one gain (1 / step) scales every latent before it is rounded,
and a symbol that is not 0 is reconstructed a little nearer to the mean, by an offset that depends on scale and gain.
The offset is taken from a table by the index that chose the symbol's distribution, so both ends take the same one.

Every line is one float32 operation, rounded half to even, in the order written: all implementations give the same bits
of symbols, indexes and latents. Inputs of other dtypes are read as float32. Ties of symbols round to the even one.

Shapes, everywhere: latent, mean, scale, noise [B, ...]; gain [B]; offsets [B or 1, num_tables]; scale_table
[num_tables], ascending, 1 to 256 scales.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

SYMBOL_LIMITS = {torch.int8: 2.0**7, torch.int16: 2.0**15, torch.int32: 2.0**31}


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
    """What an encoder needs: symbols, indexes (uint8), the decoder's latents (in the dtype of ``latent``); and whether
    every symbol fits its dtype, as NaN never does. Those that do not are 0.
    """
    gain = _by_item(gain, latent)
    residual = (latent.float() - _or_zero(mean)) * gain
    rounded = torch.round(residual)
    limit = SYMBOL_LIMITS[symbol_dtype]
    fits = (rounded >= -limit) & (rounded < limit)
    indexes = _indexes(bounded_scales(scale, gain, scale_bound), scale_table)
    latent_hat = _reconstruct(rounded, gain, _lookup(offsets, indexes)) + _or_zero(mean)
    symbols = torch.where(fits, rounded, 0).to(symbol_dtype)
    return symbols, indexes, latent_hat.to(latent.dtype), bool(fits.all())


def dequantize(
    symbols: Tensor, indexes: Tensor, mean: Tensor | None, gain: Tensor, offsets: Tensor | None, dtype: torch.dtype
) -> Tensor:
    """The decoder's latents in ``dtype``, from symbols: the same as :func:`quantize` gave; int32 ones below 2^24."""
    latent_hat = _reconstruct(symbols.float(), _by_item(gain, symbols), _lookup(offsets, indexes)) + _or_zero(mean)
    return latent_hat.to(dtype)


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
    """What a training step needs: the noisy residual and the scale that price it (float32, in units of the step), the
    decoder's latents, and the indexes (uint8) for :func:`simulate_backward`.

    Noise prices the rate, rounding makes the distortion (Minnen and Singh 2020, arXiv:2007.08739).
    """
    gain = _by_item(gain, latent)
    residual = (latent.float() - _or_zero(mean)) * gain
    bounded = bounded_scales(scale, gain, scale_bound)
    indexes = _indexes(bounded, scale_table)
    latent_hat = _reconstruct(torch.round(residual), gain, _lookup(offsets, indexes)) + _or_zero(mean)
    return residual + noise.float(), bounded, latent_hat.to(latent.dtype), indexes


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
    """Gradients of latent, mean, scale (in their dtypes) and offsets (float32); of gains there are none.

    Rounding passes gradients straight through, so the mean cancels out of ``latent_hat`` and the latent goes there with
    slope 1. The bound passes what would lift a scale below it (CompressAI's ``LowerBound``).
    """
    step_gain = _by_item(gain, latent)
    scaled = scale.float() * step_gain
    from_noisy = grad_noisy.float() * step_gain
    grad_latent = (from_noisy + grad_latent_hat.float()).to(latent.dtype)
    grad_mean = None if mean is None else (-from_noisy).to(mean.dtype)
    passes = (scaled >= scale_bound) | (grad_bounded < 0)
    grad_scale = torch.where(passes, grad_bounded.float() * step_gain, 0).to(scale.dtype)
    if offsets is None:
        return grad_latent, grad_mean, grad_scale, None
    rounded = torch.round((latent.float() - _or_zero(mean)) * step_gain)
    each = torch.where(rounded < 0, grad_latent_hat.float(), -grad_latent_hat.float()) / step_gain
    each = torch.where(rounded == 0, 0, each)
    grad_offsets = torch.zeros(len(latent), offsets.shape[1], device=latent.device)
    grad_offsets.scatter_add_(1, _flat(indexes).long(), _flat(each))
    whole = len(offsets) != len(latent)  # one row for all
    return grad_latent, grad_mean, grad_scale, grad_offsets.sum(0, keepdim=True) if whole else grad_offsets


def bounded_scales(scale: Tensor, gain: Tensor, scale_bound: float) -> Tensor:
    """``max(scale * gain, scale_bound)``, float32; NaN stays."""
    scaled = scale.float() * gain
    return torch.where(scaled < scale_bound, scale_bound, scaled)


def _by_item(gain: Tensor, latent: Tensor) -> Tensor:
    return gain.float().reshape(-1, *[1] * (latent.dim() - 1))


def _or_zero(mean: Tensor | None) -> Tensor | float:
    return 0.0 if mean is None else mean.float()


def _indexes(bounded: Tensor, scale_table: Tensor) -> Tensor:
    """The first table whose scale is not below, or the last; which NaN gives too."""
    return torch.bucketize(bounded.contiguous(), scale_table[:-1]).to(torch.uint8)


def _lookup(offsets: Tensor | None, indexes: Tensor) -> Tensor | float:
    if offsets is None:
        return 0.0
    rows = offsets.float().expand(len(indexes), -1)
    return rows.gather(1, _flat(indexes).long()).view(indexes.shape)


def _reconstruct(rounded: Tensor, gain: Tensor, offset: Tensor | float) -> Tensor:
    """Less the mean. The zero symbol never moves, and is always +0."""
    size = torch.where(rounded == 0, 0.0, rounded.abs() - offset)
    return torch.where(rounded < 0, -size, size) / gain


def _flat(tensor: Tensor) -> Tensor:
    """[B, size]; ``flatten`` knows no size of no elements, and nothing behind the last dimension."""
    return tensor.reshape(len(tensor), math.prod(tensor.shape[1:]))
