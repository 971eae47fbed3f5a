"""Entropy-constrained quantizers for clipped activations: from a model, from samples or from counts.

Cohen, Choi and Bajic 2021 (arXiv:2105.06002, arXiv:2105.07102): squared error plus ``lagrangian`` times the bits, made
least by turns, with the outer levels pinned to the clip range (:mod:`scalecodec.kernels.ecsq_ref` has the algorithm).
Distortions are those of the activations themselves, clipping included; that, and a search for the range that suits the
lagrangian, are ours: with an entropy constraint the best range is not that of a uniform quantizer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

from scalecodec.batches import check_threads

from . import clip_range
from .activation import ActivationModel
from .clip_range import Distribution
from .design_search import Problem, lower_end
from .histogram import Histogram
from .quantizer import Quantizer
from .samples import FloatArray

Source: TypeAlias = "ActivationModel | Histogram | FloatArray"


def design(
    source: Source,
    levels: int = 4,
    lagrangian: float = 0.0,
    c_min: float | None = 0.0,
    c_max: float | None = None,
    *,
    target_bits: float | None = None,
) -> Quantizer:
    """A quantizer of little ``distortion + lagrangian * bits``: a local minimum, the better of two starts.

    Parameters
    ----------
    source : ActivationModel, Histogram, or floats of any shape (counted as :class:`Histogram` does)
    levels : 2 to 256 at first; those that the lagrangian leaves without a use are deleted
    lagrangian : squared error that a bit may cost, in the squared unit of the activations; not negative
    c_min, c_max : the clip range, where the outer levels stay; None: searched for
    target_bits : bits an element (zero-order entropy) to stay within at the least distortion: lagrangian and c_max are
        then searched for, some seconds long, and no lagrangian may be given

    Returns
    -------
    Quantizer
        Of at most ``levels`` levels.

    Raises
    ------
    ValueError
        A number is out of its range, the range is empty, or there are no activations.
    """
    distribution = as_distribution(source)
    levels = clip_range.check_levels(levels)
    if target_bits is not None and lagrangian:
        raise ValueError("give a lagrangian or target_bits, not both")
    if target_bits is not None and not target_bits > 0:
        raise ValueError(f"target_bits must be positive, got {target_bits}")
    problem = Problem(distribution, levels, c_min, c_max)
    if target_bits is None:
        return problem.solve(_check_lagrangian(lagrangian))
    found = [_within(problem, distribution, target_bits)]
    if c_min is None:  # few bits want few levels, far apart: the lower ends of finer quantizers are tried as well
        for more in (2 * levels, 4 * levels):
            lower = lower_end(problem.cells, min(more, clip_range.MAX_LEVELS), c_max)
            found.append(_within(Problem(problem.cells, levels, lower, c_max), distribution, target_bits))
    return min(found, key=lambda one: one.distortion(distribution))


def _within(problem: Problem, distribution: Distribution, target_bits: float) -> Quantizer:
    """A model's cells are cut nowhere, so its bits may be a little more than theirs."""
    quantizer, margin = problem.within(target_bits), 0.0
    while (excess := quantizer.bits(distribution) - target_bits) > 0:
        margin += 2 * excess
        quantizer = problem.within(target_bits - margin)
    return quantizer


def design_many(sources: Sequence[Source], levels: int = 4, *, threads: int = 1, **options: Any) -> list[Quantizer]:
    """:func:`design` for each of several tensors or channels, ``threads`` at a time; the same quantizers."""
    check_threads(threads)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(lambda source: design(source, levels, **options), sources))


def as_distribution(source: Source) -> Distribution:
    """The model or histogram itself; samples are counted."""
    return source if isinstance(source, ActivationModel | Histogram) else Histogram(source)


def _check_lagrangian(lagrangian: float) -> float:
    if not (math.isfinite(lagrangian) and lagrangian >= 0):
        raise ValueError(f"lagrangian must be finite and not negative, got {lagrangian}")
    return float(lagrangian)
