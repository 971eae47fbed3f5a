"""Generalized divisive normalization and its inverse (Balle et al. 2016, arXiv:1511.06281, eq. 1)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .lower_bound import LowerBound

_REPARAM_OFFSET = 2.0**-18


class _NonNegative(nn.Module):
    """Maps a free parameter ``p`` to ``max(p, bound)^2 - pedestal >= minimum`` (arXiv:1802.01436, appendix)."""

    pedestal: Tensor

    def __init__(self, minimum: float = 0.0) -> None:
        super().__init__()
        pedestal = _REPARAM_OFFSET**2
        self.register_buffer("pedestal", torch.tensor([pedestal]))
        self.lower_bound = LowerBound((minimum + pedestal) ** 0.5)

    def inverse(self, value: Tensor) -> Tensor:
        return torch.sqrt(torch.max(value + self.pedestal, self.pedestal))

    def forward(self, parameter: Tensor) -> Tensor:
        return self.lower_bound(parameter) ** 2 - self.pedestal


class GDN(nn.Module):
    """``y_i = x_i / sqrt(beta_i + sum_j gamma_ij x_j^2)``; ``inverse=True`` multiplies instead.

    Input and output: float [B, channels, H, W]. Parameters ``beta`` [channels] and ``gamma`` [channels, channels]
    are stored in CompressAI's reparametrized form, under its names.
    """

    def __init__(self, channels: int, inverse: bool = False, beta_min: float = 1e-6, gamma_init: float = 0.1) -> None:
        super().__init__()
        self.inverse = inverse
        self.beta_reparam = _NonNegative(minimum=beta_min)
        self.gamma_reparam = _NonNegative()
        self.beta = nn.Parameter(self.beta_reparam.inverse(torch.ones(channels)))
        self.gamma = nn.Parameter(self.gamma_reparam.inverse(gamma_init * torch.eye(channels)))

    def forward(self, x: Tensor) -> Tensor:
        beta = self.beta_reparam(self.beta)
        gamma = self.gamma_reparam(self.gamma)[:, :, None, None]
        norm = F.conv2d(x * x, gamma, beta)
        return x * (torch.sqrt(norm) if self.inverse else torch.rsqrt(norm))
