"""max(x, bound) whose gradient still pulls a value that lies below the bound back up."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class _LowerBoundFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, bound: Tensor) -> Tensor:
        ctx.save_for_backward(x, bound)
        return torch.max(x, bound)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        x, bound = ctx.saved_tensors
        (grad,) = grad_outputs
        # Blocking every gradient below the bound would freeze such values for ever: let those pass that push up.
        return grad * ((x >= bound) | (grad < 0)), None


def lower_bound(x: Tensor, bound: float) -> Tensor:
    """``max(x, bound)`` with that gradient."""
    return _LowerBoundFunction.apply(x, x.new_tensor([bound]))


class LowerBound(nn.Module):
    """Elementwise ``max(x, bound)``, any shape and float dtype (Balle et al. 2018, arXiv:1802.01436, appendix).

    Parameters
    ----------
    bound : float
        Kept as the buffer ``bound`` (float32, shape [1]), as CompressAI does.
    """

    bound: Tensor

    def __init__(self, bound: float) -> None:
        super().__init__()
        self.register_buffer("bound", torch.tensor([float(bound)]))

    def forward(self, x: Tensor) -> Tensor:
        return _LowerBoundFunction.apply(x, self.bound)
