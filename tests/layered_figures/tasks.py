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


@torch.no_grad()
def tasks(pictures: list[Samples], model: ScalableModel, plain: Any, networks: Sequence[TaskNetwork]) -> None:
    """Errors are mean squares over the features' variance: 1 is what their mean alone would give."""
    model.attach(networks)
    pictures = [one[: one.shape[0] // 64 * 64, : one.shape[1] // 64 * 64] for one in pictures]
    curves: dict[str, list[tuple[float, float]]] = {}
    for gain in (GAIN_TABLE[nearest_gain_index(gain)] for gain in GAINS):
        rows = [_row(samples, model, plain, gain) for samples in pictures]
        for task, of_pictures in enumerate(zip(*rows, strict=True)):
            bits, off, without, others, others_off = (mean(values) for values in zip(*of_pictures, strict=True))
            say(task=task, gain=gain, bpp_of_its_layers=bits, error=off, error_without_its_own_layer=without)
            say(task=task, gain=gain, bpp_of_a_plain_picture=others, error=others_off)
            curves.setdefault(f"task {task}", []).append((bits, -10 * math.log10(off)))
            curves.setdefault(f"plain {task}", []).append((others, -10 * math.log10(others_off)))
    for task in range(len(networks)):
        compare(f"task {task}, at equal error", curves[f"plain {task}"], curves[f"task {task}"])
    whole, anchor = ([measured(pictures, one, gain, ("all",))[0] for gain in GAINS] for one in (model, plain))
    compare("all layers, at equal PSNR", anchor, whole)
    estimates(pictures, model)


def _row(samples: Samples, model: ScalableModel, plain: Any, gain: float) -> list[tuple[float, ...]]:
    """Of each task: its layers' bits a pixel, errors with its own layer and without, those of a plain picture."""
    x, pixels = _pixels(samples), samples[..., 0].size
    coded, blob = model.compress(x, gain), codec.encode(samples, model, gain=gain)
    other = codec.encode(samples, plain, gain=gain)
    shown = _pixels(codec.decode(other, model=plain))
    found = []
    for task in range(len(model.sizes)):
        y_hat = model.decompress(coded["strings"][: task + 1], coded["shape"], coded["gain_index"])["y_hat"]
        before = sum(model.layer_channels[:task])
        lower = torch.cat((y_hat[:, :before], torch.zeros_like(y_hat[:, before:])), 1)
        wanted = model.wanted(x, task)
        tensors = (model.features(y_hat, task), model.features(lower, task), model.wanted(shown, task))
        off, without, others_off = (_relative(one, wanted) for one in tensors)
        bits = [8 * len(one) / pixels for one in (codec.keep(blob, task + 1), other)]
        found.append((bits[0], off, without, bits[1], others_off))
    return found


def _pixels(samples: Samples) -> Tensor:
    return torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _relative(found: Tensor, wanted: Tensor) -> float:
    return float((found - wanted).square().mean() / wanted.var())
