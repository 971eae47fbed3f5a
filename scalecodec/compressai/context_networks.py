"""The networks of an autoregressive model as :class:`scalecodec.context.ContextNetwork` takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from compressai.entropy_models import EntropyModel, GaussianConditional
from compressai.layers import MaskedConv2d
from torch import Tensor, nn

from scalecodec.context import ContextNetwork
from scalecodec.sums import SumOrder

from .accelerated import method_of
from .entropy import FastConditional
from .repacked import Repacked
from .torch_sums import agrees, orders_of

# What the loop does by itself; models with methods of their own for it are left alone.
_STOCK_STEPS = {
    "quantize": (EntropyModel.quantize,),
    "dequantize": (EntropyModel.dequantize,),
    "build_indexes": (GaussianConditional.build_indexes, FastConditional.build_indexes),
}

_SLOPES: dict[type, Callable[[Any], float]] = {nn.LeakyReLU: lambda layer: layer.negative_slope, nn.ReLU: lambda _: 0.0}


def misfit(codec: Any) -> str:
    """Why a codec's loop cannot be compiled; empty where it can."""
    conv, layers = codec.context_prediction, codec.entropy_parameters
    if type(conv) is not MaskedConv2d or not _is_plain(conv, conv.kernel_size[0] // 2):
        return "its context network is no plain masked convolution"
    if not conv.kernel_size[0] % 2 or (
        not conv.mask.is_meta and bool((conv.mask != _mask_of(conv)).any())  # looked at again when it codes
    ):
        return "its context network's mask is not of type A"
    if type(layers) is not nn.Sequential or not _is_chain(list(layers)):
        return "its parameter network is no chain of 1x1 convolutions and LeakyReLU or ReLU"
    if any(network._forward_hooks or network._forward_pre_hooks for network in layers.modules()):
        return "its parameter network has hooks"
    conditional = codec.gaussian_conditional
    own = [name for name, stock in _STOCK_STEPS.items() if method_of(conditional, name) not in stock]
    return f"its conditional model has {' and '.join(own)} of its own" if own else ""


def _is_plain(conv: nn.Conv2d, padding: int) -> bool:
    return (
        conv.kernel_size[0] == conv.kernel_size[1]
        and conv.stride == conv.dilation == (1, 1)
        and conv.padding == (padding, padding)
        and conv.groups == 1
        and conv.padding_mode == "zeros"
    )


def _mask_of(conv: nn.Conv2d) -> Tensor:
    kernel = conv.kernel_size[0]
    before = torch.arange(kernel * kernel, device=conv.weight.device) < kernel * kernel // 2
    return before.view(kernel, kernel).expand_as(conv.weight).to(conv.weight.dtype)


def _is_chain(layers: list[nn.Module]) -> bool:
    is_conv = [type(layer) is nn.Conv2d and layer.kernel_size == (1, 1) and _is_plain(layer, 0) for layer in layers]
    # Whatever is no convolution is an activation, right behind one.
    acts = [at for at, conv in enumerate(is_conv) if not conv]
    return bool(layers) and all(at > 0 and is_conv[at - 1] and type(layers[at]) in _SLOPES for at in acts)


class PackedNetwork(Repacked[ContextNetwork]):
    """The packed networks of an autoregressive model."""

    def of(self, context_prediction: Any, entropy_parameters: Any, like_torch: bool) -> tuple[ContextNetwork, bool]:
        """For the present weights, which must be float32 on the CPU; and whether it gives torch's very floats.

        It does where ``like_torch`` asks for it and torch's order of sums could be found; else the order is our own.
        """
        networks = context_prediction, entropy_parameters
        weights = [weight for network in networks for weight in network.parameters()]
        slopes = tuple(_SLOPES[type(layer)](layer) for layer in entropy_parameters if type(layer) in _SLOPES)
        pack_like_torch = partial(_pack_like_torch, *networks) if like_torch else None
        return self.get(weights, slopes, pack_like_torch, partial(_pack, *networks))


def _pack_like_torch(context_prediction: Any, entropy_parameters: Any) -> ContextNetwork | None:
    orders = orders_of(context_prediction, entropy_parameters)
    if orders is None:
        return None
    network = _pack(context_prediction, entropy_parameters, orders)
    return network if agrees(network, context_prediction, entropy_parameters) else None


def _pack(
    context_prediction: Any, entropy_parameters: Any, orders: list[list[SumOrder]] | None = None
) -> ContextNetwork:
    layers: list[tuple[Tensor, Tensor | None, float | None]] = []
    for layer in entropy_parameters:
        if isinstance(layer, nn.Conv2d):
            layers.append((layer.weight.detach()[:, :, 0, 0], layer.bias, None))
        else:
            layers[-1] = (*layers[-1][:2], _SLOPES[type(layer)](layer))
    num_params = layers[0][0].shape[1] - context_prediction.out_channels
    return ContextNetwork(context_prediction.weight.detach(), context_prediction.bias, layers, num_params, orders)
