"""Small variable-rate models of each kind with something to code, their rate networks awake."""

from __future__ import annotations

import torch

from scalecodec.models import JointAutoregressive, MeanScaleHyperprior, ScaleHyperprior
from scalecodec.models.hyperprior import HyperpriorModel

CLASSES = (MeanScaleHyperprior, ScaleHyperprior, JointAutoregressive)
N, M = 8, 12


def scales_by_channel(m: int) -> torch.Tensor:
    """Standard deviations as trained models have them: few strong channels, many faint ones."""
    return torch.exp(torch.linspace(1.6, -3.2, m))


def awake(cls: type[HyperpriorModel], offsets: bool = True, hyper_step: bool = True, seed: int = 0) -> HyperpriorModel:
    """Random weights that give realistic latents; offsets that fall with the scale, a hyper step that rises to 4."""
    torch.manual_seed(seed)
    model = cls(N, M, offsets, hyper_step)
    last = model.entropy_parameters[-1] if cls is JointAutoregressive else model.h_s[4]
    with torch.no_grad():
        model.g_a[6].weight.mul_(60)
        model.h_a[4].weight.mul_(30)
        last.weight[:M].mul_(3)
        last.bias[:M] = scales_by_channel(M)
        if last.out_channels > M:
            last.weight[M:].mul_(30)
        model.g_s[6].weight.mul_(6)
        model.g_s[6].bias.fill_(0.5)
        if cls is JointAutoregressive:
            model.scale_to_context.weight.normal_(0, 0.2)
        if offsets:
            model.QuantABCD[4].weight.normal_(0, 0.003)
            model.QuantABCD[4].bias.fill_(0.2)
        if hyper_step:
            model.gayn2zqstep[0].weight.fill_(0.3)
            model.gayn2zqstep[2].weight.fill_(0.2)
            model.gayn2zqstep[4].weight.fill_(0.2)
    model.update(force=True, update_quantiles=True)
    return model.eval()
