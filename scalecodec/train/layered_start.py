"""A model of one layer as the beginning of a layered one, each kind in its way."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scalecodec.models import (
    DenoisingModel,
    DisentangledModel,
    FineDenoisingModel,
    FrequencyModel,
    LayeredModel,
    MeanScaleHyperprior,
    ScalableModel,
)

from .band_start import band_weights
from .learned import TRANSFORMS, learned

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


@torch.no_grad()
def layered_weights(
    plain: MeanScaleHyperprior, model: LayeredModel, pictures: Callable[[], Tensor]
) -> dict[str, Tensor]:
    """A plain model's weights, by the names of where a layered one has the like.

    One layer is the whole plain latent in a fine denoising model, whose base it is, and a disentangled one, whose
    enhancement it is. In all others the layers are the plain latent's channels in order of what they cost. Under a
    shared hyperprior, they then show the same pictures, decoded whole; with hyperpriors apart only the transforms are
    taken. So they are of a frequency model, but for what its branches' norms lose: that they have in the mean over
    ``pictures()``, [B, 3, H, W] in [0, 1]. Transforms to a task's features begin as the synthesis does.
    """
    if isinstance(model, FrequencyModel):
        return band_weights(plain, model, by_scale(plain), pictures())
    theirs = learned(plain)
    if isinstance(model, FineDenoisingModel | DisentangledModel):
        number = 0 if isinstance(model, FineDenoisingModel) else 1
        if model.layer_channels[number] != plain.latent_channels:
            got = f"{plain.latent_channels}, got {model.layer_channels[number]}"
            raise ValueError(f"layer {number} is to have the plain model's latent channels, {got}")
    if isinstance(model, FineDenoisingModel):
        return _coder(theirs, 0) | _part(theirs, "g_a.", "g_a.") | _part(theirs, "g_s.", "g_clean.")
    if isinstance(model, DisentangledModel):
        weights = _part(theirs, "g_a.", "g_a.") | _part(theirs, "g_s.", "g_s.")
        unseen = torch.zeros(model.layer_channels[0], *weights["g_s.0.weight"].shape[1:])
        weights["g_s.0.weight"] = torch.cat((unseen, weights["g_s.0.weight"]))
        return weights if model.shared else weights | _coder(theirs, 1)
    return _in_order(theirs, by_scale(plain), model)


def _part(theirs: dict[str, Tensor], prefix: str, renamed: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): tensor for name, tensor in theirs.items() if name.startswith(prefix)}
    return {renamed + name: tensor for name, tensor in found.items()}


def _coder(theirs: dict[str, Tensor], number: int) -> dict[str, Tensor]:
    """All but the transforms, of what that coder is to be."""
    return {f"coders.{number}.{name}": tensor for name, tensor in theirs.items() if not name.startswith(TRANSFORMS)}


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
    weights = _part(moved, "g_a.", "g_a.") | _part(moved, "g_s.", "g_s.")
    if model.shared:
        weights |= _coder(moved, 0)
    if isinstance(model, ScalableModel):
        for task in range(len(model.tasks)):
            seen = sum(model.layer_channels[: task + 1])
            weights |= {f"tasks.{task}.{name}": tensor for name, tensor in _unpacking(moved, seen).items()}
    if isinstance(model, DenoisingModel):
        weights |= _part(moved, "g_s.", "g_clean.")
        weights["g_clean.0.weight"] = weights["g_clean.0.weight"][: model.layer_channels[0]]
    return weights


def _unpacking(theirs: dict[str, Tensor], seen: int) -> dict[str, Tensor]:
    """The first two stages of a synthesis, of so many latent channels, without its prefix."""
    found = {}
    for name, tensor in _part(theirs, "g_s.", "").items():
        if int(name.split(".")[0]) < 4:
            found[name] = tensor[:seen] if name == "0.weight" else tensor
    return found
