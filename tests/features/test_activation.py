"""The clipped-activation model against quadrature, against samples, and against the figures that the paper gives."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from scalecodec import features
from scalecodec.features import clip_range
from scalecodec.features.activation import ActivationModel

# Mean and variance of the paper's example, and the parameters it names (arXiv:2105.06002).
EXAMPLE = (1.1235656, 4.9280124)
UNIVERSAL = {2: 2.0, 3: 2.897849, 4: 3.486401, 5: 3.925696, 6: 4.276655, 7: 4.569108, 8: 4.819915, 16: 6.098037}
UNIVERSAL |= {32: 7.358589, 64: 8.617835, 128: 9.882652, 256: 11.155543}
MODELS = {
    "example": ActivationModel("leaky_relu", 0.1, 1.5433189, 0.38582974, -1.43506212),
    "peak above 0": ActivationModel("leaky_relu", 0.2, 1.2, 0.7, 1.3),
    "peak at 0": ActivationModel("leaky_relu", 0.01, 2.0, 0.5, 0.0),
    "relu": ActivationModel("relu", 0.0, math.inf, 0.385, -2.0),
    "relu, peak above 0": ActivationModel("relu", 0.0, 1.5, 0.4, 0.8),
    "relu, no zeros": ActivationModel("relu", 0.0, math.inf, 1.0, 1.0),
}
BOTH = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def density(model, x):
    """Of x, before the activation."""
    peak = 1 / (1 / model.left_rate + 1 / model.right_rate)
    right = np.exp(-model.right_rate * np.maximum(x - model.location, 0))
    if math.isinf(model.left_rate):
        return np.where(x >= model.location, peak * right, 0.0)
    left = np.exp(-model.left_rate * np.maximum(model.location - x, 0))
    return peak * np.where(x >= model.location, right, left)


def integral(model, function, breaks):
    """Of ``function(y)`` over the distribution: Gauss-Legendre over x, between all places where anything bends."""
    slope = model.negative_slope
    in_x = [y / slope if y < 0 and slope else y for y in breaks if y >= 0 or slope]
    low = model.location - (0 if math.isinf(model.left_rate) else 45 / model.left_rate)
    high = model.location + 60 / model.right_rate
    ends = np.unique(np.clip([low, high, 0.0, model.location, *in_x], low, high))
    nodes, weights = np.polynomial.legendre.leggauss(60)
    total = 0.0
    for a, b in pairwise(ends):
        pieces = np.linspace(a, b, 9)
        for c, d in pairwise(pieces):
            x = (c + d) / 2 + (d - c) / 2 * nodes
            y = np.where(x >= 0, x, slope * x)
            total += (d - c) / 2 * (weights * density(model, x) * function(y)).sum()
    return total


def quantized(y, c_min, c_max, levels):
    step = (c_max - c_min) / (levels - 1)
    return c_min + np.ceil(np.clip((y - c_min) / step, 0, levels - 1) - 0.5) * step


def draw(model, count, rng):
    right = rng.exponential(1 / model.right_rate, count)
    if math.isinf(model.left_rate):
        x = model.location + right
    else:
        left = rng.exponential(1 / model.left_rate, count)
        falls = rng.random(count) < model.right_rate / (model.left_rate + model.right_rate)
        x = model.location + np.where(falls, -left, right)
    return np.where(x >= 0, x, model.negative_slope * x)


@BOTH
def test_moments_are_those_of_the_density(model):
    mean = integral(model, lambda y: y, [])
    assert model.moments(-np.inf, np.inf, 0.0)[0] == pytest.approx(1, abs=1e-12)
    assert model.mean == pytest.approx(mean, rel=1e-9)
    assert model.variance == pytest.approx(integral(model, lambda y: (y - mean) ** 2, []), rel=1e-9)


@BOTH
@pytest.mark.parametrize("levels", [2, 3, 4, 8, 33, 256])
@pytest.mark.parametrize("c_min", [0.0, -0.3, 0.2])
def test_distortion_and_probabilities_are_those_of_the_density(model, levels, c_min):
    c_max = c_min + clip_range.universal_range(levels) / model.right_rate
    _, thresholds = clip_range.uniform(c_min, c_max, levels)
    error = integral(model, lambda y: (y - quantized(y, c_min, c_max, levels)) ** 2, thresholds)
    assert model.distortion(c_min, c_max, levels) == pytest.approx(error, rel=1e-9)
    probabilities = model.probabilities(thresholds)
    assert probabilities.sum() == pytest.approx(1, abs=1e-12)
    for bin_ in {0, 1, levels // 2, levels - 1}:
        low, high = np.append(-np.inf, thresholds)[bin_], np.append(thresholds, np.inf)[bin_]
        mass = integral(model, lambda y, low=low, high=high: (y > low) & (y <= high), thresholds)
        assert probabilities[bin_] == pytest.approx(mass, rel=1e-9, abs=1e-12)


@BOTH
def test_ten_million_samples_agree(model):
    y = draw(model, 10_000_000, np.random.default_rng(3))
    deviations = 5 / math.sqrt(len(y))  # five standard errors
    assert model.mean == pytest.approx(y.mean(), abs=deviations * y.std())
    assert model.variance == pytest.approx(y.var(), abs=deviations * ((y - y.mean()) ** 2).std())
    c_min, c_max = model.clip_range(4)
    errors = (y - quantized(y, c_min, c_max, 4)) ** 2
    assert model.distortion(c_min, c_max, 4) == pytest.approx(errors.mean(), abs=deviations * errors.std())


def test_the_papers_example():
    model = features.fit_moments(*EXAMPLE, "leaky_relu", 0.1)
    assert math.sqrt(model.left_rate * model.right_rate) == pytest.approx(0.77165949, abs=5e-7)
    assert model.location == pytest.approx(-1.43506212, abs=5e-7)
    assert (model.mean, model.variance) == pytest.approx(EXAMPLE, rel=1e-12)
    ranges = [model.clip_range(levels) for levels in range(2, 9)]
    assert ranges == [(0.0, pytest.approx(c, abs=6e-4)) for c in (5.184, 7.511, 9.036, 10.175, 11.084, 11.842, 12.492)]


@pytest.mark.parametrize(("levels", "value"), UNIVERSAL.items())
def test_the_universal_range(levels, value):
    assert clip_range.universal_range(levels) == pytest.approx(value, abs=6e-7)


@BOTH
@pytest.mark.parametrize("levels", [2, 5, 16, 256])
def test_no_other_range_is_better(model, levels):
    c_min, c_max = model.clip_range(levels)
    least = model.distortion(c_min, c_max, levels)
    for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0):
        assert model.distortion(c_min, c_max * factor, levels) > least


@pytest.mark.parametrize(
    ("levels", "ends"),
    [(2, (0.361, 5.544)), (3, (0.147, 7.658)), (4, (0.053, 9.089)), (5, (0.001, 10.176)), (8, (-0.065, 12.427))],
)
def test_a_free_lower_end(levels, ends):
    """Found before by another method, Nelder-Mead on the exact error; to its three digits."""
    model = features.fit_moments(*EXAMPLE, "leaky_relu", 0.1)
    found = model.clip_range(levels, c_min=None)
    assert found == pytest.approx(ends, abs=1e-3)
    assert model.distortion(*found, levels) < model.distortion(*model.clip_range(levels), levels)


@pytest.mark.parametrize("slope", [0.01, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("place", [-9.0, -1.0, -0.01, 0.0, 0.5, 7.0])
@pytest.mark.parametrize("rate", [1e-3, 0.7, 1e4])
def test_leaky_fits_come_back(slope, place, rate):
    model = ActivationModel("leaky_relu", slope, 2 * rate, rate / 2, place / rate)
    again = features.fit_moments(model.mean, model.variance, "leaky_relu", slope)
    assert again.right_rate == pytest.approx(model.right_rate, rel=1e-7)
    assert again.location == pytest.approx(model.location, abs=1e-6 / rate)


@pytest.mark.parametrize(("mean", "variance"), [(0.5, 1.0), (1.0, 1.0), (3.0, 1.0), (1e-4, 1e-3), (2e5, 1e11)])
def test_relu_fits_have_the_moments(mean, variance):
    model = features.fit_moments(mean, variance)
    assert (model.mean, model.variance) == pytest.approx((mean, variance), rel=1e-9)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((1.0, 0.0), "positive variance, got 1.0 and 0.0"),
        ((math.nan, 1.0), "finite mean"),
        ((1.0, math.inf), "got 1.0 and inf"),
        ((0.0, 1.0), "a ReLU's mean is above 0, got 0.0"),
        ((1.0, 1.0, "gelu"), "relu, leaky_relu, got 'gelu'"),
        ((1.0, 1.0, "leaky_relu", 1.0), r"1\), got 1.0"),
        ((1.0, 1.0, "leaky_relu", -0.1), "got -0.1"),
    ],
)
def test_moments_that_no_model_has(arguments, words):
    with pytest.raises(ValueError, match=words):
        features.fit_moments(*arguments)


@pytest.mark.parametrize("levels", [1, 257, 0, -3])
def test_levels_out_of_range(levels):
    with pytest.raises(ValueError, match=rf"\[2, 256\], got {levels}"):
        MODELS["relu"].clip_range(levels)


@pytest.mark.parametrize("levels", [2.0, True, "4", None])
def test_levels_are_an_int(levels):
    with pytest.raises(TypeError, match="levels must be an int"):
        MODELS["relu"].clip_range(levels)


@pytest.mark.parametrize("ends", [(1.0, 1.0), (2.0, 1.0), (0.0, math.inf), (math.nan, 1.0)])
def test_a_range_has_two_ends(ends):
    with pytest.raises(ValueError, match="c_min < c_max"):
        MODELS["relu"].distortion(*ends, 4)
