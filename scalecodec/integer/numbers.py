"""Post-training conversion: the few numbers that, with a network's weights, make its integer form.

A weight is ``W = round(w * 2^exponent)``, an exponent an output; so where a network's weights were rounded to that grid
(:func:`round_weights`) they are the integers', and need no second copy. An activation is an integer in units that its
layer's range decides: a sum times ``multiplier * 2^-shift`` is one (Jacob et al. 2018, arXiv:1712.05877, section 2.2).
All units are powers of two. So what machines measure of ranges, which may differ in their last bits, gives the same
numbers on each (but at a power of two itself, and then ids differ), and no number comes from a library's logarithm.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from scalecodec.kernels.integer_conv_ref import Layer, Phase

from .network import IntegerNetwork
from .structure import Stage, phases, stages
from .units import OUTPUT_FRACTION, OUTPUT_LIMIT, as_integers

WEIGHT_BITS = 12  # float16, which weight files keep, holds such numbers exactly; more bits save no rate to speak of
MAX_FRACTION = 24
MAX_EXPONENT = 24  # below 2^-24 float16, which weight files keep, has nothing
MAX_SHIFT = 62
_MULTIPLIER_BITS = 14
_BIAS_BITS = 45
_SMALLEST = 2.0**-8  # of a range: what is never larger needs no finer unit
_MARGIN = 1.5  # over the largest activation seen


class LayerNumbers(NamedTuple):
    """[O] each, O the convolution's outputs, in its own order."""

    exponent: Tensor  # int8
    bias: Tensor  # int64
    multiplier: Tensor  # int32
    negative: Tensor  # int32
    shift: Tensor  # int32


class Numbers(NamedTuple):
    """``limits``: what layers' inputs are clamped to, the network's first; ``input_fraction``: its input is in units of
    ``2^-input_fraction``; ``table``: int32 [65536], what stands for each int16 that the last layer gives, if anything.
    """

    input_fraction: int
    limits: tuple[int, ...]
    layers: tuple[LayerNumbers, ...]
    table: Tensor | None = None


@torch.no_grad()
def exponents(conv: nn.Conv2d | nn.ConvTranspose2d, weight_bits: int) -> Tensor:
    """Int8 [O]: the largest at which every weight of an output fits ``weight_bits``."""
    by_output = conv.weight.transpose(0, 1) if isinstance(conv, nn.ConvTranspose2d) else conv.weight
    largest = by_output.detach().double().abs().flatten(1).amax(1)
    if not bool(largest.isfinite().all()):
        raise ValueError("a weight is not finite")
    found = [_room(value, 2 ** (weight_bits - 1) - 1) for value in largest.tolist()]
    return torch.tensor(found).clamp(-MAX_EXPONENT, MAX_EXPONENT).to(torch.int8)


def _room(value: float, most: int) -> int:
    """The largest e at which ``round(value * 2^e)`` is at most ``most``; 0 for 0."""
    exponent = most.bit_length() - math.frexp(value)[1] if value > 0 else 0
    return exponent - (round(math.ldexp(value, exponent)) > most)


@torch.no_grad()
def round_weights(network: nn.Module, weight_bits: int = WEIGHT_BITS) -> None:
    """Round every kernel to the grid of its integer form, in place."""
    for stage in stages(network):
        conv = stage.conv
        grid = _like_weight(conv, 2.0 ** exponents(conv, weight_bits).double())
        conv.weight.copy_((conv.weight.double() * grid).round() / grid)


def _like_weight(conv: nn.Conv2d | nn.ConvTranspose2d, by_output: Tensor) -> Tensor:
    shape = (1, -1, 1, 1) if isinstance(conv, nn.ConvTranspose2d) else (-1, 1, 1, 1)
    return by_output.view(shape).to(conv.weight.device)


@torch.no_grad()
def fit(
    network: nn.Module,
    samples: Sequence[Tensor],
    *,
    weight_bits: int = WEIGHT_BITS,
    activation_bits: int = 16,
) -> Numbers:
    """The numbers of a network, from what its inputs may be.

    Parameters
    ----------
    network : Sequential of convolutions ("same" ones of stride 1, transposed ones, pixel shuffles), ReLU and LeakyReLU;
        at its end Softplus or Exp
    samples : float tensors [B, I, H, W], as inputs come; the ranges of activations are measured on them
    weight_bits, activation_bits : 8 to 16, sign included

    Raises
    ------
    TypeError
        A layer has no integer form.
    ValueError
        Samples or weights are not finite, or there are none.
    """
    for name, bits in (("weight_bits", weight_bits), ("activation_bits", activation_bits)):
        if not 8 <= bits <= 16:
            raise ValueError(f"{name} must be 8 to 16, got {bits}")
    limit = 2 ** (activation_bits - 1) - 1
    parts = stages(network)
    ranges = _ranges(network, parts, samples)
    fractions = [_room(_MARGIN * max(size, _SMALLEST), limit) for size in ranges]
    if fractions[0] < 0:
        raise ValueError(f"inputs of up to {ranges[0]:g} are too large: symbols would share integers")
    tail = parts[-1].tail
    if tail is None:
        fractions[-1] = OUTPUT_FRACTION
    layers = [
        _layer(stage, exponents(stage.conv, weight_bits), *ends)
        for stage, ends in zip(parts, pairwise(fractions), strict=True)
    ]
    table = None if tail is None else _table(tail, fractions[-1])
    return Numbers(fractions[0], (limit,) * len(parts), tuple(layers), table)


