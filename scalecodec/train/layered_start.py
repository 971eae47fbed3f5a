"""A model of one layer as the beginning of a layered one: its channels in order of what they cost, cut into layers."""

from __future__ import annotations

import torch
from torch import Tensor

from scalecodec.models import DenoisingModel, LayeredModel, MeanScaleHyperprior

_OUTPUTS, _INPUTS = ("g_a.6.weight", "g_a.6.bias"), "h_a.0.weight"
_PARAMS = ("h_s.4.weight", "h_s.4.bias")  # scales, then means


@torch.no_grad()
def by_scale(model: MeanScaleHyperprior) -> Tensor:
    """Numbers of the latent's channels, those of the largest scales first: what the hyper-synthesis makes of the
    hyper-latents that the coding tables expect.
    """
    scales = torch.stack(
        [model.h_s(z)[:, : model.latent_channels].mean((0, 2, 3)) for z in model.entropy_bottleneck.samples()]
    )
    return scales.mean(0).argsort(descending=True, stable=True)


def layered_weights(plain: MeanScaleHyperprior, model: LayeredModel) -> dict[str, Tensor]:
    """Weights for a layered model whose layers share a hyperprior, of the plain one's sizes: decoded whole it shows the
    same pictures. A synthesis of its own for the base (``g_clean``) begins as the common one, without what it misses.
    """
    order = by_scale(plain)
    base = model.layer_channels[0]
    weights = {}
    for name, tensor in plain.state_dict().items():
        if name in _OUTPUTS or name == "g_s.0.weight":
            tensor = tensor[order]
        elif name == _INPUTS:
            tensor = tensor[:, order]
        elif name in _PARAMS:
            tensor = tensor[torch.cat((order, order + plain.latent_channels))]
        if name.startswith(("g_a.", "g_s.")):
            weights[name] = tensor
        else:
            weights[f"coders.0.{name}"] = tensor
        if name.startswith("g_s.") and isinstance(model, DenoisingModel):
            clean = tensor[:base] if name == "g_s.0.weight" else tensor
            weights[name.replace("g_s.", "g_clean.")] = clean
    return weights
