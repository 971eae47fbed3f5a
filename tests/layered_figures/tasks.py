"""Layers for machines: how far a task's features are off, with its own layer, without it, and of a plain picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecodec import codec
from scalecodec.eval.task_networks import TaskNetwork
from scalecodec.gains import GAIN_TABLE, nearest_gain_index
from scalecodec.models import ScalableModel

from .measuring import GAINS, Samples, compare, estimates, mean, measured, say

Curves = tuple[list[tuple[float, float]], list[tuple[float, float]]]  # of the layers, of the plain codec: bits, quality


@torch.no_grad()
def tasks(pictures: list[Samples], model: ScalableModel, plain: Any, networks: Sequence[TaskNetwork]) -> None:
    """Errors are mean squares over the features' variance: 1 is what their mean alone would give."""
    model.attach(networks)
    pictures = [one[: one.shape[0] // 64 * 64, : one.shape[1] // 64 * 64] for one in pictures]
    curves: list[Curves] = [([], []) for _ in networks]
    for gain in (GAIN_TABLE[nearest_gain_index(gain)] for gain in GAINS):
        for task, (ours, theirs) in enumerate(curves):
            rows = [(*_row(one, model, task, gain), *_plain(one, plain, model, task, gain)) for one in pictures]
            bits, off, without, others, others_off = (mean(values) for values in zip(*rows, strict=True))
            say(task=task, gain=gain, bpp_of_its_layers=bits, error=off, error_without_its_own_layer=without)
            say(task=task, gain=gain, bpp_of_a_plain_picture=others, error=others_off)
            ours.append((bits, -10 * math.log10(off)))
            theirs.append((others, -10 * math.log10(others_off)))
    for task, (ours, theirs) in enumerate(curves):
        compare(f"task {task}, at equal error", theirs, ours)
    whole, anchor = ([measured(pictures, one, gain, ("all",))[0] for gain in GAINS] for one in (model, plain))
    compare("all layers, at equal PSNR", anchor, whole)
    estimates(pictures, model)


def _row(samples: Samples, model: ScalableModel, task: int, gain: float) -> tuple[float, float, float]:
    x = _pixels(samples)
    coded = model.compress(x, gain)
    y_hat = model.decompress(coded["strings"][: task + 1], coded["shape"], coded["gain_index"])["y_hat"]
    before = sum(model.layer_channels[:task])
    lower = torch.cat((y_hat[:, :before], torch.zeros_like(y_hat[:, before:])), 1)
    wanted = model.wanted(x, task)
    found = (_relative(model.features(latents, task), wanted) for latents in (y_hat, lower))
    kept = codec.keep(codec.encode(samples, model, gain=gain), task + 1)
    return (8 * len(kept) / samples[..., 0].size, *found)


def _plain(samples: Samples, plain: Any, model: ScalableModel, task: int, gain: float) -> tuple[float, float]:
    blob = codec.encode(samples, plain, gain=gain)
    found, wanted = (model.wanted(_pixels(one), task) for one in (codec.decode(blob, model=plain), samples))
    return 8 * len(blob) / samples[..., 0].size, _relative(found, wanted)


def _pixels(samples: Samples) -> Tensor:
    return torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).square().mean() / wanted.var())
