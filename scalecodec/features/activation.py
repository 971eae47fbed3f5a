"""The clipped-activation model: an asymmetric Laplace variable through ReLU or leaky ReLU, from two moments.

Cohen, Choi and Bajic 2021 (arXiv:2105.06002, ICME 2020; arXiv:2105.07102, OJCAS 2021). Behind a ReLU only two numbers
can be known, the mass above 0 and the rate of the tail: there the variable is taken as ``location + Exp(right_rate)``,
and the fit needs no solver. The closed forms are our derivation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import clip_range
from .exponential import Piece, Pieces

ACTIVATIONS = ("relu", "leaky_relu")
KAPPA = 0.5  # of the paper: the left rate is 1 / KAPPA^2 = 4 times the right one
_TAIL = 1e-13  # what may lie beyond a span
_LEAST_SLOPE = 1e-6  # below which a ReLU is as good


@dataclass(frozen=True)
class ActivationModel:
    """Density of y = activation(x): x falls off from ``location`` at ``left_rate`` downwards, ``right_rate`` upwards.

    Attributes
    ----------
    activation : "relu" or "leaky_relu"
    negative_slope : float in [0, 1); 0 for "relu"
    left_rate, right_rate : float, positive, per unit of x; the left one may be infinite
    location : float, the peak of x (mu)
    """

    activation: str
    negative_slope: float
    left_rate: float
    right_rate: float
    location: float

    def clip_range(self, levels: int, c_min: float | None = 0.0) -> tuple[float, float]:
        """(c_min, c_max) at which a uniform quantizer of ``levels`` has the least mean squared error.

        ``c_min=None`` finds both ends. With c_min = 0 and a location of at most 0, c_max is u*(levels) / right_rate,
        for ReLU and leaky ReLU alike; a numerical search on :meth:`distortion` otherwise.
        """
        levels = clip_range.check_levels(levels)
        if c_min is None:
            # Nothing lies below 0 behind a ReLU, yet a level above 0 can serve its lowest bin better.
            return clip_range.search_range(self, levels)
        if not math.isfinite(c_min):
            raise ValueError(f"c_min must be finite, got {c_min}")
        if c_min == 0 and self.location <= 0:
            return 0.0, clip_range.universal_range(levels) / self.right_rate
        return c_min, clip_range.search_c_max(self, levels, c_min)

    def distortion(self, c_min: float, c_max: float, levels: int) -> float:
        """Mean squared error of uniform quantization to ``levels`` in [c_min, c_max], what is clipped included."""
        clip_range.check_range(c_min, c_max)
        return clip_range.distortion(self, c_min, c_max, clip_range.check_levels(levels))

    def probabilities(self, thresholds: ArrayLike) -> NDArray[np.float64]:
        """Mass of the bins (-inf, t_1], (t_1, t_2], ..., (t_n, inf): float64 [len(thresholds) + 1]."""
        low, high = clip_range.edges(np.asarray(thresholds, np.float64))
        return self.moments(low, high, np.zeros_like(low))[0]

    @property
    def mean(self) -> float:
        """Of y."""
        return float(self.moments(-np.inf, np.inf, 0.0)[1])

    @property
    def variance(self) -> float:
        """Of y."""
        return float(self.moments(-np.inf, np.inf, self.mean)[2])

    def moments(
        self, low: ArrayLike, high: ArrayLike, centre: ArrayLike
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Mass, and first and second moments about ``centre``, of y in the intervals (low, high]."""
        return self._pieces.moments(low, high, centre)

    def span(self) -> tuple[float, float]:
        """Ends beyond which 1e-13 of the mass lies on either side."""
        reach = -math.log(_TAIL)
        bottom = self.location - reach / self.left_rate
        top = max(self.location + reach / self.right_rate, 0.0)
        return (min(0.0, self.negative_slope * bottom) if bottom < 0 else bottom), top

    @cached_property
    def _pieces(self) -> Pieces:
        """At most three pieces, cut where the activation bends and where the density has its peak."""
        mu, left, right, slope = self.location, self.left_rate, self.right_rate, self.negative_slope
        peak = 1 / (1 / left + 1 / right)  # of the density of x
        pieces, at_zero = [], 0.0
        if math.isfinite(left):
            end = min(mu, 0.0)  # of the rising part below the bend
            height = peak * math.exp(-left * (mu - end))
            if slope:
                pieces.append(Piece(-math.inf, slope * end, height / slope, left / slope, False))
            else:
                at_zero += height / left
            if mu > 0:
                pieces.append(Piece(0.0, mu, peak, left, False))
        if mu < 0:
            if slope:
                pieces.append(Piece(slope * mu, 0.0, peak / slope, right / slope, True))
            else:
                at_zero += -math.expm1(right * mu) * peak / right
        start = max(mu, 0.0)
        pieces.append(Piece(start, math.inf, peak * math.exp(-right * (start - mu)), right, True))
        return Pieces(tuple(pieces), at_zero)


