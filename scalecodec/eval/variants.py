"""What the parts of a variable-rate model are worth: the model without one, and models of one rate beside it
(arXiv:2402.18930, section 4).
"""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from scalecodec import image
from scalecodec.metrics import BjontegaardDelta, bd_rate

from .ladder import Rung, Samples, scalecodec_ladder
from .rate_distortion import Point

SINGLE_RATES = "single rates"


def without_offsets(model: Any) -> Any:
    """A copy that reconstructs at the symbols themselves. Its streams are the model's, byte for byte, unless decoded
    latents feed back into the coding.
    """
    twin = copy.deepcopy(model)
    twin.offset_table.zero_()
    for parameter in twin.QuantABCD[-1].parameters():  # which an autoregressive model's loop evaluates
        parameter.data.zero_()
    return twin


def without_hyper_step(model: Any) -> Any:
    """A copy whose hyper-latent has step 1 at every gain."""
    twin = copy.deepcopy(model)
    twin.entropy_bottleneck.exponents.zero_()
    twin.entropy_bottleneck.update(force=True)
    return twin


def variants(model: Any) -> dict[str, Any]:
    """The model without each part that it has, by label; ValueError of a model of several layers."""
    if model.num_layers > 1:
        raise ValueError(f"eval vbr is for models of one layer, got one of {model.num_layers}")
    parts = model.config()
    makers = {"offsets": without_offsets, "hyper_step": without_hyper_step}
    return {f"without {part}": make(model) for part, make in makers.items() if part in parts}


def single_rates(files: Sequence[tuple[str | os.PathLike[str], float]]) -> tuple[Rung, ...]:
    """One ladder of many models: weight files, each at the one gain that it was trained for."""
    from scalecodec import models

    return tuple(rung for path, gain in files for rung in scalecodec_ladder(models.load(path), [gain], SINGLE_RATES))


def hyper_bytes(blob: bytes) -> int:
    """How many bytes of a .scl file of a hyperprior model are hyper-latents."""
    from scalecodec.container import unpack
    from scalecodec.models.chunk import hyper_bytes_of

    return sum(hyper_bytes_of(chunk) for layer in unpack(blob).layers for chunk in layer if chunk is not None)


def by_thirds(points: Sequence[Point], label: str, anchor: str) -> list[BjontegaardDelta]:
    """Rate of one codec against another over the lower, middle and upper third of their common range of PSNR.

    Raises
    ------
    ValueError
        The two have no such range.
    """
    ours, theirs = ([point for point in points if point.label == name] for name in (label, anchor))
    rates = [[point.bpp for point in curve] for curve in (theirs, ours)]
    qualities = [[point.psnr for point in curve] for curve in (theirs, ours)]
    judge = partial(bd_rate, rates[0], qualities[0], rates[1], qualities[1])
    whole = judge()
    edges = [whole.low + (whole.high - whole.low) * third / 3 for third in range(4)]
    return [judge(within=ends) for ends in pairwise(edges)]


def worth(points: Sequence[Point], rungs: Sequence[Rung], images: Sequence[Path]) -> dict[str, Any]:
    """What :func:`by_thirds` says of the first label against each other, in percent; and the bytes of hyper-latents a
    picture, at the lowest and the highest setting.
    """
    ladders: dict[str, list[Rung]] = {}
    for rung in rungs:
        ladders.setdefault(rung.label, []).append(rung)
    first, *others = ladders
    thirds = {}
    for anchor in others:
        with contextlib.suppress(ValueError):  # no range in common: the comparison says so
            thirds[anchor] = [delta.value for delta in by_thirds(points, first, anchor)]
    sizes = {}
    samples = [image.read(path).samples for path in images]
    for label in ladders:
        if label != SINGLE_RATES:
            ends = sorted(ladders[label], key=lambda rung: rung.setting)
            sizes[label] = {f"{rung.setting:g}": _hyper_bytes(rung, samples) for rung in (ends[0], ends[-1])}
    return {"thirds": thirds, "hyper_bytes": sizes}


def _hyper_bytes(rung: Rung, pictures: Sequence[Samples]) -> float:
    """A picture, in the mean."""
    return sum(hyper_bytes(rung.encode(samples)) for samples in pictures) / len(pictures)
