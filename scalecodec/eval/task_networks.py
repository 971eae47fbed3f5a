"""Task networks for layered models: frozen, cut in two at a layer, for pictures in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec import features

from .networks import fastestdet, squeezenet

_KNOWN: dict[str, Any] = {"squeezenet": squeezenet, "fastestdet": fastestdet}


@dataclass(frozen=True)
class TaskNetwork:
    """A network whose inner tensor a layered model's base gives.

    Attributes
    ----------
    front : nn.Module, from what ``normalise`` gives to the inner tensor [B, C, h, w]
    back : nn.Module, from that to the network's output
    normalise : callable, from RGB [B, 3, H, W] in [0, 1] to the network's input
    """

    front: nn.Module
    back: nn.Module
    normalise: Callable[[Tensor], Tensor]

    @classmethod
    def of(
        cls, network: nn.Module, layer: str, normalise: Callable[[Tensor], Tensor], example: Tensor | None = None
    ) -> TaskNetwork:
        """Any network, cut behind a layer as :func:`scalecodec.features.split` does, and frozen."""
        network.eval().requires_grad_(False)
        front, back = features.split(network, layer, None if example is None else normalise(example))
        return cls(front, back, normalise)

    def __call__(self, x: Tensor) -> Tensor:
        """The inner tensor of pictures [B, 3, H, W] in [0, 1]."""
        found: Tensor = self.front(self.normalise(x))
        return found

    @torch.no_grad()
    def finish(self, inner: Tensor, like: Tensor) -> Any:
        """The output for an inner tensor, of which as many rows and columns are meant as ``like`` has."""
        return self.back(inner[..., : like.shape[-2], : like.shape[-1]])


def named(text: str) -> TaskNetwork:
    """The network that ``NAME:WEIGHTS:LAYER`` means, as in squeezenet:FILE.safetensors:features.7; ValueError where it
    means none.
    """
    parts = text.split(":")
    if len(parts) != 3 or parts[0] not in _KNOWN:
        raise ValueError(f"a task is NAME:WEIGHTS:LAYER, NAME one of {', '.join(_KNOWN)}, got {text!r}")
    module = _KNOWN[parts[0]]
    return TaskNetwork.of(module.load(parts[1]), parts[2], module.normalised)
