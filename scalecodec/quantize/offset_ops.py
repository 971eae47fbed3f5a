"""Operators of offset quantization: one name each for the compiled core, Triton and the definition, and gradients.

Arguments are those of ``scalecodec.kernels.offset_quant_ref``, checked by ``offset.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalecodec import _core
from scalecodec.kernels import offset_quant_ref
from scalecodec.kernels.row_layout import RowLayout, common_layout

from .checks import SYMBOL_BITS, suits_core

_ITEM = "Tensor latent, Tensor? mean, Tensor scale, Tensor gain, Tensor? offsets, Tensor scale_table, float scale_bound"


def _coding(tensor: Tensor) -> Any:
    """The kernels for what the core does not take."""
    if tensor.device.type != "cuda":
        return offset_quant_ref
    from scalecodec.kernels import offset_quant_triton

    return offset_quant_triton


def _training(tensor: Tensor) -> Any:
    """Those of a training step."""
    if tensor.device.type != "cuda":
        return offset_quant_ref
    from scalecodec.kernels import offset_simulate_triton

    return offset_simulate_triton


def _matrix(layout: RowLayout, tensor: Tensor | None) -> Any:
    """[B, size], dense in rows: the tensor's own memory where it lies so. The core adds its elements up in any order
    of them, so long as it is the same for all.
    """
    if tensor is None:
        return None
    view = layout.view(tensor.detach())
    return (view[:, 0] if layout.num_rows == 1 else view.reshape(len(view), layout.num_rows * layout.row_size)).numpy()


def _matrices(layout: RowLayout, *tensors: Tensor | None) -> Any:
    return tuple(_matrix(layout, tensor) for tensor in tensors)


def _padded(offsets: Tensor | None) -> NDArray[np.float32] | None:
    """[B or 1, MAX_OFFSETS]."""
    if offsets is None:
        return None
    rows = np.zeros((len(offsets), _core.MAX_OFFSETS), np.float32)
    rows[:, : offsets.shape[1]] = offsets.detach().numpy()
    return rows


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    return np.require(tensor.detach().float().numpy(), None, ["C", "A"])


def _refuse(dtype: torch.dtype, where: tuple[int, ...] | None = None) -> None:
    limit = f"2**{SYMBOL_BITS[dtype] - 1}"
    place = "" if where is None else f", as {where} does not"
    name = str(dtype).removeprefix("torch.")
    raise ValueError(
        f"latents must be finite and, less their mean and in steps, round to {name}, in [-{limit}, {limit}){place}"
    )


@torch.library.custom_op(
    "scalecodec::offset_quantize",
    mutates_args=(),
    schema=f"({_ITEM}, ScalarType symbol_dtype, int threads) -> (Tensor, Tensor, Tensor)",
)
def quantize_op(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: Tensor,
    offsets: Tensor | None,
    scale_table: Tensor,
    scale_bound: float,
    symbol_dtype: torch.dtype,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """Symbols, indexes and the decoder's latents; ValueError where a symbol does not fit."""
    layout = common_layout(latent, mean, scale)
    if not suits_core(latent, mean, scale):
        given = latent, mean, scale, gain, offsets, scale_table, scale_bound, symbol_dtype
        symbols, indexes, latent_hat, fits = _coding(latent).quantize(*given)
        if not fits:
            _refuse(symbol_dtype)
        return layout.laid(symbols), layout.laid(indexes), layout.laid(latent_hat)
    symbols, indexes, latent_hat = (
        layout.empty(dtype, latent.device) for dtype in (symbol_dtype, torch.uint8, torch.float32)
    )
    tables = _floats(gain), _padded(offsets), _floats(scale_table), scale_bound
    outputs = _matrices(layout, symbols, indexes, latent_hat)
    arguments: list[Any] = [*_matrices(layout, latent, mean, scale), *tables, *outputs, threads]
    where = _core.offset_quantize(*arguments)
    if where is not None:
        _refuse(symbol_dtype, layout.position(where))
    return symbols, indexes, latent_hat


@quantize_op.register_fake
def _(
    latent: Tensor, mean: Any, scale: Any, gain: Any, offsets: Any, table: Any, bound: Any, dtype: Any, threads: Any
) -> tuple[Tensor, ...]:
    layout = common_layout(latent, mean, scale)
    return tuple(layout.empty(one, latent.device) for one in (dtype, torch.uint8, latent.dtype))


@torch.library.custom_op(
    "scalecodec::offset_dequantize",
    mutates_args=(),
    schema="(Tensor symbols, Tensor indexes, Tensor? mean, Tensor gain, Tensor? offsets, ScalarType dtype, int threads)"
    " -> Tensor",
)
def dequantize_op(
    symbols: Tensor,
    indexes: Tensor,
    mean: Tensor | None,
    gain: Tensor,
    offsets: Tensor | None,
    dtype: torch.dtype,
    threads: int,
) -> Tensor:
    """The decoder's latents."""
    layout = common_layout(symbols, indexes, mean)
    if not suits_core(mean) or symbols.device.type != "cpu":
        return layout.laid(_coding(symbols).dequantize(symbols, indexes, mean, gain, offsets, dtype))
    latent_hat = layout.empty(torch.float32, symbols.device)
    inputs = np.ascontiguousarray(_matrix(layout, symbols)), _matrix(layout, indexes), _matrix(layout, mean)
    _core.offset_dequantize(*inputs, _floats(gain), _padded(offsets), _matrix(layout, latent_hat), threads)
    return latent_hat


@dequantize_op.register_fake
def _(symbols: Tensor, indexes: Any, mean: Any, gain: Any, offsets: Any, dtype: Any, threads: Any) -> Tensor:
    return common_layout(symbols, indexes, mean).empty(dtype, symbols.device)


