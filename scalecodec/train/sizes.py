"""The sizes of the model that settings mean; those that fit none are refused here, before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from scalecodec.models import CompressionModel, DisentangledModel, FineDenoisingModel, LayeredModel, ScalableModel
from scalecodec.models.classes import class_of
from scalecodec.models.scalable import Front
from scalecodec.models.weights import check_sizes

from .config import TrainConfig

_TRIED = 256  # pixels of a side, to see what a task makes of them


def model_sizes(config: TrainConfig, fronts: Sequence[Front]) -> dict[str, int]:
    """What a model's constructor takes; ValueError where the settings fit no model, or none that a file holds.

    ``fronts``: the front halves of its tasks' networks, from pictures [B, 3, H, W] in [0, 1].
    """
    kind = class_of(config.model)
    layers = [int(size) for size in config.layers.split(",") if size]
    _check_layers(config, kind, len(layers))
    _check_tasks(config, kind, len(layers), len(fronts))
    sizes = {"channels": config.channels, "offsets": int(config.offsets), "hyper_step": int(config.hyper_step)}
    if layers:
        sizes |= {f"layer{number}": size for number, size in enumerate(layers)} | {"shared": int(config.shared)}
    else:
        sizes["latent_channels"] = config.latent_channels
    for number, front in enumerate(fronts):
        sizes |= _task_sizes(kind, number, front)
    sizes |= {"blind": 1} if config.blind else {}
    check_sizes(config.model, sizes)
    return sizes


def _check_layers(config: TrainConfig, kind: type[CompressionModel], count: int) -> None:
    if not issubclass(kind, LayeredModel):
        if count:
            raise ValueError(f"{config.model} has one layer, of latent_channels, got layers {config.layers!r}")
        if config.shared:
            raise ValueError(f"shared is for a model of several layers, got {config.model}")
        return
    # Of a fine denoising model the other layer's channels follow from its grid.
    wanted = (1,) if issubclass(kind, FineDenoisingModel) else kind.counts
    if count not in wanted:
        examples = " or ".join(("128", "96,32", "64,32,32")[number - 1] for number in wanted)
        raise ValueError(f"{config.model} wants layers as in {examples}, got {config.layers!r}")


def _check_tasks(config: TrainConfig, kind: type[CompressionModel], layers: int, count: int) -> None:
    named = [name for name in config.tasks.split(",") if name]
    if count != len(named):
        raise ValueError(f"tasks {config.tasks!r} want as many front halves, got {count}")
    wanted = layers - 1 if issubclass(kind, ScalableModel) else 0
    if count != wanted:
        raise ValueError(f"{config.model} of layers {config.layers!r} is for {wanted} tasks, got {config.tasks!r}")
    if config.blind and not issubclass(kind, DisentangledModel):
        raise ValueError(f"blind is for a disentangled model, got {config.model}")


def _task_sizes(kind: type[CompressionModel], number: int, front: Front) -> dict[str, int]:
    """Channels and stride of a task's tensor."""
    with torch.no_grad():
        found = front(torch.zeros(1, 3, _TRIED, _TRIED))
    if found.dim() != 4:
        raise ValueError(f"a task's inner tensor must be [B, C, h, w], got {tuple(found.shape)}")
    strides = [stride for stride in (4, 8, 16) if abs(_TRIED // stride - found.shape[-1]) <= 2]
    if not strides:
        raise ValueError(f"of {_TRIED} pixels a task makes {found.shape[-1]}: strides are 4, 8 or 16")
    sizes = {f"features{number}": found.shape[1]}
    if not issubclass(kind, DisentangledModel):
        return sizes | {f"stride{number}": strides[0]}
    if strides != [8]:
        raise ValueError(f"a disentangled model's task is of stride 8, got {strides[0]}")
    return sizes
