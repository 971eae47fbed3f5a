"""From a detector's grid to boxes: FastestDet's reading of its 85 channels, and non-maximum suppression."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.floating[Any]]
_FIRST_CLASS = 5  # channels before it: object, x, y, width, height


def boxes(output: Tensor, width: int, height: int, threshold: float = 0.001, overlap: float = 0.45) -> Floats:
    """The boxes in one output of FastestDet, in pixels of the picture.

    Parameters
    ----------
    output : floating-point tensor [5 + classes, rows, columns]
        Of one picture; a copy goes to the CPU.
    width, height : int
        Of the picture, before it was stretched.
    threshold : float
        Boxes of a score up to this are dropped; 0.001 for measuring, about 0.65 for looking at.
    overlap : float
        Of two boxes of one class with a greater intersection over union, the one of less score is dropped.

    Returns
    -------
    ndarray of float32 [N, 6]
        x0, y0, x1, y1, score, class index from 0; highest score first. A box may reach out of the picture.

    Raises
    ------
    ValueError
        `output` has another number of axes, no class, or a value that is not finite; `width` or `height` is not
        positive.

    Notes
    -----
    github.com/dog-qiuqiu/FastestDet, example/ncnn/FastestDet.cpp: a cell's class is its likeliest, its score
    object^0.6 class^0.4, its centre (column + tanh x) / columns, its width sigmoid(w). Cost grows with N squared.
    """
    _check(output, width, height)
    grid = output.detach().to("cpu", torch.float32)
    rows, columns = grid.shape[1:]
    chance, name = grid[_FIRST_CLASS:].max(0)
    score = grid[0] ** 0.6 * chance**0.4
    x = (grid[1].tanh() + torch.arange(columns)) * (width / columns)
    y = (grid[2].tanh() + torch.arange(rows)[:, None]) * (height / rows)
    half_width, half_height = grid[3].sigmoid() * (width / 2), grid[4].sigmoid() * (height / 2)
    fields = (x - half_width, y - half_height, x + half_width, y + half_height, score, name.float())
    found = torch.stack(fields).flatten(1).T.numpy()
    found = found[found[:, 4] > threshold]
    return found[suppress(found[:, :4], found[:, 4], found[:, 5], overlap)]


def suppress(corners: Floats, scores: Floats, classes: npt.NDArray[Any], overlap: float) -> npt.NDArray[np.intp]:
    """Greedy non-maximum suppression within each class.

    Parameters
    ----------
    corners : float [N, 4]
        x0, y0, x1, y1.
    scores : float [N]
    classes : [N]
    overlap : float
        The intersection over union above which the lesser of two boxes goes.

    Returns
    -------
    ndarray of int [M]
        Indexes of the boxes that stay, highest score first, of equal scores the first.
    """
    order = np.argsort(-scores, kind="stable")
    covers = (_intersection_over_union(corners[order]) > overlap) & (classes[order][:, None] == classes[order])
    stays = np.ones(len(order), bool)
    for index in range(len(order)):
        if stays[index]:
            stays[index + 1 :] &= ~covers[index, index + 1 :]
    return order[stays]


def _intersection_over_union(corners: Floats) -> Floats:
    """[N, N]; 0 for a pair without area."""
    low, high = corners[:, :2], corners[:, 2:]
    sides = np.minimum(high[:, None], high) - np.maximum(low[:, None], low)
    shared = sides.clip(0).prod(2)
    area = (high - low).prod(1)
    union = area[:, None] + area - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def _check(output: Tensor, width: int, height: int) -> None:
    if output.ndim != 3 or output.shape[0] <= _FIRST_CLASS or 0 in output.shape:
        raise ValueError(f"an output must be [5 + classes, rows, columns], got shape {tuple(output.shape)}")
    if not bool(output.isfinite().all()):
        raise ValueError("a value of the output is not finite")
    if width <= 0 or height <= 0:
        raise ValueError(f"a picture's sides must be positive, got {width}x{height}")
