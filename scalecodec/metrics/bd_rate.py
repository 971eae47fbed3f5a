"""Bjontegaard deltas: how much rate, or quality, one curve saves over another, averaged over what both cover.

Surprise first: a curve that turns back is refused. Where more rate buys no quality, rate is no function of quality and
any average of it is an accident of the interpolation; `improving` drops such points.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BjontegaardDelta:
    """A mean difference, and the range it was taken over.

    Attributes
    ----------
    value : float
        Percent of the anchor's rate (`bd_rate`, negative is a saving) or units of quality (`bd_psnr`, positive is a
        gain).
    low, high : float
        Ends of the common range: in units of quality for `bd_rate`, in units of rate for `bd_psnr`.
    """

    value: float
    low: float
    high: float


def bd_rate(
    anchor_rate: npt.ArrayLike,
    anchor_quality: npt.ArrayLike,
    test_rate: npt.ArrayLike,
    test_quality: npt.ArrayLike,
    method: str = "pchip",
    within: tuple[float, float] | None = None,
) -> BjontegaardDelta:
    """Mean difference in rate at equal quality, in percent of the anchor's rate.

    Parameters
    ----------
    anchor_rate, test_rate : array_like of float, [N] and [M]
        Positive, any unit that is the same for both (bits per pixel, bytes).
    anchor_quality, test_quality : array_like of float, [N] and [M]
        In units that grow with quality, as dB of PSNR or of MS-SSIM. Points may come in any order.
    method : {"pchip", "akima", "cubic"}
        What joins the points of log10(rate) against quality: the monotone piecewise cubic of Fritsch and Carlson, the
        one of Akima, or the one polynomial of degree 3 of the first proposal (four points or more).
    within : (low, high) of quality, to look at a part of the common range only

    Returns
    -------
    BjontegaardDelta
        Percent, and the common range of quality.

    Raises
    ------
    ValueError
        Lengths differ, there are fewer than 2 points (4 for "cubic"), a number is not finite, a rate is not positive,
        the ranges do not overlap, `method` is unknown, or a curve is not strictly increasing in both once sorted.

    Notes
    -----
    Bjontegaard, Calculation of average PSNR differences between RD-curves, VCEG-M33, 2001; PCHIP since Fritsch and
    Carlson, Monotone piecewise cubic interpolation, SIAM J. Numer. Anal. 17(2), 1980. The integral is exact.
    """
    anchor = _curve(anchor_rate, anchor_quality, "anchor")
    test = _curve(test_rate, test_quality, "test")
    mean, low, high = _mean_difference(anchor[::-1], test[::-1], method, "quality", within)
    return BjontegaardDelta(float(np.expm1(mean * np.log(10))) * 100, low, high)


def bd_psnr(
    anchor_rate: npt.ArrayLike,
    anchor_quality: npt.ArrayLike,
    test_rate: npt.ArrayLike,
    test_quality: npt.ArrayLike,
    method: str = "pchip",
) -> BjontegaardDelta:
    """Mean difference in quality at equal rate (on a log scale), in units of quality.

    Parameters, errors and sources as for `bd_rate`; the common range returned is one of rate.
    """
    anchor = _curve(anchor_rate, anchor_quality, "anchor")
    test = _curve(test_rate, test_quality, "test")
    mean, low, high = _mean_difference(anchor, test, method, "rate")
    return BjontegaardDelta(mean, 10**low, 10**high)


def improving(points: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Rates and qualities, both ascending, of those points (rate, quality) that beat every cheaper one: a curve."""
    kept: list[tuple[float, float]] = []
    for rate, quality in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or quality > kept[-1][1]:
            kept.append((rate, quality))
    return [rate for rate, _ in kept], [quality for _, quality in kept]


def _curve(rate: npt.ArrayLike, quality: npt.ArrayLike, name: str) -> tuple[Floats, Floats]:
    """log10(rate) and quality of one curve, both strictly increasing."""
    rates, qualities = np.asarray(rate, np.float64), np.asarray(quality, np.float64)
    if rates.ndim != 1 or rates.shape != qualities.shape:
        raise ValueError(f"{name}: rate and quality must be two lists of one length: {rates.shape}, {qualities.shape}")
    if rates.size < 2:
        raise ValueError(f"{name}: a curve needs at least 2 points, got {rates.size}")
    if not (np.isfinite(rates).all() and np.isfinite(qualities).all()):
        raise ValueError(f"{name}: a rate or a quality is not finite")
    if rates.min() <= 0:
        raise ValueError(f"{name}: a rate must be positive, got {rates.min()}")
    order = np.lexsort((qualities, rates))
    rates, qualities = rates[order], qualities[order]
    back = np.flatnonzero((np.diff(rates) <= 0) | (np.diff(qualities) <= 0))
    if back.size:
        first, second = back[0], back[0] + 1
        raise ValueError(
            f"{name}: quality must grow with rate, but rate {rates[first]:g} has {qualities[first]:g} "
            f"and rate {rates[second]:g} has {qualities[second]:g}"
        )
    return np.log10(rates), qualities


