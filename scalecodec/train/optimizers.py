"""Which optimizer moves which weights, and how fast over the run."""

from __future__ import annotations

import math

import torch
from torch import nn

from .config import TrainConfig
from .learned import follows_rate
from .muon import Muon

_FINAL_SHARE = 0.01  # the cosine ends at this share of the peak
# Of Adam's rate, for the small networks of the gain: at the common one an offset moves by 0.15 in 2,500 steps.
_RATE_FACTOR = 5.0


def make_optimizers(model: nn.Module, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """Adam for biases, normalization, entropy models and the networks of the gain; Muon for convolution kernels."""
    trained = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    kernels = [parameter for _, parameter in trained if parameter.dim() == 4]
    others = [(name, parameter) for name, parameter in trained if parameter.dim() != 4]
    groups = [
        {"params": [p for name, p in others if follows_rate(name) is rated], "factor": factor}
        for rated, factor in ((False, 1.0), (True, _RATE_FACTOR))
    ]
    common, rated = groups
    return [
        torch.optim.Adam([common, rated] if rated["params"] else [common], lr=config.learning_rate, fused=True),
        Muon(kernels, lr=config.kernel_rate),
    ]


def set_rates(optimizers: list[torch.optim.Optimizer], config: TrainConfig, step: int, done: float) -> None:
    """Linear warm-up over ``config.warmup`` steps, then half a cosine over ``done`` in [0, 1]."""
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    share = warm * (_FINAL_SHARE + (1 - _FINAL_SHARE) * cosine)
    for optimizer, peak in zip(optimizers, (config.learning_rate, config.kernel_rate), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = peak * share * group.get("factor", 1.0)
