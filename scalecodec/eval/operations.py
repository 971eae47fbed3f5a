"""How many multiplications a decoder's path takes: counted as networks run, of convolutions, products and GDN."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.layers import GDN
from scalecodec.models import ScalableModel

from .task_networks import TaskNetwork


class Counter:
    """What was counted so far."""

    def __init__(self) -> None:
        self.multiplications = 0

    def see(self, module: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        """A hook: one call of one layer."""
        if isinstance(module, nn.ConvTranspose2d):  # each input meets every tap of the kernel
            self.multiplications += given[0].numel() * module.weight[0].numel()
        elif isinstance(module, nn.Conv2d):
            self.multiplications += out.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            self.multiplications += out.numel() * module.in_features
        elif isinstance(module, GDN):
            self.multiplications += out.numel() * module.gamma.shape[0]


@contextmanager
def counting(*modules: nn.Module) -> Iterator[Counter]:
    """Counts what these modules do meanwhile."""
    counter = Counter()
    hooks = [layer.register_forward_hook(counter.see) for module in modules for layer in module.modules()]
    try:
        yield counter
    finally:
        for hook in hooks:
            hook.remove()


@torch.no_grad()
def paths(model: ScalableModel, network: TaskNetwork, number: int, height: int, width: int) -> dict[str, float]:
    """Multiplications a pixel from decoded symbols to a task's answer.

    Parameters
    ----------
    number : of the task in the model
    height, width : of a picture, multiples of 64

    Returns
    -------
    dict
        ``base``: the hyper synthesis, the features, the network's back half. ``picture``: the hyper synthesis, the
        picture, the whole network.
    """
    x = torch.zeros(1, 3, height, width)
    y_hat = torch.zeros(1, model.latent_channels, height // 16, width // 16)
    like = network(x)
    inner = torch.zeros_like(like)
    coders = model.coders[: 1 if model.shared else number + 1]

    def hyper(coder: Any) -> None:
        coder.h_s(torch.zeros(1, model.channels, height // 64, width // 64))

    def count(*steps: Callable[[], Any]) -> float:
        with counting(model, network) as counter:
            for step in steps:
                step()
        return counter.multiplications / (height * width)

    return {
        "base": count(
            *(lambda coder=coder: hyper(coder) for coder in coders),
            lambda: model.features(y_hat, number),
            lambda: network.finish(inner, like.shape),
        ),
        "picture": count(
            *(lambda coder=coder: hyper(coder) for coder in model.coders),
            lambda: model.reconstruct(y_hat, model.num_layers),
            lambda: network.finish(network(x), like.shape),
        ),
    }
