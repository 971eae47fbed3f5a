"""Quantization with reconstruction offsets (Kamisli, Racape and Choi 2024, arXiv:2402.18930), fused: one pass to code,
one to decode, one each way to train.

A symbol that is not 0 is reconstructed nearer to its mean, where a Gaussian has more of its mass, by an offset that
depends on how many steps the scale is. It is taken from a table by the index that chose the symbol's distribution, an
integer that both ends share: equal tables and means give equal latents.

``scalecodec.kernels.offset_quant_ref`` is the definition. Float32 on a CPU goes through the compiled core, CUDA through
Triton, all else through the definition: with the same symbols, indexes and latents, bit for bit.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .checks import FLOAT32_RANGE, SYMBOL_BITS, bound_of, check_gain_and_threads, check_index_tables, check_threads
from .offset_ops import dequantize_op, quantize_op, simulate_op

__all__ = ["Quantized", "Simulated", "offset_dequantize", "offset_quantize", "offset_simulate"]


class Quantized(NamedTuple):
    """What an encoder has: new tensors of the latent's shape, ``latent_hat`` in its dtype, indexes in uint8."""

    symbols: Tensor
    indexes: Tensor
    latent_hat: Tensor


class Simulated(NamedTuple):
    """What a training step has, differentiable: the noisy residual and the scale, in steps and float32, that price it,
    and the decoder's latents in the latent's dtype.
    """

    noisy: Tensor
    scale: Tensor
    latent_hat: Tensor


def offset_quantize(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: float | Tensor,
    reconstruction_offset: Tensor | None = None,
    *,
    scale_table: Tensor,
    scale_bound: float | Tensor | None = None,
    symbol_dtype: torch.dtype = torch.int32,
    threads: int = 1,
) -> Quantized:
    """Symbols and indexes for the entropy coder, and the latents that its decoder will have, in one pass.

    Parameters
    ----------
    latent, scale : float32, bfloat16 or float16 tensors [B, ...] of one shape; contiguous, channels_last or halves of
        such are read in place
    mean : the same, or None for 0
    gain : positive number, or float tensor [B] or [1]: 1 / step; one on a GPU is not looked at
    reconstruction_offset : float tensor [num_tables] or [B, num_tables], in steps, one for each index; None for 0
    scale_table : float32 tensor [num_tables], ascending, at most 256
    scale_bound : number, or tensor of one; a scale in steps below it counts as it
    symbol_dtype : torch.int8, torch.int16 or torch.int32
    threads : how many may work at once on the CPU, 1 to 256; the result does not depend on it

    Returns
    -------
    Quantized
        ``symbols = round((latent - mean) * gain)``, half to even; ``indexes`` as by :func:`build_indexes` of
        ``scale * gain``; ``latent_hat`` as by :func:`offset_dequantize`. Without gradient. On a GPU this waits for it.

    Raises
    ------
    ValueError
        Shapes do not fit, or a latent is not finite or rounds beyond ``symbol_dtype``.
    TypeError
        A dtype is not such.
    """
    if symbol_dtype not in SYMBOL_BITS:
        raise TypeError(f"symbols must be int8, int16 or int32, got {symbol_dtype}")
    arguments = _arguments(latent, mean, scale, gain, reconstruction_offset, scale_table, scale_bound, threads)
    with torch.no_grad():
        return Quantized(*quantize_op(*arguments, symbol_dtype, threads))


def offset_dequantize(
    symbols: Tensor,
    indexes: Tensor,
    mean: Tensor | None,
    gain: float | Tensor,
    reconstruction_offset: Tensor | None = None,
    *,
    threads: int = 1,
) -> Tensor:
    """``sign(symbols) * (|symbols| - offset) / gain + mean``, and ``mean`` where the symbol is 0.

    Parameters
    ----------
    symbols : int8, int16 or int32 tensor [B, ...], of what float32 holds exactly
    indexes : uint8 tensor of that shape, each below the number of offsets
    mean, gain, reconstruction_offset, threads : as given to :func:`offset_quantize`

    Returns
    -------
    New tensor of the dtype of ``mean`` (float32 without). Without gradient.

    Raises
    ------
    ValueError, TypeError
        Shapes or dtypes do not fit, or there is no offset for an index.
    """
    if symbols.dtype not in SYMBOL_BITS or indexes.dtype is not torch.uint8:
        raise TypeError(f"symbols must be signed integers and indexes uint8, got {symbols.dtype} and {indexes.dtype}")
    if symbols.dim() == 0:
        raise ValueError("symbols must be [B, ...], got a number")
    _check_shape("indexes", indexes, symbols)
    gains, offsets = _by_item(gain, symbols), _offset_rows(reconstruction_offset, symbols)
    if mean is not None:
        _check_floats("mean", mean, symbols)
    check_threads(threads)
    if offsets is not None and indexes.numel() and int(indexes.max()) >= offsets.shape[1]:
        raise ValueError(f"indexes must lie in [0, {offsets.shape[1]}), got {int(indexes.max())}")
    dtype = torch.float32 if mean is None else mean.dtype
    with torch.no_grad():
        return dequantize_op(symbols, indexes, mean, gains, offsets, dtype, threads)


