"""Muon: momentum made orthogonal before it is applied.

Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".

Photographs have most of their energy in low frequencies, so the gradients of an image transform live in few directions,
and Adam, which scales entries and not directions, learns the fine detail last. An orthogonal update moves all alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# Odd quintic of the Newton-Schulz iteration, from the source: it drives singular values into about [0.7, 1.2] in five
# steps, which is as orthogonal as an update needs to be.
_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_MOMENTUM = 0.95


def orthogonalized(matrix: Tensor) -> Tensor:
    """The semi-orthogonal matrix nearest to ``matrix`` [rows, columns], with singular values in about [0.7, 1.2]."""
    a, b, c = _COEFFICIENTS
    wide = matrix.shape[0] <= matrix.shape[1]
    x = (matrix if wide else matrix.T).bfloat16()
    x = x / (x.norm() + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x if wide else x.T).to(matrix.dtype)


class Muon(torch.optim.Optimizer):
    """For convolution kernels: each kernel [a, b, h, w] is taken as the matrix [a, b * h * w].

    Parameters
    ----------
    parameters : the kernels
    lr : spectral norm of one update, about
    """

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        super().__init__([{"params": list(parameters)}], {"lr": lr})  # torch takes no empty list, but an empty group

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """One update of every kernel that has a gradient."""
        for group in self.param_groups:
            for kernel in group["params"]:
                if kernel.grad is None:
                    continue
                state = self.state[kernel]
                if not state:
                    state["momentum"] = torch.zeros_like(kernel)
                momentum = state["momentum"].lerp_(kernel.grad, 1 - _MOMENTUM)
                ahead = kernel.grad.lerp(momentum, _MOMENTUM)  # Nesterov's look ahead
                update = orthogonalized(ahead.contiguous().reshape(len(ahead), -1))
                kernel.add_(update.reshape(kernel.shape), alpha=-group["lr"])
