"""From activations to a clip range: the model's where it fits, the best of what was counted where it does not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from . import clip_range
from .activation import ActivationModel, check_activation, fit_moments
from .histogram import Histogram
from .samples import FloatArray

_CLOSE = 0.01  # the model's range may cost so much more distortion than the best before it is left


def fit(
    activations: Histogram | FloatArray | Iterable[FloatArray], activation: str = "relu", negative_slope: float = 0.1
) -> ActivationModel:
    """The clipped-activation model with the mean and variance of these activations.

    Parameters
    ----------
    activations : floats of any shape, zeros included; or an iterable of batches; or what a Histogram has counted
    activation, negative_slope : as for :func:`fit_moments`

    Raises
    ------
    ValueError
        There are none, an element is not finite, a value is below 0 behind a "relu", or all are equal.
    """
    counted = activations if isinstance(activations, Histogram) else Histogram(activations)
    lowest, _ = counted.span()
    check_activation(activation, negative_slope)
    if activation == "relu" and lowest < 0:
        raise ValueError(f"nothing below 0 comes out of a ReLU, got {lowest}: leaky_relu, or choose_range without one")
    return fit_moments(counted.mean, counted.variance, activation, negative_slope)


@dataclass(frozen=True)
class RangeChoice:
    """A clip range, and what spoke for it. Distortions are mean squared errors of what was counted.

    Attributes
    ----------
    c_min, c_max : float
    levels : int
    source : "model" or "histogram", whose range was taken
    distortion : of the range taken
    model_range, model_distortion : of the model's; None where there is no model
    searched_range, searched_distortion : of the best range, by a search over what was counted
    misfit : Kolmogorov distance, the largest difference of the model's and the counted cumulative shares; None likewise
    """

    c_min: float
    c_max: float
    levels: int
    source: str
    distortion: float
    model_range: tuple[float, float] | None
    model_distortion: float | None
    searched_range: tuple[float, float]
    searched_distortion: float
    misfit: float | None


def choose_range(
    activations: Histogram | FloatArray | Iterable[FloatArray],
    levels: int,
    activation: str | None = "relu",
    negative_slope: float = 0.1,
) -> RangeChoice:
    """The model's clip range if its distortion, as counted, is within 1 % of the best; else the best.

    Parameters
    ----------
    activations : as for :func:`fit`
    levels : 2 to 256, of a uniform quantizer
    activation : "relu" or "leaky_relu", whose ranges begin at 0; None for others (GELU, SiLU, no activation): no model,
        and both ends are searched for
    """
    counted = activations if isinstance(activations, Histogram) else Histogram(activations)
    levels = clip_range.check_levels(levels)
    if activation is None:
        searched = clip_range.search_range(counted, levels)
        best = clip_range.distortion(counted, *searched, levels)
        return RangeChoice(*searched, levels, "histogram", best, None, None, searched, best, None)
    model = fit(counted, activation, negative_slope)
    searched = 0.0, clip_range.search_c_max(counted, levels, 0.0)
    best = clip_range.distortion(counted, *searched, levels)
    ends = model.clip_range(levels)
    theirs = clip_range.distortion(counted, *ends, levels)
    taken = ("model", ends, theirs) if theirs <= (1 + _CLOSE) * best else ("histogram", searched, best)
    misfit = _kolmogorov(model, counted)
    return RangeChoice(*taken[1], levels, taken[0], taken[2], ends, theirs, searched, best, misfit)


def _kolmogorov(model: ActivationModel, counted: Histogram) -> float:
    """At the places between the counted bins."""
    values = counted.values
    between = (values[1:] + values[:-1]) / 2
    expected = np.cumsum(model.probabilities(between))[:-1]
    return float(np.abs(expected - np.cumsum(counted.weights)[:-1]).max(initial=0.0))
