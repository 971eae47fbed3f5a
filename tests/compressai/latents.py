"""Realistic latents for a CompressAI model with random weights: what is coded is drawn, the networks really run.

The tensors that only an encoder makes (y and z) are drawn by forward hooks. Everything that a decoder needs too, the
scales and means above all, comes out of the model's own networks, whose last layers are scaled to sane values: so the
loops of context models are exercised, and a copy or a reloaded state dict decodes as the model itself does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
ROUNDS = 3  # each scales the last layers and draws y again; later ones change little
FAR = 60.0  # a symbol that is sure to be an escape: in standard deviations


def channel_scales(channels: int, gain: float) -> Tensor:
    """Few strong channels and many faint ones, as in trained models; `gain` sets the rate."""
    return gain * torch.exp(torch.linspace(1.6, -3.2, channels))


@dataclass
class Site:
    """One latent: where it is drawn and what codes it."""

    analysis: nn.Module  # its output is replaced by y
    bottleneck: nn.Module
    hyper_analysis: nn.Module | None = None  # its output is replaced by z; without it the bottleneck codes y
    conditionals: list[nn.Module] = field(default_factory=list)  # of y, in the order of its channels
    scales: Tensor = field(default_factory=lambda: torch.ones(1))  # of y, by channel


@dataclass
class Aim:
    """What the output of a network's last layer shall be over the picture, by channel or for all of them."""

    network: nn.Module
    mean: Tensor | float = 0.0
    deviation: Tensor | float = 1.0

    def layer(self) -> nn.Module:
        return [module for module in self.network.modules() if isinstance(module, LAYERS)][-1]

    def __call__(self, layer: nn.Module, args: Any, output: Tensor) -> Tensor:
        """Forward hook: the layer's weights are scaled so that its output is what was wanted."""
        shape = [1, -1] + [1] * (output.dim() - 2)
        others = [0, *range(2, output.dim())]
        raw = output - layer.bias.view(shape)
        spread = raw.std(others)
        ratio = torch.where(spread > 1e-9, self.deviation / spread, torch.ones_like(spread))
        bias = self.mean - raw.mean(others) * ratio
        weight_shape = [1, -1] if isinstance(layer, nn.ConvTranspose2d) else [-1, 1]
        layer.weight.data.mul_(ratio.view(weight_shape + [1] * (layer.weight.dim() - 2)))
        layer.bias.data.copy_(bias)
        return raw * ratio.view(shape) + bias.view(shape)


class Drawn:
    """Forward hook: the network runs, and what was drawn leaves in place of an output of the same shape."""

    def __init__(self, value: Tensor):
        self.value = value

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        return self.value.to(output, copy=True) if output.shape == self.value.shape else output


def invert(bottleneck: nn.Module, logits: Tensor) -> Tensor:
    """Where the cumulative logits of [channels, 1, n] have these values, by bisection."""
    low, high = torch.full_like(logits, -1e3), torch.full_like(logits, 1e3)
    for _ in range(50):
        middle = (low + high) / 2
        below = bottleneck._logits_cumulative(middle, stop_gradient=True) <= logits
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return (low + high) / 2


def place(bottleneck: nn.Module, scales: Tensor) -> None:
    """Give the distributions these standard deviations, about, and set the quantiles that they then have."""
    channels = bottleneck.channels
    ends = invert(bottleneck, torch.tensor([-1.0, 1.0]).expand(channels, 1, 2))
    deviation = (ends[:, 0, 1] - ends[:, 0, 0]) / 2 * math.pi / math.sqrt(3)  # of a logistic distribution
    first = bottleneck.matrices[0] if hasattr(bottleneck, "matrices") else bottleneck._matrix0
    steeper = nn.functional.softplus(first) * (deviation / scales).view(-1, 1, 1)
    first.data.copy_(steeper + torch.log(-torch.expm1(-steeper)))
    bottleneck.quantiles.data.copy_(invert(bottleneck, bottleneck.target.expand(channels, 1, 3)))


def from_bottleneck(bottleneck: nn.Module, noise: Tensor) -> Tensor:
    """Standard normal noise [batch, channels, ...] turned into values of the bottleneck's own distributions."""
    uniform = torch.special.ndtr(noise.double()).clamp(1e-6, 1 - 1e-6)
    logits = torch.logit(uniform).float().transpose(0, 1)
    values = invert(bottleneck, logits.reshape(bottleneck.channels, 1, -1))
    return values.reshape(logits.shape).transpose(0, 1).contiguous()


def with_escapes(noise: Tensor) -> Tensor:
    """One far value at each end of every item."""
    flat = noise.flatten(1)
    flat[:, 0], flat[:, -1] = FAR, -FAR
    return noise


class _Drawing:
    """Forward hook that draws y while the networks are being scaled; `value` is its latest."""

    def __init__(self, site: Site, of_bottleneck: bool, generator: torch.Generator):
        self.site, self.of_bottleneck, self.generator = site, of_bottleneck, generator
        self.noise = self.value = torch.empty(0)
        self.scales: dict[nn.Module, Tensor] = {}
        self.means: dict[nn.Module, Tensor] = {}

    def listen(self, conditional: nn.Module, args: tuple, kwargs: dict) -> None:
        """Forward pre-hook of a conditional: the scales and means that the model's networks gave it."""
        self.scales[conditional] = args[1].detach()
        means = args[2] if len(args) > 2 else kwargs.get("means")
        self.means[conditional] = torch.zeros_like(args[1]) if means is None else means.detach()

    def __call__(self, module: nn.Module, args: Any, output: Tensor) -> Tensor:
        if self.noise.shape != output.shape:
            self.noise = with_escapes(torch.randn(output.shape, generator=self.generator))
            if self.of_bottleneck:
                self.value = from_bottleneck(self.site.bottleneck, self.noise)
        if not self.of_bottleneck:
            self.value = self.draw_y()
        return self.value.clone()

    def draw_y(self) -> Tensor:
        wanted = self.site.conditionals
        if not all(conditional in self.scales for conditional in wanted):  # the first round
            return self.noise.clamp(-3, 3) * self.site.scales.view(1, -1, 1, 1)
        scales = torch.cat([self.scales[conditional] for conditional in wanted], 1).clamp(min=0.11)
        return torch.cat([self.means[conditional] for conditional in wanted], 1) + scales * self.noise


@torch.no_grad()
def draw(sites: list[Site], aims: list[Aim], run: Callable[[], Any], gain: float, seed: int) -> dict[nn.Module, Drawn]:
    """Scale the networks that `aims` names and hang the drawn latents into the model; the hooks, by their module."""
    generator = torch.Generator().manual_seed(seed)
    drawings: dict[nn.Module, _Drawing] = {}
    handles = [aim.layer().register_forward_hook(aim) for aim in aims]
    for site in sites:
        place(site.bottleneck, channel_scales(site.bottleneck.channels, gain))
        drawings[site.hyper_analysis or site.analysis] = _Drawing(site, True, generator)
        if site.hyper_analysis is not None:
            drawings[site.analysis] = drawing = _Drawing(site, False, generator)
            handles += [c.register_forward_pre_hook(drawing.listen, with_kwargs=True) for c in site.conditionals]
    handles += [module.register_forward_hook(drawing) for module, drawing in drawings.items()]
    for _ in range(ROUNDS):
        run()
    for handle in handles:
        handle.remove()
    return {module: Drawn(drawing.value) for module, drawing in drawings.items()}
