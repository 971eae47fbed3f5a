"""The min-norm point of several gradients: a step that makes no objective worse (Desideri 2012; Sener and Koltun 2018,
arXiv:1810.04650, section 3), as in the multi-objective post-training of arXiv:2402.18930.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import NORMALISATIONS

_ROUNDS = 1000
_ENOUGH = 1e-9


def min_norm_weights(gram: Tensor) -> Tensor:
    """``argmin |sum a_i g_i|^2`` over the simplex.

    By Frank and Wolfe's algorithm with pairwise steps, which converge linearly (Lacoste-Julien and Jaggi 2015,
    arXiv:1511.05932), and exact line search.

    Parameters
    ----------
    gram : float [K, K], ``gram[i, j] = <g_i, g_j>``

    Returns
    -------
    float64 [K], not negative, of sum 1. Then ``<d, g_i> >= |d|^2`` for every i, where ``d = sum a_i g_i``, up to about
    1e-9 of the largest squared norm: all objectives fall along ``-d``.

    Raises
    ------
    ValueError
        Not a square matrix, or not finite.
    """
    if gram.dim() != 2 or gram.shape[0] != gram.shape[1] or gram.shape[0] == 0:
        raise ValueError(f"gram must be [K, K] with K at least 1, got {tuple(gram.shape)}")
    if not bool(gram.isfinite().all()):
        raise ValueError("gram must be finite")
    gram = gram.double()
    weights = torch.zeros(len(gram), dtype=torch.float64)
    weights[int(gram.diagonal().argmin())] = 1
    scale = float(gram.diagonal().max())
    for _ in range(_ROUNDS):
        slopes = gram @ weights
        best = int(slopes.argmin())
        worst = int(torch.where(weights > 0, slopes, -torch.inf).argmax())
        gap = float(weights @ slopes - slopes[best])
        if gap <= _ENOUGH * scale:
            break
        bend = float(gram[best, best] - 2 * gram[best, worst] + gram[worst, worst])
        share = min(float(weights[worst]), float(slopes[worst] - slopes[best]) / max(bend, 1e-300))
        weights[best] += share
        weights[worst] -= share
    return weights / weights.sum()


def normalised(gram: Tensor, losses: Tensor, how: str) -> tuple[Tensor, Tensor]:
    """The Gram matrix of gradients divided by their norms ("l2"), by their losses ("loss") or as they are ("none"); and
    what each was multiplied by. Unnormalised, the point lies nearly at the objective of the smallest gradient.
    """
    if how not in NORMALISATIONS:
        raise ValueError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {how!r}")
    if how == "none":
        factors = torch.ones(len(gram), dtype=torch.float64)
    else:
        factors = 1 / (gram.diagonal().double().sqrt() if how == "l2" else losses.double().abs()).clamp(min=1e-30)
    return gram.double() * factors[:, None] * factors[None, :], factors