def offset_simulate(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: float | Tensor,
    reconstruction_offset: Tensor | None = None,
    *,
    scale_table: Tensor,
    scale_bound: float | Tensor | None = None,
    noise: Tensor | None = None,
    threads: int = 1,
) -> Simulated:
    """A training step's view of coding: noise prices the rate, rounding makes the distortion (arXiv:2007.08739).

    Parameters
    ----------
    latent, mean, scale, gain, reconstruction_offset, scale_table, scale_bound, threads : as for :func:`offset_quantize`
    noise : float tensor of the latent's shape, in [-1/2, 1/2]; drawn where it is None

    Returns
    -------
    Simulated
        ``noisy = (latent - mean) * gain + noise``, ``scale = max(scale * gain, scale_bound)``, and ``latent_hat`` as by
        :func:`offset_dequantize`. Gradients go to latent, mean, scale and offsets, none to gains: straight through the
        rounding, and through the bound where they would lift a scale.

    Raises
    ------
    ValueError, TypeError
        Shapes or dtypes do not fit.
    """
    arguments = _arguments(latent, mean, scale, gain, reconstruction_offset, scale_table, scale_bound, threads)
    if noise is None:
        noise = torch.rand_like(latent, dtype=torch.float32) - 0.5
    _check_floats("noise", noise, latent)
    return Simulated(*simulate_op(*arguments, noise, threads)[:3])


def _arguments(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: float | Tensor,
    offset: Tensor | None,
    scale_table: Tensor,
    scale_bound: float | Tensor | None,
    threads: int,
) -> tuple[Any, ...]:
    """Checked, and as the kernels take them."""
    for name, tensor in (("latent", latent), ("mean", mean), ("scale", scale)):
        if tensor is not None:
            _check_floats(name, tensor, latent)
    if latent.dim() == 0:
        raise ValueError("latent must be [B, ...], got a number")
    check_threads(threads)
    check_index_tables(scale_table, scale_bound, torch.uint8)
    if scale_table.dtype is not torch.float32:
        raise TypeError(f"scale_table must be float32, got {scale_table.dtype}")
    looks = scale_table.device.type == "cpu" and not torch.compiler.is_compiling()
    if looks and not bool((scale_table.diff() >= 0).all()):
        raise ValueError("scale_table must ascend, without NaN")
    offsets = _offset_rows(offset, latent)
    if offsets is not None and offsets.shape[1] != len(scale_table):
        raise ValueError(f"there must be an offset for each of {len(scale_table)} tables, got {offsets.shape[1]}")
    tables = offsets, scale_table.to(latent.device), bound_of(scale_bound)
    return latent, mean, scale, _by_item(gain, latent), *tables


def _check_shape(name: str, tensor: Tensor, like: Tensor) -> None:
    if tensor.shape != like.shape:
        raise ValueError(f"{name} must have the shape {tuple(like.shape)}, got {tuple(tensor.shape)}")
    if tensor.device != like.device:
        raise ValueError(f"{name} must be on {like.device}, got {tensor.device}")


def _check_floats(name: str, tensor: Tensor, like: Tensor) -> None:
    if tensor.dtype not in (torch.float32, torch.bfloat16, torch.float16):
        raise TypeError(f"{name} must be float32, bfloat16 or float16, got {tensor.dtype}")
    _check_shape(name, tensor, like)


def _by_item(gain: float | Tensor, latent: Tensor) -> Tensor:
    """Gains [B], float32."""
    if not isinstance(gain, Tensor):
        check_gain_and_threads(gain, 1)
        return torch.full((len(latent),), float(gain), dtype=torch.float32, device=latent.device)
    if not gain.is_floating_point() or gain.dim() > 1 or gain.numel() not in (1, len(latent)):
        raise ValueError(f"gain must be a number or a float for each of {len(latent)} items, got {tuple(gain.shape)}")
    gains = gain.detach().float()
    low, high = FLOAT32_RANGE
    # Looked at where that costs no wait for a GPU and breaks no graph.
    if (
        gain.device.type == "cpu"
        and not torch.compiler.is_compiling()
        and not bool(((gains >= low) & (gains <= high)).all())
    ):
        raise ValueError(f"gains must be numbers in [2**-126, 2**127], got {gains.tolist()}")
    return gains.reshape(-1).expand(len(latent)).to(latent.device)


def _offset_rows(offset: Tensor | None, latent: Tensor) -> Tensor | None:
    """Offsets [B or 1, num_tables]."""
    if offset is None:
        return None
    if not isinstance(offset, Tensor):
        raise TypeError(f"reconstruction_offset must be a tensor, got {type(offset).__name__}")
    rows = offset[None] if offset.dim() == 1 else offset
    if not offset.is_floating_point() or rows.dim() != 2 or len(rows) not in (1, len(latent)) or rows.shape[1] > 256:
        wanted = f"floats [num_tables] or [{len(latent)}, num_tables]"
        raise ValueError(f"reconstruction_offset must be {wanted}, got {offset.dtype} {tuple(offset.shape)}")
    return rows.float().to(latent.device)
