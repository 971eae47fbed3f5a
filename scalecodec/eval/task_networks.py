"""Task networks for layered models: frozen, cut in two at a layer, for pictures in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec import features

from .networks import fastestdet, squeezenet

_KNOWN: dict[str, Any] = {"squeezenet": squeezenet, "fastestdet": fastestdet}


class TaskNetwork(nn.Module):
    """A network whose inner tensor a layered model's base gives; frozen.

    Parameters
    ----------
    network : nn.Module
    layer : name of the layer behind which it is cut, as :func:`scalecodec.features.split` does
    normalise : callable, from RGB [B, 3, H, W] in [0, 1] to the network's input
    """

    def __init__(self, network: nn.Module, layer: str, normalise: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        network.eval().requires_grad_(False)
        self.front, self.back = features.split(network, layer)
        self.normalise = normalise

    def forward(self, x: Tensor) -> Tensor:
        """The inner tensor [B, C, h, w] of pictures [B, 3, H, W] in [0, 1]."""
        found: Tensor = self.front(self.normalise(x))
        return found

    @torch.no_grad()
    def finish(self, inner: Tensor, shape: Sequence[int]) -> Any:
        """The network's output for an inner tensor, of which as many rows and columns are meant as ``shape`` [1, C, h,
        w] has: what a codec gives may have one or two more. ValueError where it is of another layer.
        """
        spare = [got - wanted for got, wanted in zip(inner.shape, shape, strict=True)]
        if spare[:2] != [0, 0] or not all(0 <= one <= 2 for one in spare[2:]):
            raise ValueError(f"the network has {tuple(shape)} at this layer, got {tuple(inner.shape)}")
        return self.back(inner[..., : shape[-2], : shape[-1]])


def named(text: str) -> TaskNetwork:
    """The network that ``NAME:WEIGHTS:LAYER`` means, as in squeezenet:FILE.safetensors:features.7; ValueError where it
    means none.
    """
    parts = text.split(":")
    if len(parts) != 3 or parts[0] not in _KNOWN:
        raise ValueError(f"a task is NAME:WEIGHTS:LAYER, NAME one of {', '.join(_KNOWN)}, got {text!r}")
    module = _KNOWN[parts[0]]
    return TaskNetwork(module.load(parts[1]), parts[2], module.normalised)
