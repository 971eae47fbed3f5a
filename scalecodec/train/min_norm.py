"""The min-norm point of several gradients: a step that makes no objective worse (Desideri 2012; Sener and Koltun 2018,
arXiv:1810.04650, section 3), as in the multi-objective post-training of arXiv:2402.18930.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .config import NORMALISATIONS

_ROUNDS = 100
_ENOUGH = 1e-9


def min_norm_weights(gram: Tensor) -> Tensor:
    """``argmin |sum a_i g_i|^2`` over the simplex.

    By Frank and Wolfe's algorithm, fully corrective (Wolfe 1976, Finding the nearest point in a polytope): whenever a
    corner is added, the best point of all corners in use is solved for, and those that it does without are dropped.
    It ends after finitely many steps.

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
    gram = gram.double() / max(float(gram.diagonal().max()), 1e-300)
    weights = torch.zeros(len(gram), dtype=torch.float64)
    weights[int(gram.diagonal().argmin())] = 1
    for _ in range(_ROUNDS):
        slopes = gram @ weights
        best = int(slopes.argmin())
        if float(weights @ slopes - slopes[best]) <= _ENOUGH or weights[best] > 0:
            break
        weights = _corrected(gram, weights, best)
    return weights / weights.sum()


def _corrected(gram: Tensor, weights: Tensor, corner: int) -> Tensor:
    """The best point of the corners in use and one more."""
    used = weights > 0
    used[corner] = True
    while True:
        places = used.nonzero().flatten()
        aim = torch.zeros_like(weights)
        aim[places] = _affine_best(gram[places][:, places])
        short = used & (aim <= 0)
        if not bool(short.any()):
            return aim
        # As far towards the aim as no weight falls below 0; the corner that gets there first is dropped.
        reach = torch.where(short, weights / (weights - aim), torch.inf)
        first = int(reach.argmin())
        weights = (weights + float(reach[first]) * (aim - weights)).clamp(min=0)
        weights[first] = 0
        used[first] = False


def _affine_best(gram: Tensor) -> Tensor:
    """Weights of sum 1, of any sign, whose point has the least norm."""
    count = len(gram)
    system = torch.ones(count + 1, count + 1, dtype=torch.float64)
    system[:count, :count], system[count, count] = gram, 0
    right = torch.zeros(count + 1, dtype=torch.float64)
    right[count] = 1
    return (torch.linalg.pinv(system, hermitian=True) @ right)[:count]


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
