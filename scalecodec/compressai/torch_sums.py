"""The order of torch's sums where CompressAI's autoregressive loops call it: one position, one layer at a time.

That order is oneDNN's and the BLAS's affair; it depends on processor, version, sizes, alignment and threads. It is
measured once for each, and what was measured is tried on a model's own weights before its strings depend on it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalecodec.context import ContextNetwork
from scalecodec.context_rate import OffsetNetwork
from scalecodec.sums import SumOrder, measure_orders

_LINE = 64  # bytes: alignments further apart are all the same to a kernel
_TRIED = (1, 3, 5)  # batch, height, width of what an order is tried on

_CPU = torch.device("cpu")  # whatever the default device is
_MOST_KINDS = 8
_TRIALS = 8  # that two orders pass for one
_GAINS = (1.0, 0.5, 0.1, 0.3726834)

_measured: dict[tuple[Any, ...], Any] = {}
_lock = threading.Lock()


def _unlock() -> None:
    """A child of a fork does not have the thread that may have held the lock."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock)


def arithmetic() -> tuple[Any, ...]:
    """What of torch's settings decides how it adds up."""
    backend = torch.backends.mkldnn
    parts = [getattr(backend, name, None) for name in ("conv", "matmul")]
    precisions = [getattr(part, "fp32_precision", None) for part in (backend, *parts)]
    try:
        precisions.append(torch.get_float32_matmul_precision())
    except RuntimeError:  # set by parts, which then say it all
        precisions.append(None)
    return torch.get_num_threads(), backend.enabled, *precisions


def address_of(weight: Tensor) -> tuple[Any, ...]:
    """How a weight lies in memory, as far as a kernel may care."""
    return weight.data_ptr() % _LINE, weight.stride()


