"""A model of one layer as the beginning of a layered one, each kind in its way."""

from __future__ import annotations

import torch
from torch import Tensor

from scalecodec.models import DenoisingModel, DisentangledModel, FrequencyModel, LayeredModel, MeanScaleHyperprior

from .band_start import begin_bands
from .learned import follows_rate, learned

_OUTPUTS, _INPUTS = ("g_a.6.weight", "g_a.6.bias"), "h_a.0.weight"
_TRANSFORMS = ("g_a.", "g_s.")
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


@torch.no_grad()
def begin_layers(plain: MeanScaleHyperprior, model: LayeredModel, pictures: Tensor) -> None:
    """Copy a plain model's weights to where a layered one has the like.

    Under a shared hyperprior the layers are the plain latent's channels in order of what they cost, and decoded whole
    they show the same pictures. A frequency model takes the transforms, and shows nearly the same: what its branches'
    norms lose they have in the mean over ``pictures``, [B, 3, H, W] in [0, 1]. Else one layer is the whole plain
    latent: a denoising model's base, a disentangled one's enhancement. ValueError where sizes differ.
    """
    if isinstance(model, FrequencyModel):
        begin_bands(plain, model, by_scale(plain), pictures)
        return
    theirs = learned(plain)
    if model.shared:
        weights = _in_order(theirs, by_scale(plain), model)
    elif isinstance(model, DenoisingModel):
        weights = _coder(theirs, 0) | _part(theirs, "g_a.", "g_a.") | _part(theirs, "g_s.", "g_clean.")
    elif isinstance(model, DisentangledModel):
        weights = _coder(theirs, 1) | _part(theirs, "g_a.", "g_a.") | _part(theirs, "g_s.", "g_s.")
        unseen = torch.zeros(model.layer_channels[0], *weights["g_s.0.weight"].shape[1:])
        weights["g_s.0.weight"] = torch.cat((unseen, weights["g_s.0.weight"]))
    else:
        raise ValueError("a model of one layer begins a scalable one only under a shared hyperprior")
    ours = model.state_dict()
    for name, tensor in weights.items():
        if name not in ours and follows_rate(name):
            continue
        if name not in ours or ours[name].shape != tensor.shape:
            wanted = tuple(ours[name].shape) if name in ours else "none"
            raise ValueError(f"{name} is {tuple(tensor.shape)}, wanted {wanted}")
        ours[name].copy_(tensor)


def _part(theirs: dict[str, Tensor], prefix: str, renamed: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): tensor for name, tensor in theirs.items() if name.startswith(prefix)}
    return {renamed + name: tensor for name, tensor in found.items()}


def _coder(theirs: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """All but the transforms, of what that coder is to be."""
    return {f"coders.{number}.{name}": tensor for name, tensor in theirs.items() if not name.startswith(_TRANSFORMS)}


def _in_order(theirs: dict[str, Tensor], order: Tensor, model: LayeredModel) -> dict[str, Tensor]:
    """A synthesis of its own for the base (``g_clean``) begins as the common one, without what it misses."""
    moved = {}
    for name, tensor in theirs.items():
        if name in _OUTPUTS or name == "g_s.0.weight":
            tensor = tensor[order]
        elif name == _INPUTS:
            tensor = tensor[:, order]
        elif name in _PARAMS:
            tensor = tensor[torch.cat((order, order + len(order)))]
        moved[name] = tensor
    weights = _coder(moved, 0) | _part(moved, "g_a.", "g_a.") | _part(moved, "g_s.", "g_s.")
    if isinstance(model, DenoisingModel):
        weights |= _part(moved, "g_s.", "g_clean.")
        weights["g_clean.0.weight"] = weights["g_clean.0.weight"][: model.layer_channels[0]]
    return weights