def _mean_difference(
    anchor: tuple[Floats, Floats],
    test: tuple[Floats, Floats],
    method: str,
    axis: str,
    within: tuple[float, float] | None = None,
) -> tuple[float, float, float]:
    """Mean of test - anchor over the common range of x, or its part ``within``, and that range; curves are (x, y)."""
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
    low, high = max(anchor[0][0], test[0][0]), min(anchor[0][-1], test[0][-1])
    if within is not None:
        low, high = max(low, within[0]), min(high, within[1])
    if low >= high:
        raise ValueError(
            f"the two have no range of {axis} in common: "
            f"[{anchor[0][0]:g}, {anchor[0][-1]:g}] and [{test[0][0]:g}, {test[0][-1]:g}]"
        )
    integrate = METHODS[method]
    difference = integrate(*test, low, high) - integrate(*anchor, low, high)
    return difference / (high - low), float(low), float(high)


def _integrate_cubic(x: Floats, y: Floats, low: float, high: float) -> float:
    if x.size < 4:
        raise ValueError(f"method 'cubic' needs at least 4 points, got {x.size}")
    polynomial = np.polynomial.Polynomial.fit(x, y, 3).integ()
    return float(polynomial(high) - polynomial(low))


def _integrate_pchip(x: Floats, y: Floats, low: float, high: float) -> float:
    return _integrate_hermite(x, y, _pchip_slopes(np.diff(x), np.diff(y) / np.diff(x)), low, high)


def _integrate_akima(x: Floats, y: Floats, low: float, high: float) -> float:
    return _integrate_hermite(x, y, _akima_slopes(np.diff(y) / np.diff(x)), low, high)


def _pchip_slopes(step: Floats, secant: Floats) -> Floats:
    """Slopes at the points: weighted harmonic means of the secants, which `_curve` left all positive."""
    if secant.size == 1:
        return np.repeat(secant, 2)
    left, right = 2 * step[1:] + step[:-1], step[1:] + 2 * step[:-1]
    inner = (left + right) / (left / secant[:-1] + right / secant[1:])
    first = _end_slope(step[0], step[1], secant[0], secant[1])
    last = _end_slope(step[-1], step[-2], secant[-1], secant[-2])
    return np.concatenate(([first], inner, [last]))


def _end_slope(step: float, next_step: float, secant: float, next_secant: float) -> float:
    """Three-point slope at an end, held at zero where it would turn against the data."""
    return max(0.0, ((2 * step + next_step) * secant - step * next_secant) / (step + next_step))


def _akima_slopes(secant: Floats) -> Floats:
    """Slopes after Akima, J. ACM 17(4), 1970: secants weighted by how little the next ones turn."""
    if secant.size == 1:
        return np.repeat(secant, 2)
    start = [3 * secant[0] - 2 * secant[1], 2 * secant[0] - secant[1]]
    end = [2 * secant[-1] - secant[-2], 3 * secant[-1] - 2 * secant[-2]]
    wide = np.concatenate((start, secant, end))
    turn = np.abs(np.diff(wide))
    before, after = turn[:-2], turn[2:]
    weight = before + after
    flat = weight <= 1e-9 * weight.max(initial=0.0)  # both neighbours straight: the weights are 0/0
    share = np.divide(after, weight, out=np.full_like(weight, 0.5), where=~flat)
    return share * wide[1:-2] + (1 - share) * wide[2:-1]


def _integrate_hermite(x: Floats, y: Floats, slope: Floats, low: float, high: float) -> float:
    """Integral from low to high of the piecewise cubic through (x, y) with these slopes."""
    step, secant = np.diff(x), np.diff(y) / np.diff(x)
    square = (3 * secant - 2 * slope[:-1] - slope[1:]) / step
    cube = (slope[:-1] + slope[1:] - 2 * secant) / step**2
    start, stop = np.clip(low, x[:-1], x[1:]) - x[:-1], np.clip(high, x[:-1], x[1:]) - x[:-1]

    def antiderivative(t: Floats) -> Floats:
        return t * (y[:-1] + t * (slope[:-1] / 2 + t * (square / 3 + t * cube / 4)))

    return float(np.sum(antiderivative(stop) - antiderivative(start)))


METHODS: dict[str, Callable[[Floats, Floats, float, float], float]] = {
    "pchip": _integrate_pchip,
    "akima": _integrate_akima,
    "cubic": _integrate_cubic,
}
