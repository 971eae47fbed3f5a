"""Small layered models of each kind with something to code, frozen."""

from __future__ import annotations

from typing import Any

import torch

from scalecodec.models import ScalableModel, create, freeze
from scalecodec.models.layered import LayeredModel

from .vbr_kit import scales_by_channel

# Each form of the trunk once: hyperpriors apart and shared, two and three layers, a layer on a finer grid.
FORMS: dict[str, dict[str, Any]] = {
    "frequency": {"layer0": 8, "layer1": 8},
    "denoise": {"layer0": 8, "layer1": 4, "shared": 1},
    "denoise-fine": {"layer0": 8},
    "scalable": {"layer0": 8, "layer1": 4, "layer2": 4, "shared": 1}
    | {"features0": 5, "stride0": 8, "features1": 4, "stride1": 4},
    "disentangled": {"layer0": 6, "layer1": 8, "features0": 5},
}


class Front:
    """A task's front half: averages over squares, in so many channels, one row and column short as of no padding."""

    def __init__(self, size: int, stride: int) -> None:
        self.size, self.stride = size, stride

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.nn.functional.avg_pool2d(x, self.stride)[:, :, :-1, :-1]
        return torch.cat([pooled] * self.size, 1)[:, : self.size].relu()


def awake(name: str, seed: int = 0, frozen: bool = True, **config: int) -> LayeredModel:
    """Random weights of a form that give realistic latents."""
    torch.manual_seed(seed)
    sizes = {"channels": 8, "offsets": 1, "hyper_step": 1} | FORMS[name] | config
    model = create(name, **sizes)
    assert isinstance(model, LayeredModel)
    if isinstance(model, ScalableModel):
        model.attach([Front(*sizes) for sizes in zip(model.sizes, model.strides, strict=True)])
    with torch.no_grad():
        for convolution in [one for one in model.g_a.modules() if isinstance(one, torch.nn.Conv2d)][-4:]:
            convolution.weight.mul_(6)
        for coder in model.coders:
            m = coder.latent_channels
            coder.h_a[4].weight.mul_(30)
            coder.h_s[4].weight[:m].mul_(3)
            coder.h_s[4].bias[:m] = scales_by_channel(m)
    if frozen:
        freeze(model)
        model.eval()
    return model
