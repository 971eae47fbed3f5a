"""What one update of a variable-rate model minimizes: a random rate an item, one rate, or several rates at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.gains import GAIN_TABLE, NUM_GAINS, nearest_gain_index

from .config import TrainConfig
from .losses import RateDistortion, rate_distortion
from .min_norm import min_norm_weights, normalised

Forward = Callable[[Tensor, Tensor], dict[str, Any]]
Agree = Callable[[float], float]


def levels(count: int) -> list[float]:
    """``count`` gains, evenly spaced in the log domain from the table's lowest to 1; of one, 1."""
    if count == 1:
        return [GAIN_TABLE[-1]]
    return [GAIN_TABLE[round(place * (NUM_GAINS - 1) / (count - 1))] for place in range(count)]


def backward(
    forward: Forward, x: Tensor, parameters: Sequence[nn.Parameter], config: TrainConfig, agree: Agree = float
) -> RateDistortion:
    """Leave in ``parameters`` the gradients of one update, and return its loss, means over the rates it saw.

    ``forward(x, gain)`` gives what a model's does, ``x`` [B, 3, H, W]. Random numbers come from torch's generator.
    ``agree`` gives one process's number to all, whose weights must stay equal.
    """
    if config.objective == "moo":
        return _multi_objective(forward, x, parameters, config, agree)
    if config.objective == "sum":
        parts = []
        for gain in levels(config.levels):  # one backward pass for each forward: torch's DDP averages no other
            part = _at(forward, x, gain, config)
            (part.loss / config.levels).backward()
            parts.append(_detached(part))
        return _mean(parts)
    if config.gain:
        gains = torch.full((len(x),), GAIN_TABLE[nearest_gain_index(config.gain)])
    else:
        places = (torch.rand(len(x)) ** config.tilt * NUM_GAINS).long()
        gains = torch.tensor(GAIN_TABLE)[places.clamp(max=NUM_GAINS - 1)]
    part = rate_distortion(forward(x, gains.to(x.device)), x, gains.to(x.device), config.lambda_max)
    part.loss.backward()
    return part


def _at(forward: Forward, x: Tensor, gain: float, config: TrainConfig) -> RateDistortion:
    gains = torch.full((len(x),), gain, device=x.device)
    return rate_distortion(forward(x, gains), x, gains, config.lambda_max)


def _multi_objective(
    forward: Forward, x: Tensor, parameters: Sequence[nn.Parameter], config: TrainConfig, agree: Agree
) -> RateDistortion:
    """The min-norm point of the gradients of ``R + lambda D`` at each level (arXiv:2402.18930, equations 7 and 8)."""
    parts, gradients = [], []
    for gain in levels(config.levels):
        part = _at(forward, x, gain, config)
        for parameter in parameters:
            parameter.grad = None
        (part.loss * gain).backward()
        gradients.append([parameter.grad for parameter in parameters])
        parts.append(_detached(part))
    gram = torch.stack([torch.stack([_dot(one, other) for other in gradients]) for one in gradients]).cpu()
    if not bool(gram.isfinite().all()):  # the caller sees the gradient and skips the update
        weights = torch.ones(len(parts), dtype=torch.float64)
    else:
        own = [part.loss.item() * gain for part, gain in zip(parts, levels(config.levels), strict=True)]
        losses = torch.tensor(list(map(agree, own)), dtype=torch.float64)
        scaled, factors = normalised(gram, losses, config.normalisation)
        weights = min_norm_weights(scaled) * factors
    for place, parameter in enumerate(parameters):
        shares = [
            weight * gradient[place]
            for weight, gradient in zip(weights.tolist(), gradients, strict=True)
            if gradient[place] is not None
        ]
        parameter.grad = sum(shares[1:], shares[0]) if shares else None
    return _mean(parts)


def _detached(part: RateDistortion) -> RateDistortion:
    return RateDistortion(part.loss.detach(), part.bpp.detach(), part.mse.detach())


def _dot(one: Sequence[Tensor | None], other: Sequence[Tensor | None]) -> Tensor:
    """In float64: of thousands of squares a float32 sum keeps too few digits for differences."""
    return torch.stack(
        [(a * b).sum(dtype=torch.float64) for a, b in zip(one, other, strict=True) if a is not None and b is not None]
    ).sum()


def _mean(parts: Sequence[RateDistortion]) -> RateDistortion:
    return RateDistortion(
        *(torch.stack([getattr(part, name) for part in parts]).mean() for name in ("loss", "bpp", "mse"))
    )