def fit_moments(mean: float, variance: float, activation: str = "relu", negative_slope: float = 0.1) -> ActivationModel:
    """The model whose activations have this mean and variance.

    Parameters
    ----------
    mean, variance : of the activation's output, zeros included; a mean above 0 behind a ReLU
    activation : "relu" or "leaky_relu"
    negative_slope : of the leaky ReLU, in [1e-6, 1); "relu" does not look at it

    Raises
    ------
    ValueError
        They are not finite, the variance is not positive, or no such model has them.
    """
    slope = check_activation(activation, negative_slope)
    if not (math.isfinite(mean) and math.isfinite(variance) and variance > 0):
        raise ValueError(f"wanted a finite mean and a positive variance, got {mean} and {variance}")
    try:
        return _fit_relu(mean, variance) if activation == "relu" else _fit_leaky(mean, variance, slope)
    except ArithmeticError as error:
        raise ValueError(f"a mean of {mean} and a variance of {variance} are beyond a model's numbers") from error


def _fit_leaky(mean: float, variance: float, slope: float) -> ActivationModel:
    """The location over the scale, by bisection, then the scale."""
    deviation = math.sqrt(variance)
    low, high = -1.0, 1.0
    while _shape(low, slope)[0] > mean / deviation:
        low *= 2
    while _shape(high, slope)[0] < mean / deviation:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if _shape(middle, slope)[0] < mean / deviation else (low, middle)
    rate = _shape(low, slope)[1] / deviation
    return ActivationModel("leaky_relu", slope, rate / KAPPA, rate * KAPPA, low / rate)


def check_activation(activation: str, negative_slope: float) -> float:
    """The slope below 0: ``negative_slope`` checked, or a ReLU's 0."""
    if activation not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
    if activation == "relu":
        return 0.0
    if not _LEAST_SLOPE <= negative_slope < 1:
        raise ValueError(f"negative_slope must lie in [{_LEAST_SLOPE}, 1), got {negative_slope}")
    return float(negative_slope)


def _fit_relu(mean: float, variance: float) -> ActivationModel:
    """Mass w above 0 and rate r of the tail from E[y] = w / r and E[y^2] = 2 w / r^2.

    Where that asks for more mass than 1, the mean exceeding the deviation, no zeros are left and y = location + Exp(r).
    """
    if mean <= 0:
        raise ValueError(f"a ReLU's mean is above 0, got {mean}")
    square = variance + mean * mean
    rate, mass = 2 * mean / square, 2 * mean * mean / square
    if not 0 < mass < math.inf:
        raise OverflowError
    if mass > 1:
        rate = 1 / math.sqrt(variance)
        return ActivationModel("relu", 0.0, math.inf, rate, mean - 1 / rate)
    return ActivationModel("relu", 0.0, math.inf, rate, math.log(mass) / rate)


def _shape(place: float, slope: float) -> tuple[float, float]:
    """Mean over deviation, and the deviation, of the activations at lambda = 1 and mu = ``place``.

    Both scale with 1 / lambda, so one unknown is left; their ratio rises with ``place``.
    """
    model = ActivationModel("leaky_relu", slope, 1 / KAPPA, KAPPA, place)
    deviation = math.sqrt(model.variance)
    return model.mean / deviation, deviation
