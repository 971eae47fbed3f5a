"""mbt2018-vbr (arXiv:2402.18930): CompressAI's variable-rate autoregressive model, its loop compiled with gain, offsets
and all; for its other stages and flags, CompressAI's own loop on our coder.
"""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any, NamedTuple

import torch
from compressai.models.vbr import JointAutoregressiveHierarchicalPriorsVbr
from torch import Tensor, nn

from scalecodec.context import ContextNetwork
from scalecodec.context_rate import ContextRate, OffsetNetwork

from .autoregressive import UNFOUND, Loop, arguments_of, network_of, on_float32
from .context_networks import misfit
from .lane_strings import refuse_marked
from .repacked import Repacked
from .stock_loop import decode_with_fallback, on_our_coder
from .torch_sums import offset_orders_of, offsets_agree

_OWN = (
    on_our_coder(JointAutoregressiveHierarchicalPriorsVbr._compress_ar),
    on_our_coder(JointAutoregressiveHierarchicalPriorsVbr._decompress_ar),
)


class PackedOffsets(Repacked[OffsetNetwork]):
    """A model's offset network, packed."""

    def of(self, layers: Any, num_channels: int, like_torch: bool) -> tuple[OffsetNetwork, bool]:
        """For the present weights; and whether it gives torch's very floats, which ``like_torch`` asks for."""
        pack_like_torch = partial(_offsets_like_torch, layers, num_channels) if like_torch else None
        pack = partial(_offsets, layers, num_channels)
        return self.get(list(layers.parameters()), (num_channels,), pack_like_torch, pack)


def _offsets(layers: Any, num_channels: int) -> OffsetNetwork:
    return OffsetNetwork(_pairs(layers), [0] * num_channels)


def _pairs(layers: Any) -> list[tuple[Tensor, Tensor]]:
    return [(layer.weight.detach(), layer.bias.detach()) for layer in layers if isinstance(layer, nn.Linear)]


def _offsets_like_torch(layers: Any, num_channels: int) -> OffsetNetwork | None:
    orders = offset_orders_of([layer for layer in layers if isinstance(layer, nn.Linear)], num_channels)
    if orders is None:
        return None
    network = OffsetNetwork(_pairs(layers), *orders)
    return network if offsets_agree(network, layers) else None


def _is_offset_network(network: Any) -> bool:
    """Linear layers with a bias and ReLU by turns, from two inputs to one output, and nothing hung into them."""
    if type(network) is not nn.Sequential:
        return False
    layers: list[Any] = list(network)
    kinds = [type(layer) for layer in layers]
    return (
        kinds == [nn.Linear if at % 2 == 0 else nn.ReLU for at in range(len(kinds))]
        and len(kinds) % 2 == 1
        and (layers[0].in_features, layers[-1].out_features) == (2, 1)
        and all(layer.bias is not None for layer in layers[::2])
        and not any(layer._forward_hooks or layer._forward_pre_hooks for layer in network.modules())
    )


class _Place(NamedTuple):
    """What CompressAI hands to the loop of one item, behind latents and params."""

    height: int
    width: int
    kernel_size: int
    padding: int
    scale: Any
    rescale: Any
    stage: int

    def inside(self, padded: Tensor) -> Tensor:
        """Latents without their border, a view."""
        return padded[:, :, self.padding : self.padding + self.height, self.padding : self.padding + self.width]


def _packed(codec: Any, at: _Place) -> tuple[ContextNetwork, ContextRate] | None:
    """What the compiled loop needs; None where it does not do what the model would, or not with torch's floats."""
    usual = at.stage == 2 and codec.ste_recursive and codec.scl2ctx and not codec.no_quantoffset
    if not usual or not on_float32(codec) or misfit(codec) or not _is_offset_network(codec.QuantABCD):
        return None
    like_torch = codec._scalecodec_settings.stream_name == "compressai"
    network, is_torchs = network_of(codec)
    offsets, are_torchs = codec._scalecodec_offsets.of(codec.QuantABCD, network.num_channels, like_torch)
    if like_torch and not (is_torchs and are_torchs):
        warnings.warn(UNFOUND, stacklevel=3)
        return None
    with torch.no_grad():
        gain = float(at.scale.detach())
        shift = codec.scale_to_context.forward(at.scale.view(1, 1)).view(-1)
    return (network, ContextRate(gain, shift, offsets)) if 0 < gain < math.inf else None


class FastJointVbr(Loop, JointAutoregressiveHierarchicalPriorsVbr):
    """mbt2018-vbr (arXiv:2402.18930) around the compiled loop."""

    _scalecodec_offsets: PackedOffsets
    _scalecodec_methods = ("_compress_ar", "_decompress_ar")
    _scalecodec_text = (
        "its loop over positions compiled; stage 1, or without offsets, its own loop on the compiled coder"
    )

    @staticmethod
    def _scalecodec_misfit(module: Any) -> str:
        return ""

    @staticmethod
    def _scalecodec_attributes() -> dict[str, Any]:
        return Loop._scalecodec_attributes() | {"_scalecodec_offsets": PackedOffsets()}

    def _compress_ar(self, y_hat: Tensor, params: Tensor, *rest: Any, **named: Any) -> bytes:
        at = _Place(*rest, **named)
        packed = _packed(self, at)
        if packed is None:
            return _OWN[0](self, y_hat, params, *at)
        (network, rate), settings = packed, self._scalecodec_settings
        lanes = settings.stream_name == "lanes"
        how: dict[str, Any] = {"threads": settings.threads, "order": "wavefront" if lanes else "raster", "rate": rate}
        (string,), decoded = network.encode(at.inside(y_hat), *arguments_of(self, params), **how)
        at.inside(y_hat).copy_(decoded)
        return settings.marks.mark(string) if lanes else string

    def _decompress_ar(self, y_string: bytes, y_hat: Tensor, params: Tensor, *rest: Any, **named: Any) -> None:
        at = _Place(*rest, **named)
        packed, settings = _packed(self, at), self._scalecodec_settings
        if packed is None:
            return _OWN[1](self, y_string, y_hat, params, *at)
        (network, rate), arguments, threads = packed, arguments_of(self, params), settings.threads
        if settings.stream_name == "lanes":
            how: dict[str, Any] = {"threads": threads, "order": "wavefront", "rate": rate}
            at.inside(y_hat).copy_(network.decode([settings.marks.unmark(y_string)], *arguments, **how))
            return None
        refuse_marked([y_string])
        return decode_with_fallback(
            lambda: at.inside(y_hat).copy_(network.decode([y_string], *arguments, threads=threads, rate=rate)),
            lambda: _OWN[1](self, y_string, y_hat, params, *at),
        )


ALL = (FastJointVbr,)
