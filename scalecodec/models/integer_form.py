"""The integer form of a model's network, as buffers of the model: what a weight file keeps of it."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor, nn

from scalecodec.entropy_models.remade import Remade
from scalecodec.integer import IntegerNetwork, LayerNumbers, Numbers, assemble, stages

_NAMES = LayerNumbers._fields


class IntegerForm(nn.Module):
    """Numbers of one network, which stays where it is: its weights are the integers', once
    ``integer.round_weights`` has rounded them.

    Buffers: ``input_fraction`` and ``limits`` [num_layers], int32; for each layer ``exponent0`` and so on, [O]; of a
    network that ends in a table, ``table``.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        parts = stages(network)
        self.register_buffer("input_fraction", torch.zeros((), dtype=torch.int32))
        self.register_buffer("limits", torch.ones(len(parts), dtype=torch.int32))
        for at, stage in enumerate(parts):
            for name in _NAMES:
                dtype = {"exponent": torch.int8, "bias": torch.int64}.get(name, torch.int32)
                self.register_buffer(f"{name}{at}", torch.zeros(stage.conv.out_channels, dtype=dtype))
        if parts[-1].tail is not None:
            self.register_buffer("table", torch.zeros(2**16, dtype=torch.int32))
        self._made: Remade[IntegerNetwork] = Remade()

    def fill(self, numbers: Numbers) -> None:
        """Take the numbers of ``integer.fit``."""
        self.get_buffer("input_fraction").fill_(numbers.input_fraction)
        self.get_buffer("limits").copy_(torch.tensor(numbers.limits))
        if numbers.table is not None:
            self.get_buffer("table").copy_(numbers.table)
        for at, layer in enumerate(numbers.layers):
            for name in _NAMES:
                self.get_buffer(f"{name}{at}").copy_(getattr(layer, name))

    @property
    def fraction(self) -> int:
        """Inputs are integers in units of ``2^-fraction``."""
        return int(self.get_buffer("input_fraction"))

    def id_of(self, network: nn.Module) -> bytes:
        """8 bytes: SHA-256 prefix over all that decides what the network makes of a hyper-latent."""
        fraction = self.fraction.to_bytes(4, "little", signed=True)
        return hashlib.sha256(self.of(network).id + fraction).digest()[:8]

    def of(self, network: nn.Module) -> IntegerNetwork:
        """The network in integers, made again only when weights or numbers change; errors as of ``assemble``."""
        sources = [*network.parameters(), *self.buffers()]
        return self._made.get(sources, lambda: assemble(network, self._numbers()))

    def _numbers(self) -> Numbers:
        limits = tuple(self.get_buffer("limits").tolist())
        layers = tuple(LayerNumbers(*(self._of_layer(at, name) for name in _NAMES)) for at in range(len(limits)))
        return Numbers(self.fraction, limits, layers, dict(self.named_buffers()).get("table"))

    def _of_layer(self, at: int, name: str) -> Tensor:
        return self.get_buffer(f"{name}{at}")