@torch.library.custom_op(
    "scalecodec::offset_simulate",
    mutates_args=(),
    schema=f"({_ITEM}, Tensor noise, int threads) -> (Tensor, Tensor, Tensor, Tensor)",
)
def simulate_op(
    latent: Tensor,
    mean: Tensor | None,
    scale: Tensor,
    gain: Tensor,
    offsets: Tensor | None,
    scale_table: Tensor,
    scale_bound: float,
    noise: Tensor,
    threads: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The noisy residual, its scale, the decoder's latents, and the indexes."""
    layout = common_layout(latent, mean, scale, noise)
    if not suits_core(latent, mean, scale, noise):
        found = _training(latent).simulate(latent, mean, scale, gain, offsets, scale_table, scale_bound, noise)
        noisy, bounded, latent_hat, indexes = map(layout.laid, found)
        return noisy, bounded, latent_hat, indexes
    noisy, bounded, latent_hat = (layout.empty(torch.float32, latent.device) for _ in range(3))
    indexes = layout.empty(torch.uint8, latent.device)
    tables = _floats(gain), _padded(offsets), _floats(scale_table), scale_bound
    rest = _matrices(layout, noise, noisy, bounded, latent_hat, indexes)
    arguments: list[Any] = [*_matrices(layout, latent, mean, scale), *tables, *rest, threads]
    _core.offset_simulate(*arguments)
    return noisy, bounded, latent_hat, indexes


@simulate_op.register_fake
def _(
    latent: Tensor, mean: Any, scale: Any, gain: Any, offsets: Any, table: Any, bound: Any, noise: Any, threads: Any
) -> tuple[Tensor, ...]:
    layout = common_layout(latent, mean, scale, noise)
    dtypes = torch.float32, torch.float32, latent.dtype, torch.uint8
    return tuple(layout.empty(one, latent.device) for one in dtypes)


@torch.library.custom_op(
    "scalecodec::offset_simulate_backward",
    mutates_args=(),
    schema="(Tensor grad_noisy, Tensor grad_bounded, Tensor grad_latent_hat, Tensor latent, Tensor? mean,"
    " Tensor scale, Tensor gain, Tensor? offsets, Tensor indexes, float scale_bound, int threads)"
    " -> (Tensor, Tensor, Tensor, Tensor)",
)
def simulate_backward_op(
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
    threads: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of latent, mean, scale and offsets; empty where there is no such input."""
    grads, inputs = (grad_noisy, grad_bounded, grad_latent_hat), (latent, mean, scale)
    layout = common_layout(latent, mean, scale, *grads)
    if not suits_core(*grads, *inputs):
        *found, offset_sums = _training(latent).simulate_backward(*grads, *inputs, gain, offsets, indexes, scale_bound)
        to_latent, to_mean, to_scale = (latent.new_empty(0) if one is None else layout.laid(one) for one in found)
        return to_latent, to_mean, to_scale, latent.new_empty(0) if offset_sums is None else offset_sums
    to_latent, to_mean, to_scale = _like(layout, *inputs)
    gains, results = _floats(gain), _matrices(layout, to_latent, None if mean is None else to_mean, to_scale)
    arguments: list[Any] = [*_matrices(layout, *grads, scale), gains, scale_bound, *results, threads]
    _core.offset_backward(*arguments)
    if offsets is None:
        return to_latent, to_mean, to_scale, latent.new_empty(0)
    arguments = [*_matrices(layout, grad_latent_hat, latent, mean), gains, _matrix(layout, indexes), threads]
    sums = torch.from_numpy(_core.offset_gradients(*arguments))
    sums = sums[:, : offsets.shape[1]]
    return to_latent, to_mean, to_scale, sums.sum(0, keepdim=True) if len(offsets) != len(sums) else sums.clone()


def _like(layout: RowLayout, *tensors: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    first = next(tensor for tensor in tensors if tensor is not None)
    one, two, three = (
        first.new_empty(0) if tensor is None else layout.empty(tensor.dtype, tensor.device) for tensor in tensors
    )
    return one, two, three


@simulate_backward_op.register_fake
def _(
    grad_noisy: Tensor, grad_bounded: Tensor, grad_latent_hat: Tensor, latent: Tensor, mean: Any, scale: Tensor,
    gain: Any, offsets: Any, indexes: Any, bound: Any, threads: Any,
) -> tuple[Tensor, ...]:  # fmt: skip
    layout = common_layout(latent, mean, scale, grad_noisy, grad_bounded, grad_latent_hat)
    to_offsets = latent.new_empty(0) if offsets is None else torch.empty_like(offsets)
    return *_like(layout, latent, mean, scale), to_offsets


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    latent, mean, scale, gain, offsets, _, ctx.scale_bound, _, ctx.threads = inputs
    ctx.mark_non_differentiable(output[3])
    ctx.save_for_backward(latent, mean, scale, gain, offsets, output[3])


def _backward(ctx: Any, grad_noisy: Tensor, grad_bounded: Tensor, grad_latent_hat: Tensor, _: Any) -> tuple[Any, ...]:
    latent, mean, scale, gain, offsets, indexes = ctx.saved_tensors
    given = latent, mean, scale, gain, offsets, indexes, ctx.scale_bound, ctx.threads
    to_latent, to_mean, to_scale, to_offsets = simulate_backward_op(grad_noisy, grad_bounded, grad_latent_hat, *given)
    return (
        to_latent,
        None if mean is None else to_mean,
        to_scale,
        None,
        None if offsets is None else to_offsets,
        *[None] * 4,
    )


simulate_op.register_autograd(_backward, setup_context=_keep)