def orders_of(context_prediction: Any, entropy_parameters: Any) -> list[list[SumOrder]] | None:
    """The orders in which both networks add up at one position; None where they cannot be found."""
    convs = [layer for layer in entropy_parameters if isinstance(layer, nn.Conv2d)]
    kernel, channels = context_prediction.kernel_size[0], context_prediction.in_channels
    # CompressAI multiplies the mask in, into new memory.
    found = [_orders(context_prediction.out_channels, channels, kernel, kernel * kernel // 2, 0)]
    found += [_orders(conv.out_channels, conv.in_channels, 1, 1, conv.weight.data_ptr() % _LINE) for conv in convs]
    known = [orders for orders in found if orders is not None]
    return known if len(known) == len(found) else None


def _orders(num_outputs: int, num_channels: int, kernel: int, num_taps: int, alignment: int) -> list[SumOrder] | None:
    """Of a convolution of which the first taps count."""
    layer = partial(_convolve, kernel, num_taps, num_channels, alignment)
    key = ("convolution", num_outputs, num_channels, kernel, num_taps, alignment)
    return _once(key, lambda: measure_orders(layer, num_channels * num_taps, num_outputs))


def _once(key: tuple[Any, ...], measure: Callable[[], Any]) -> Any:
    """What was measured for this key under torch's present settings; None where nothing can be."""
    key = (*key, *arithmetic())
    with _lock:
        if key not in _measured:
            try:
                with _CPU:
                    _measured[key] = measure()
            except ValueError:
                _measured[key] = None
        return _measured[key]


def _convolve(
    kernel: int, num_taps: int, num_channels: int, alignment: int, weight: Tensor, bias: Tensor, inputs: Tensor
) -> Tensor:
    """One position, called as CompressAI calls it; inputs by taps, then channels."""
    full = _aligned(alignment, (len(weight), num_channels, kernel * kernel))
    full[:, :, :num_taps] = weight.view(-1, num_taps, num_channels).transpose(1, 2)
    at = weight.new_zeros(1, num_channels, kernel * kernel)
    at[0, :, :num_taps] = inputs.view(num_taps, num_channels).T
    square = (kernel, kernel)
    return F.conv2d(at.view(1, num_channels, *square), full.view(-1, num_channels, *square), bias)[0, :, 0, 0]


def _randn(noise: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=noise, dtype=torch.float32, device="cpu")


def _aligned(offset: int, shape: Sequence[int]) -> Tensor:
    """Zeros at an address of that many bytes over a multiple of a cache line."""
    size = int(torch.Size(shape).numel())
    memory = torch.zeros(size + 2 * _LINE // 4, dtype=torch.float32)
    first = (offset - memory.data_ptr()) % _LINE // 4
    return memory[first : first + size].view(*shape)


@torch.no_grad()
def agrees(network: ContextNetwork, context_prediction: Any, entropy_parameters: Any) -> bool:
    """Whether ``network`` gives torch's very floats, on latents of several sizes."""
    pad, noise = context_prediction.kernel_size[0] // 2, torch.Generator("cpu").manual_seed(0)
    batch, height, width = _TRIED
    y_hat = 3 * _randn(noise, batch, network.num_channels, height, width)
    params = _randn(noise, batch, network.num_params, height, width)
    weight = context_prediction.weight * context_prediction.mask
    padded = F.pad(y_hat, (pad, pad, pad, pad))
    both = torch.cat(network.predict(y_hat, params), dim=1)
    for h in range(height):
        for w in range(width):
            crop = padded[:, :, h : h + 2 * pad + 1, w : w + 2 * pad + 1]
            context = F.conv2d(crop, weight, bias=context_prediction.bias)
            stock = entropy_parameters(torch.cat((params[:, :, h : h + 1, w : w + 1], context), dim=1))
            if not torch.equal(stock[:, :, 0, 0], both[:, :, h, w]):
                return False
    return True


def offset_orders_of(linears: Sequence[Any], num_channels: int) -> tuple[list[int], list[list[list[SumOrder]]]] | None:
    """Of dense layers over all channels at once, channels by the order in which torch adds up for them.

    Returns
    -------
    kinds, sums : as OffsetNetwork takes them; None where an order cannot be found
    """
    by_layers = []
    for linear in linears:
        sizes = num_channels, linear.in_features, linear.out_features
        by_layers.append(_once(("rows", *sizes), partial(_orders_by_rows, *sizes)))
    known = [found for found in by_layers if found is not None]
    if len(known) < len(by_layers):
        return None
    rows = [tuple(kinds[channel] for kinds, _ in known) for channel in range(num_channels)]
    all_kinds = sorted(set(rows))
    sums = [[orders[kind[place]] for kind in all_kinds] for place, (_, orders) in enumerate(known)]
    return [all_kinds.index(row) for row in rows], sums


def _orders_by_rows(num_rows: int, num_inputs: int, num_outputs: int) -> tuple[list[int], list[list[SumOrder]]]:
    """The kind of every row, and the orders of every kind."""
    noise, trials = torch.Generator().manual_seed(0), []
    for _ in range(_TRIALS):
        weight, bias = _randn(noise, num_outputs, num_inputs), _randn(noise, num_outputs)
        trials.append(_rows(num_rows, weight, bias, _randn(noise, num_inputs)))
    _, kinds = torch.cat(trials, 1).unique(dim=0, return_inverse=True)
    if int(kinds.max()) >= _MOST_KINDS:
        raise ValueError("rows are summed in too many orders")
    orders = []
    for kind in range(int(kinds.max()) + 1):
        row = int(torch.nonzero(kinds == kind)[0])
        orders.append(measure_orders(partial(_row, num_rows, row), num_inputs, num_outputs))
    return kinds.tolist(), orders


@torch.no_grad()
def _rows(num_rows: int, weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    """Every row the same; CompressAI's encoder gives three dimensions."""
    return F.linear(inputs.expand(1, num_rows, -1).contiguous(), weight, bias)[0]


def _row(num_rows: int, row: int, weight: Tensor, bias: Tensor, inputs: Tensor) -> Tensor:
    return _rows(num_rows, weight, bias, inputs)[row]


@torch.no_grad()
def offsets_agree(network: OffsetNetwork, layers: Any) -> bool:
    """Whether ``network`` gives torch's very floats, over scales of all sizes."""
    noise = torch.Generator().manual_seed(0)
    for gain in _GAINS:
        scales = torch.exp(_randn(noise, network.num_channels) * 2)
        stock = layers(torch.stack([scales, torch.full_like(scales, gain)], 1)[None])[0, :, 0]
        if not torch.equal(stock, network(scales, gain)):
            return False
    return True
