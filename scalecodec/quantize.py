"""Quantization doors: latents to integer symbols and back, scales to table indexes.

Dense CPU tensors of float32 go through the compiled core, in one pass; all others through torch, which gives the same
results in several. The order of operations is fixed, each rounded to float32: ``round((latent - mean) * gain)``,
``max(scale * gain, scale_bound)`` and ``symbols / gain + mean``. A gain that is not 1 is rounded to float32 first.
"""

from __future__ import annotations

import math
from numbers import Real
from typing import Any

import torch
from torch import Tensor

from . import _core
from .arrays import as_floats, broadcasts
from .batches import MAX_THREADS

_FLOAT32_RANGE = (2.0**-126, 2.0**127)
_SYMBOL_BITS = {torch.int8: 8, torch.int16: 16, torch.int32: 32}
_INDEX_TABLES = {torch.uint8: 2**8, torch.uint16: 2**16, torch.int32: 2**31 - 1}


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


def check_threads(threads: int) -> None:
    """Raise ValueError unless this is a number of threads."""
    if isinstance(threads, bool) or not isinstance(threads, int) or not 1 <= threads <= MAX_THREADS:
        raise ValueError(f"threads must be an int in [1, {MAX_THREADS}], got {threads!r}")


def _check_gain_and_threads(gain: float, threads: int) -> None:
    low, high = _FLOAT32_RANGE
    if isinstance(gain, bool) or not isinstance(gain, Real) or not low <= gain <= high:
        raise ValueError(f"gain must be a number in [2**-126, 2**127], got {gain!r}")
    check_threads(threads)


def _suits_core(*tensors: Tensor | None) -> bool:
    return all(
        t is None or (t.dtype is torch.float32 and t.device.type == "cpu" and t.layout is torch.strided)
        for t in tensors
    )


def _refuse(values: Tensor, bad: Tensor, dtype: torch.dtype) -> None:
    where = int(bad.flatten().nonzero()[0, 0])
    name, limit = str(dtype).removeprefix("torch."), f"2**{_SYMBOL_BITS[dtype] - 1}"
    value = float(values.flatten()[where])
    raise ValueError(
        f"latents must be finite and round to {name}, in [-{limit}, {limit}), got {value} (element {where})"
    )


def _symbols_by_torch(latent: Tensor, mean: Tensor | None, gain: float, dtype: torch.dtype) -> Tensor:
    values = latent if mean is None else latent - mean
    values = values if gain == 1 else values * gain
    # In float16 the limit itself would become an infinity.
    rounded = torch.round(values.float() if values.dtype is torch.float16 else values)
    limit = 2.0 ** (_SYMBOL_BITS[dtype] - 1)
    fits = (rounded >= -limit) & (rounded < limit)
    if not bool(fits.all()):
        _refuse(values, ~fits, dtype)
    return rounded.to(dtype)


