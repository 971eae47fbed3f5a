"""What a machine and a person get of the layers of a file, over their bits; and of other codecs' pictures.

A task's features come out of the first layers and go into the back half of its network; of other codecs the whole
network sees the decoded picture. Bits are those of whole files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecodec import codec, metrics
from scalecodec.models import ScalableModel

from .feature_tasks import Task
from .ladder import Rung, Samples
from .task_networks import TaskNetwork

UNCOMPRESSED = "uncompressed"
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Row:
    """One codec at one setting, for machines or for people.

    Attributes
    ----------
    codec, setting : as of a rung; a model's gain
    layers : int
        Decoded of a model's file; 0 of other codecs.
    num_pictures : int
    bits_per_pixel : float
        Mean over the pictures.
    metric : str
        What ``accuracy`` is, in [0, 1].
    accuracy : float
        Of features, where these layers give them; else of the network that sees the decoded picture.
    psnr_db : float or None
        Mean over the pictures; None where these layers show none.
    """

    codec: str
    setting: float
    layers: int
    num_pictures: int
    bits_per_pixel: float
    metric: str
    accuracy: float
    psnr_db: float | None


@torch.no_grad()
def measure(
    layered: Mapping[str, ScalableModel],
    network: TaskNetwork,
    task: Task,
    gains: Sequence[float],
    rungs: Sequence[Rung],
    *,
    number: int = 0,
    progress: Progress = lambda done, text: None,
) -> list[Row]:
    """Rows of the uncompressed pictures, of the layers of each model at each gain, and of each rung.

    Parameters
    ----------
    layered : models by the names of their rows, front halves attached where an encoder needs them
    network : task ``number`` of each model
    task : its inputs are pictures [1, 3, H, W] in [0, 1], not yet normalised
    """
    if clash := {rung.label for rung in rungs} & {*layered, UNCOMPRESSED}:
        raise ValueError(f"two codecs are named {clash.pop()!r}")
    pictures = [_samples(x) for x in task.inputs()]
    pixels = _Seen(network, task, pictures)
    rows = [Row(UNCOMPRESSED, 0, 0, len(pictures), 24.0, task.metric, pixels.score(pictures), None)]
    settings = list(product(layered.items(), gains))
    steps = len(settings) + len(rungs)
    for place, ((label, model), gain) in enumerate(settings):
        progress(place / steps, f"{label} {gain:g}")
        blobs = [codec.encode(samples, model, gain=gain) for samples in pictures]
        kept = [codec.keep(blob, number + 1) for blob in blobs]
        inner = (codec.features(blob, number, model=model) for blob in kept)
        found = pixels.score_of_features(inner)
        rows.append(Row(label, gain, number + 1, len(pictures), _bits(kept, pictures), task.metric, found, None))
        rows.append(pixels.row(label, gain, model.num_layers, blobs, partial(codec.decode, model=model)))
    for place, rung in enumerate(rungs, len(settings)):
        progress(place / steps, f"{rung.label} {rung.setting:g}")
        blobs = [rung.encode(samples) for samples in pictures]
        rows.append(pixels.row(rung.label, rung.setting, 0, blobs, rung.decode))
    progress(1, "")
    return rows


def saving(
    rows: Iterable[Row], label: str, layers: int, anchor: str, anchor_layers: int = 0
) -> metrics.BjontegaardDelta:
    """Mean rate of a codec's layers over an anchor's at equal accuracy, in percent, over the common range.

    Of the settings in order of bits only those count that beat every cheaper one; between them the curve is PCHIP in
    log-rate. ValueError where the ranges do not overlap.
    """
    listed = list(rows)
    ours, theirs = (
        metrics.improving((row.bits_per_pixel, row.accuracy) for row in listed if (row.codec, row.layers) == one)
        for one in ((label, layers), (anchor, anchor_layers))
    )
    return metrics.bd_rate(*theirs, *ours)


class _Seen:
    """The pictures of a task, and what a network makes of what is left of them."""

    def __init__(self, network: TaskNetwork, task: Task, pictures: Sequence[Samples]) -> None:
        self._network, self._task, self._pictures = network, task, pictures
        self._shapes = [self._network(_pixels(samples)).shape for samples in pictures]

    def score_of_features(self, inner: Iterable[Tensor]) -> float:
        outputs = [self._network.finish(one, shape) for one, shape in zip(inner, self._shapes, strict=True)]
        return self._task.score(outputs).accuracy

    def score(self, pictures: Iterable[Samples]) -> float:
        return self._task.score([self._network.back(self._network(_pixels(one))) for one in pictures]).accuracy

    def row(
        self, label: str, setting: float, layers: int, blobs: Sequence[bytes], decode: Callable[[bytes], Any]
    ) -> Row:
        shown = [decode(blob) for blob in blobs]
        quality = float(np.mean([metrics.psnr(*pair) for pair in zip(self._pictures, shown, strict=True)]))
        bits, count = _bits(blobs, self._pictures), len(blobs)
        return Row(label, setting, layers, count, bits, self._task.metric, self.score(shown), quality)


def _samples(x: Tensor) -> Samples:
    return (x[0] * 255).round().clamp(0, 255).byte().permute(1, 2, 0).contiguous().numpy()


def _pixels(samples: Samples) -> Tensor:
    return torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)[None]


def _bits(blobs: Sequence[bytes], pictures: Sequence[Samples]) -> float:
    return float(np.mean([8 * len(blob) / one[..., 0].size for blob, one in zip(blobs, pictures, strict=True)]))
