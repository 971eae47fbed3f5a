"""What the lists share: curves, rates of layers, and bits beside what was estimated."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scalecodec import codec, metrics
from scalecodec.gains import GAIN_TABLE, nearest_gain_index

GAINS = (0.064, 0.12, 0.22, 0.4, 0.7, 1.0)
Samples = NDArray[np.uint8]


def say(**figures: Any) -> None:
    sys.stdout.write(json.dumps(figures) + "\n")
    sys.stdout.flush()


def mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def measured(pictures: list[Samples], model: Any, gain: float, layers: tuple[str, ...]) -> list[tuple[float, float]]:
    """Mean bits a pixel and PSNR of each choice of layers, each picture encoded once."""
    rows = []
    for samples in pictures:
        blob = codec.encode(samples, model, gain=gain)
        kept = [codec.keep(blob, choice) for choice in layers]
        rates = [8 * len(one) / samples[..., 0].size for one in kept]
        rows.append(
            list(zip(rates, [metrics.psnr(samples, codec.decode(one, model=model)) for one in kept], strict=True))
        )
    return [(float(rate), float(quality)) for rate, quality in np.mean(rows, 0)]


def compare(what: str, anchor: Sequence[tuple[float, float]], points: Sequence[tuple[float, float]]) -> None:
    """Rate against one layer's, in percent; the points are pairs of rate and quality in dB."""
    what = f"BD-rate against one layer: {what}"
    try:
        delta = metrics.bd_rate(*metrics.improving(anchor), *metrics.improving(points))
    except ValueError as error:  # curves that share no quality
        say(what=what, none=str(error))
    else:
        say(what=what, percent=delta.value, db=(delta.low, delta.high))


def estimates(pictures: list[Samples], model: Any) -> None:
    """Bits of whole files beside those that the likelihoods say; of sides cut to multiples of 64."""
    pictures = [one[: one.shape[0] // 64 * 64, : one.shape[1] // 64 * 64] for one in pictures]
    for gain in (GAIN_TABLE[nearest_gain_index(gain)] for gain in GAINS):
        real = told = 0.0
        for samples in pictures:
            real += 8 * len(codec.encode(samples, model, gain=gain))
            x = torch.from_numpy(samples.astype(np.float32) / 255).permute(2, 0, 1)[None]
            with torch.no_grad():
                told += sum(float(-p.log2().sum()) for p in model(x, gain)["likelihoods"].values())
        say(what="real over estimated bits", gain=gain, percent=100 * (real / told - 1))
