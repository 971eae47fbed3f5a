"""The networks of an autoregressive model as :class:`scalecodec.context.ContextNetwork` takes them."""

from __future__ import annotations

from typing import Any

import torch
from compressai.entropy_models import EntropyModel, GaussianConditional
from compressai.layers import MaskedConv2d
from torch import Tensor, nn

from scalecodec.context import ContextNetwork
from scalecodec.entropy_models.remade import Remade

from .entropy import FastConditional

# What the loop does by itself; models with methods of their own for it are left alone.
_STOCK_STEPS = {
    "quantize": (EntropyModel.quantize,),
    "dequantize": (EntropyModel.dequantize,),
    "build_indexes": (GaussianConditional.build_indexes, FastConditional.build_indexes),
}


def misfit(codec: Any) -> str:
    """Why a codec's loop cannot be compiled; empty where it can."""
    conv, layers = codec.context_prediction, codec.entropy_parameters
    if type(conv) is not MaskedConv2d or not _is_plain(conv, conv.kernel_size[0] // 2):
        return "its context network is no plain masked convolution"
    if not conv.kernel_size[0] % 2 or bool((conv.mask != _mask_of(conv)).any()):
        return "its context network's mask is not of type A"
    if type(layers) is not nn.Sequential or not _is_chain(list(layers)):
        return "its parameter network is no chain of 1x1 convolutions and LeakyReLU"
    own = [name for name, stock in _STOCK_STEPS.items() if getattr(type(codec.gaussian_conditional), name) not in stock]
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
    pairs = zip(is_conv, [*is_conv[1:], True], layers, strict=True)
    # Every other layer is an activation that stands behind a convolution.
    return (
        bool(layers) and is_conv[0] and all(conv or (after and type(it) is nn.LeakyReLU) for conv, after, it in pairs)
    )


class PackedNetwork(Remade[ContextNetwork]):
    """The packed networks of an autoregressive model."""

    def of(self, context_prediction: Any, entropy_parameters: Any) -> ContextNetwork:
        """For the present weights, which must be float32 on the CPU."""
        weights = [*context_prediction.parameters(), *entropy_parameters.parameters()]
        return self.get(weights, lambda: _pack(context_prediction, entropy_parameters))


def _pack(context_prediction: Any, entropy_parameters: Any) -> ContextNetwork:
    layers: list[tuple[Tensor, Tensor | None, float | None]] = []
    for layer in entropy_parameters:
        if isinstance(layer, nn.Conv2d):
            layers.append((layer.weight.detach()[:, :, 0, 0], layer.bias, None))
        else:
            layers[-1] = (*layers[-1][:2], layer.negative_slope)
    num_params = layers[0][0].shape[1] - context_prediction.out_channels
    return ContextNetwork(context_prediction.weight.detach(), context_prediction.bias, layers, num_params)