def _ranges(network: nn.Module, parts: Sequence[Stage], samples: Sequence[Tensor]) -> list[float]:
    """The largest size of what each layer takes, and of what the last convolution gives."""
    sizes = [0.0] * (len(parts) + 1)

    def look(at: int, tensor: Tensor) -> None:
        size = float(tensor.abs().max())
        sizes[at] = size if math.isnan(size) else max(sizes[at], size)

    hooks = [
        stage.conv.register_forward_pre_hook(lambda _, given, at=at: look(at, given[0]))
        for at, stage in enumerate(parts)
    ]
    hooks.append(parts[-1].conv.register_forward_hook(lambda _, __, given: look(len(parts), given)))
    try:
        weight = parts[0].conv.weight
        for sample in samples:
            network(sample.to(weight.device, weight.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    if not samples or not all(map(math.isfinite, sizes)):
        raise ValueError("the network's samples, or what it makes of them, are not finite, or there are none")
    return sizes


def _table(tail: nn.Module, fraction: int) -> Tensor:
    """The network's end for every int16, in float64."""
    x = torch.arange(-(2**15), 2**15).double() * 2.0**-fraction
    return as_integers(tail(x), OUTPUT_FRACTION)


def _layer(stage: Stage, exponent: Tensor, fraction_in: int, fraction_out: int) -> LayerNumbers:
    """From integers of ``2^-fraction_in`` to such of ``2^-fraction_out``."""
    # Where weights are small beside a bias, coarser weights: the bias must fit.
    room = [_room(size, 1 << _BIAS_BITS) - fraction_in for size in _bias_of(stage).abs().tolist()]
    exponent = torch.where(_bias_of(stage) != 0, exponent.int().minimum(torch.tensor(room)), exponent.int())
    exponent = exponent.clamp(min=-MAX_EXPONENT).to(torch.int8)
    fractions = exponent.int() + fraction_in  # of sums
    shift = fractions - fraction_out + _MULTIPLIER_BITS
    if bool((shift < 0).any()):
        raise ValueError("a layer's outputs are too fine for its inputs")
    whole = torch.full_like(shift, 1 << _MULTIPLIER_BITS)
    # Beyond 62 nothing of a sum is left.
    multiplier = torch.where(shift > MAX_SHIFT, 0, whole)
    negative = torch.where(shift > MAX_SHIFT, 0, torch.full_like(shift, round(stage.slope * (1 << _MULTIPLIER_BITS))))
    return LayerNumbers(
        exponent,
        _bias_integers(stage, fractions),
        multiplier,
        negative,
        shift.clamp(max=MAX_SHIFT),
    )


def _bias_of(stage: Stage) -> Tensor:
    conv = stage.conv
    bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach().cpu()
    if not bool(bias.isfinite().all()):
        raise ValueError("a bias is not finite")
    return bias.double()


def _bias_integers(stage: Stage, fractions: Tensor) -> Tensor:
    return torch.ldexp(_bias_of(stage), fractions).clamp(-(2.0**62), 2.0**62).round().long()


def assemble(network: nn.Module, numbers: Numbers) -> IntegerNetwork:
    """The integer form.

    Raises
    ------
    ValueError
        Numbers and network do not fit, as where a bias changed since; or a sum could overflow.
    """
    parts = stages(network)
    if not 0 <= numbers.input_fraction <= MAX_FRACTION:
        raise ValueError(f"inputs must be in units of 2^-{MAX_FRACTION} to 1, got 2^-({numbers.input_fraction})")
    if wrong := [limit for limit in numbers.limits if not 1 <= limit < 2**15]:
        raise ValueError(f"limits must lie in [1, {2**15 - 1}], got {wrong[0]}")
    if len(parts) != len(numbers.layers) or len(parts) != len(numbers.limits):
        raise ValueError(f"numbers of {len(numbers.layers)} layers for a network of {len(parts)}")
    last = OUTPUT_LIMIT if numbers.table is None else 2**15 - 1
    limits = [(-limit, limit) for limit in (*numbers.limits[1:], last)]
    fraction, layers = numbers.input_fraction, []
    for stage, mine, limit in zip(parts, numbers.layers, limits, strict=True):
        layers.append(_assembled(stage, mine, limit))
        fraction = _check_bias(stage, mine, fraction)
    return IntegerNetwork(numbers.limits[0], layers, numbers.table)


def _check_bias(stage: Stage, numbers: LayerNumbers, fraction: int) -> int:
    """The fraction of what the layer gives; ValueError where its biases are not the network's."""
    fractions = numbers.exponent.cpu().int() + fraction
    if not torch.equal(_bias_integers(stage, fractions), numbers.bias.cpu()):
        raise ValueError("the biases are not those that the integer form was made of")
    return int((fractions + _MULTIPLIER_BITS - numbers.shift.cpu()).min())


def _assembled(stage: Stage, numbers: LayerNumbers, limits: tuple[int, int]) -> Layer:
    density, taps = phases(stage)
    arrays = [each.cpu().numpy() for each in numbers]
    if any(len(array) != stage.conv.out_channels for array in arrays):
        raise ValueError(f"there must be numbers for {stage.conv.out_channels} outputs, got {len(arrays[0])}")
    exponent, *others = arrays
    found = []
    for weight, start, outputs in taps:
        integers = np.rint(np.ldexp(weight, exponent[outputs].astype(np.int32)[:, None, None, None]))
        if not (np.abs(integers) <= np.iinfo(np.int16).max).all():
            raise ValueError("a weight does not fit 16 bits")
        found.append(Phase(integers.astype(np.int16), start, *(_rows(array, outputs) for array in others)))
    return Layer(stage.conv.in_channels, len(taps[0].outputs), density, limits, tuple(found))


def _rows(array: NDArray[np.generic], outputs: NDArray[np.intp]) -> NDArray[np.generic]:
    return np.ascontiguousarray(array[outputs])
