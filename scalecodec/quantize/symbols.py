"""Latents to integer symbols and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from scalecodec import _core
from scalecodec.arrays import as_floats, broadcasts

from .checks import SYMBOL_BITS, check_gain_and_threads, suits_core


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.round(x)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Tensor:
        return grad_outputs[0]


def round_ste(x: Tensor) -> Tensor:
    """``round(x)``, half to even, with the gradient of the identity (straight-through)."""
    return _RoundStraightThrough.apply(x)


def _refuse(values: Tensor, bad: Tensor, dtype: torch.dtype) -> None:
    where = int(bad.flatten().nonzero()[0, 0])
    name, limit = str(dtype).removeprefix("torch."), f"2**{SYMBOL_BITS[dtype] - 1}"
    value = float(values.flatten()[where])
    raise ValueError(
        f"latents must be finite and round to {name}, in [-{limit}, {limit}), got {value} (element {where})"
    )


def _symbols_by_torch(latent: Tensor, mean: Tensor | None, gain: float, dtype: torch.dtype) -> Tensor:
    values = latent if mean is None else latent - mean
    values = values if gain == 1 else values * gain
    # In float16 the limit itself would become an infinity.
    rounded = torch.round(values.float() if values.dtype is torch.float16 else values)
    limit = 2.0 ** (SYMBOL_BITS[dtype] - 1)
    fits = (rounded >= -limit) & (rounded < limit)
    if not bool(fits.all()):
        _refuse(values, ~fits, dtype)
    return rounded.to(dtype)


def prepare_latent(latent: Tensor, mean: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Without gradients and in one shape: a mean that has to be spread is taken off at once."""
    if dtype not in SYMBOL_BITS:
        raise TypeError(f"symbols must be int8, int16 or int32, got {dtype}")
    if mean is None or mean.shape == latent.shape:
        return latent.detach(), None if mean is None else mean.detach()
    if not broadcasts(mean.shape, latent.shape):
        raise ValueError(f"mean of shape {tuple(mean.shape)} does not fit latents of {tuple(latent.shape)}")
    return latent.detach() - mean.detach(), None


def to_symbols(
    latent: Tensor,
    mean: Tensor | None = None,
    *,
    gain: float = 1.0,
    dtype: torch.dtype = torch.int32,
    threads: int = 1,
) -> Tensor:
    """``round((latent - mean) * gain)``, half to even.

    Parameters
    ----------
    latent : float tensor, any shape
    mean : float tensor that broadcasts to ``latent``; 0 by default
    gain : number in [2**-126, 2**127], 1 / step
    dtype : torch.int8, torch.int16 or torch.int32
    threads : how many may work at once on the CPU, 1 to 256; the result does not depend on it

    Returns
    -------
    Tensor of ``dtype``, of the shape and on the device of ``latent``. The GIL is released meanwhile.

    Raises
    ------
    ValueError
        A value is not finite or rounds beyond ``dtype``: no stream could carry it. The first such element is named.
    """
    check_gain_and_threads(gain, threads)
    latent, mean = prepare_latent(latent, mean, dtype)
    if not suits_core(latent, mean):
        return _symbols_by_torch(latent, mean, gain, dtype)
    symbols = torch.empty(latent.shape, dtype=dtype)
    means = None if mean is None else as_floats(mean)
    _core.quantize((as_floats(latent), means, symbols.numpy()), None, gain, threads)
    return symbols


def dequantize(symbols: Tensor, mean: Tensor | None = None, *, gain: float = 1.0, threads: int = 1) -> Tensor:
    """``symbols / gain + mean``, the decoder's inverse of :func:`to_symbols`.

    Parameters
    ----------
    symbols : integer tensor, any shape
    mean : float tensor that broadcasts to ``symbols``; 0 by default
    gain : number in [2**-126, 2**127], 1 / step
    threads : how many may work at once on the CPU, 1 to 256; the result does not depend on it

    Returns
    -------
    New tensor of the dtype of ``mean`` (float32 without), of the shape and on the device of ``symbols``. Differentiable
    with regard to ``mean``, by torch. The GIL is released meanwhile.
    """
    return _dequantize(symbols, mean, gain, threads, in_place=False)


def dequantize_(symbols: Tensor, mean: Tensor | None = None, *, gain: float = 1.0, threads: int = 1) -> Tensor:
    """As :func:`dequantize`, in the memory of ``symbols``, which are lost, where these are contiguous int32 and the
    core serves; else in new memory. A large tensor's first touch costs as much as its values.
    """
    return _dequantize(symbols, mean, gain, threads, in_place=symbols.dtype is torch.int32 and symbols.is_contiguous())


def _dequantize(symbols: Tensor, mean: Tensor | None, gain: float, threads: int, in_place: bool) -> Tensor:
    check_gain_and_threads(gain, threads)
    if symbols.is_floating_point() or symbols.is_complex() or symbols.dtype is torch.bool:
        raise TypeError(f"symbols must have an integer dtype, got {symbols.dtype}")
    plain = mean is None or not (mean.requires_grad and torch.is_grad_enabled())
    fits = mean is None or broadcasts(mean.shape, symbols.shape)
    on_cpu = symbols.device.type == "cpu" and symbols.layout is torch.strided
    if not (plain and fits and on_cpu and symbols.dtype in SYMBOL_BITS and suits_core(mean)):
        values = symbols.to(torch.float32 if mean is None else mean.dtype)
        values = values if gain == 1 else values / gain
        return values if mean is None else values + mean
    latent = symbols.view(torch.float32) if in_place else torch.empty(symbols.shape, dtype=torch.float32)
    means = None if mean is None else as_floats(mean, symbols.shape)
    _core.dequantize(symbols.contiguous().numpy(), means, gain, latent.numpy(), threads)
    return latent