def _prepare_latent(latent: Tensor, mean: Tensor | None, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Without gradients and in one shape: a mean that has to be spread is taken off at once."""
    if dtype not in _SYMBOL_BITS:
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
    _check_gain_and_threads(gain, threads)
    latent, mean = _prepare_latent(latent, mean, dtype)
    if not _suits_core(latent, mean):
        return _symbols_by_torch(latent, mean, gain, dtype)
    symbols = torch.empty(latent.shape, dtype=dtype)
    means = None if mean is None else as_floats(mean)
    _core.quantize((as_floats(latent), means, symbols.numpy()), None, gain, threads)
    return symbols


def _check_scales(scale_table: Tensor, scale_bound: float | Tensor | None, dtype: torch.dtype) -> None:
    if dtype not in _INDEX_TABLES:
        raise TypeError(f"indexes must be uint8, uint16 or int32, got {dtype}")
    if scale_table.dim() != 1 or scale_table.numel() == 0:
        raise ValueError(f"scale_table must be 1-D and not empty, got shape {tuple(scale_table.shape)}")
    if len(scale_table) > _INDEX_TABLES[dtype]:
        raise ValueError(f"indexes of {dtype} name at most {_INDEX_TABLES[dtype]} tables, got {len(scale_table)}")
    if isinstance(scale_bound, Tensor) and scale_bound.numel() != 1:
        raise ValueError(f"scale_bound must be one number, got shape {tuple(scale_bound.shape)}")


def _indexes_by_torch(
    scale: Tensor, scale_table: Tensor, gain: float, scale_bound: float | Tensor | None, dtype: torch.dtype
) -> Tensor:
    scale = scale.detach() if gain == 1 else scale.detach() * gain
    if scale_bound is not None:
        bound = scale_bound if isinstance(scale_bound, Tensor) else torch.tensor([scale_bound], dtype=torch.float32)
        scale = torch.max(scale, bound.to(scale.device))
    return torch.bucketize(scale.contiguous(), scale_table[:-1].contiguous(), out_int32=True).to(dtype)


def _bound_of(scale_bound: float | Tensor | None) -> float:
    bound = -math.inf if scale_bound is None else float(scale_bound)
    if math.isnan(bound):
        raise ValueError("scale_bound must not be NaN")
    return bound


def check_scales(scale_table: Tensor, scale_bound: float | Tensor | None) -> float:
    """The bound as a number (-inf: none). ValueError unless a table of scales and a bound are such."""
    _check_scales(scale_table, scale_bound, torch.int32)
    return _bound_of(scale_bound)


def build_indexes(
    scale: Tensor,
    scale_table: Tensor,
    *,
    gain: float = 1.0,
    scale_bound: float | Tensor | None = None,
    dtype: torch.dtype = torch.int32,
    threads: int = 1,
) -> Tensor:
    """Index of the first table scale that is not below ``scale``, or of the last: CompressAI's ``build_indexes``.

    Parameters
    ----------
    scale : float tensor, any shape; NaN selects the last table
    scale_table : float tensor [num_tables], ascending (which is checked in the core only: elsewhere it would cost a
        synchronization). Up to 64 scales are searched in registers.
    gain : number in [2**-126, 2**127]; ``scale * gain`` is looked up
    scale_bound : number, or tensor of one; a scaled scale below it counts as it. None: no bound
    dtype : torch.uint8 (at most 256 tables), torch.uint16 (65536) or torch.int32
    threads : how many may work at once on the CPU, 1 to 256; the result does not depend on it

    Returns
    -------
    Tensor of ``dtype``, of the shape and on the device of ``scale``, in [0, num_tables). The GIL is released meanwhile.

    Raises
    ------
    ValueError
        The table or the bound is not such.
    """
    _check_gain_and_threads(gain, threads)
    _check_scales(scale_table, scale_bound, dtype)
    if not _suits_core(scale, scale_table):
        return _indexes_by_torch(scale, scale_table, gain, scale_bound, dtype)
    indexes = torch.empty(scale.shape, dtype=dtype)
    index_half = (as_floats(scale), as_floats(scale_table), _bound_of(scale_bound), indexes.numpy())
    _core.quantize(None, index_half, gain, threads)
    return indexes


def quantize_and_index(
    latent: Tensor,
    scale: Tensor,
    scale_table: Tensor,
    *,
    mean: Tensor | None = None,
    gain: float = 1.0,
    scale_bound: float | Tensor | None = None,
    symbol_dtype: torch.dtype = torch.int32,
    index_dtype: torch.dtype = torch.int32,
    threads: int = 1,
) -> tuple[Tensor, Tensor]:
    """What an entropy coder is given: :func:`to_symbols` and :func:`build_indexes` in one pass.

    Parameters
    ----------
    latent, scale : float tensors of one shape
    scale_table, mean, gain, scale_bound, threads : as for :func:`to_symbols` and :func:`build_indexes`
    symbol_dtype, index_dtype : their ``dtype``

    Returns
    -------
    symbols, indexes : new tensors of the shape and on the device of ``latent``. The GIL is released meanwhile.

    Raises
    ------
    ValueError
        As from the two functions, or shapes differ.
    """
    _check_gain_and_threads(gain, threads)
    _check_scales(scale_table, scale_bound, index_dtype)
    if latent.shape != scale.shape:
        raise ValueError(f"latent and scale must have one shape, got {tuple(latent.shape)} and {tuple(scale.shape)}")
    latent, mean = _prepare_latent(latent, mean, symbol_dtype)
    if not _suits_core(latent, mean, scale, scale_table):
        symbols = to_symbols(latent, mean, gain=gain, dtype=symbol_dtype, threads=threads)
        return symbols, build_indexes(
            scale, scale_table, gain=gain, scale_bound=scale_bound, dtype=index_dtype, threads=threads
        )
    symbols, indexes = torch.empty(latent.shape, dtype=symbol_dtype), torch.empty(scale.shape, dtype=index_dtype)
    means = None if mean is None else as_floats(mean)
    index_half = (as_floats(scale), as_floats(scale_table), _bound_of(scale_bound), indexes.numpy())
    _core.quantize((as_floats(latent), means, symbols.numpy()), index_half, gain, threads)
    return symbols, indexes


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
    _check_gain_and_threads(gain, threads)
    if symbols.is_floating_point() or symbols.is_complex() or symbols.dtype is torch.bool:
        raise TypeError(f"symbols must have an integer dtype, got {symbols.dtype}")
    plain = mean is None or not (mean.requires_grad and torch.is_grad_enabled())
    fits = mean is None or broadcasts(mean.shape, symbols.shape)
    on_cpu = symbols.device.type == "cpu" and symbols.layout is torch.strided
    if not (plain and fits and on_cpu and symbols.dtype in _SYMBOL_BITS and _suits_core(mean)):
        values = symbols.to(torch.float32 if mean is None else mean.dtype)
        values = values if gain == 1 else values / gain
        return values if mean is None else values + mean
    latent = symbols.view(torch.float32) if in_place else torch.empty(symbols.shape, dtype=torch.float32)
    means = None if mean is None else as_floats(mean, symbols.shape)
    _core.dequantize(symbols.contiguous().numpy(), means, gain, latent.numpy(), threads)
    return latent
