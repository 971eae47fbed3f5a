"""Which torch networks have an integer form, and how their layers look as phases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn


class Exp(nn.Module):
    """``exp(x)``, for the end of a network that gives logarithms of scales."""

    def forward(self, x: Tensor) -> Tensor:
        return x.exp()


class Stage(NamedTuple):
    """A convolution, the sub-pixel shuffle behind it (1: none), the slope of its activation below 0 (1: none), and
    what else stands at the network's end, for a table to replace.
    """

    conv: nn.Conv2d | nn.ConvTranspose2d
    shuffle: int
    slope: float
    tail: nn.Module | None = None


class Taps(NamedTuple):
    """One phase: its kernel [O, rows, columns, I], where that begins, and which outputs of the convolution it makes."""

    weight: NDArray[np.float64]
    start: tuple[int, int]
    outputs: NDArray[np.intp]


def stages(network: nn.Module) -> list[Stage]:
    """The network's convolutions, each with what follows it.

    Raises
    ------
    TypeError
        A layer has no integer form; the message names it.
    """
    found: list[Stage] = []
    layers = list(_flat(network))
    for at, layer in enumerate(layers):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            _check(layer)
            found.append(Stage(layer, 1, 1.0))
            continue
        last = found[-1] if found else None
        if last is None or last.slope != 1:
            raise TypeError(f"{type(layer).__name__} has no integer form where no convolution stands before it")
        if isinstance(layer, nn.PixelShuffle) and last.shuffle == 1 and isinstance(last.conv, nn.Conv2d):
            found[-1] = last._replace(shuffle=layer.upscale_factor)
        elif isinstance(layer, nn.ReLU):
            found[-1] = last._replace(slope=0.0)
        elif isinstance(layer, nn.LeakyReLU) and 0 <= layer.negative_slope < 1:
            found[-1] = last._replace(slope=layer.negative_slope)
        elif isinstance(layer, nn.Softplus | Exp) and at == len(layers) - 1:
            found[-1] = last._replace(tail=layer)
        else:
            raise TypeError(f"{layer} has no integer form")
    if not found:
        raise TypeError(f"{type(network).__name__} has no convolution")
    return found


def _flat(network: nn.Module) -> Iterator[nn.Module]:
    if isinstance(network, nn.Sequential):
        for layer in network:
            yield from _flat(layer)
    else:
        yield network


def _check(conv: nn.Conv2d | nn.ConvTranspose2d) -> None:
    plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros" and len(set(conv.stride)) == 1
    if not plain or isinstance(conv.padding, str) or not all(_fits(conv, side) for side in (0, 1)):
        raise TypeError(f"{conv} has no integer form: outputs must be a whole number of times as dense as inputs")


def _fits(conv: nn.Conv2d | nn.ConvTranspose2d, side: int) -> bool:
    size, stride, padding = conv.kernel_size[side], conv.stride[side], int(conv.padding[side])
    if isinstance(conv, nn.Conv2d):
        return stride == 1 and size == 2 * padding + 1
    return size >= stride and size - 2 * padding + conv.output_padding[side] == stride


def phases(stage: Stage) -> tuple[int, list[Taps]]:
    """How many times as dense the outputs are, and the kernels of the phases, row by row."""
    conv, weight = stage.conv, stage.conv.weight.detach().double().cpu().numpy()
    if isinstance(conv, nn.Conv2d):
        rows = weight.transpose(0, 2, 3, 1)
        start = (-int(conv.padding[0]), -int(conv.padding[1]))
        density = stage.shuffle
        outputs = np.arange(conv.out_channels).reshape(-1, density * density)  # the shuffle takes them in this order
        return density, [Taps(rows[mine], start, mine) for mine in outputs.T]
    density = conv.stride[0]
    rows = weight.transpose(1, 2, 3, 0)
    everything = np.arange(conv.out_channels)
    found = []
    for place in range(density * density):
        # Output density * q + phase takes input q + (phase + padding - tap) / density: from the last tap to the first.
        sides = [_taps(conv, side, (place // density, place % density)[side]) for side in (0, 1)]
        (rows_taken, top), (columns_taken, left) = sides
        found.append(Taps(rows[:, rows_taken][:, :, columns_taken], (top, left), everything))
    return density, found


def _taps(conv: nn.ConvTranspose2d, side: int, phase: int) -> tuple[list[int], int]:
    density, reach = conv.stride[side], phase + int(conv.padding[side])
    taps = [tap for tap in range(conv.kernel_size[side])[::-1] if (reach - tap) % density == 0]
    return taps, (reach - taps[0]) // density
