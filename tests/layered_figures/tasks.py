"""Layers for machines: how far a task's features are off, with its own layer and without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from scalecodec.eval.task_networks import TaskNetwork
from scalecodec.gains import GAIN_TABLE, nearest_gain_index
from scalecodec.models import ScalableModel

from .measuring import GAINS, Samples, estimates, mean, say


@torch.no_grad()
def tasks(pictures: list[Samples], model: ScalableModel, networks: Sequence[TaskNetwork]) -> None:
    """Errors are mean squares over the features' variance: 1 is what their mean alone would give."""
    model.attach(networks)
    pictures = [one[: one.shape[0] // 64 * 64, : one.shape[1] // 64 * 64] for one in pictures]
    for gain in (GAIN_TABLE[nearest_gain_index(gain)] for gain in GAINS):
        for task in range(len(networks)):
            rows = [_row(samples, model, task, gain) for samples in pictures]
            bits, off, without = (mean(values) for values in zip(*rows, strict=True))
            say(task=task, gain=gain, bpp_of_its_layers=bits, error=off, error_without_its_own_layer=without)
    estimates(pictures, model)


def _row(samples: Samples, model: ScalableModel, task: int, gain: float) -> tuple[float, float, float]:
    x = torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)[None]
    coded = model.compress(x, gain)
    own = coded["strings"][: task + 1]
    y_hat = model.decompress(own, coded["shape"], coded["gain_index"])["y_hat"]
    before = sum(model.layer_channels[:task])
    lower = torch.cat((y_hat[:, :before], torch.zeros_like(y_hat[:, before:])), 1)
    wanted = model.wanted(x, task)
    found = (_relative(model.features(latents, task), wanted) for latents in (y_hat, lower))
    return (8 * sum(len(layer[0]) for layer in own) / samples[..., 0].size, *found)


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).square().mean() / wanted.var())
