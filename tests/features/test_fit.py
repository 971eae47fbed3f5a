"""Counting batch by batch, fitting what was counted, and choosing between the model's range and the best."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scalecodec import features
from scalecodec.features import Histogram, clip_range

rng = np.random.default_rng(11)
RELU = np.maximum(rng.exponential(2.6, 200_000) - 2, 0).astype(np.float32)


def gelu(x):
    return torch.nn.functional.gelu(torch.from_numpy(x)).numpy()


def test_batches_in_any_order_and_number_are_counted_alike():
    whole = Histogram(RELU)
    parts = Histogram(np.array_split(RELU, 17)[::-1])
    np.testing.assert_allclose(whole.values, parts.values, rtol=1e-12)
    np.testing.assert_array_equal(whole.weights, parts.weights)
    assert (whole.mean, whole.variance) == pytest.approx((parts.mean, parts.variance), rel=1e-12)
    assert whole.mean == pytest.approx(RELU.mean(dtype=np.float64), rel=1e-12)
    assert whole.variance == pytest.approx(RELU.var(dtype=np.float64), rel=1e-9)
    assert whole.span() == (RELU.min(), RELU.max())


def test_moments_are_those_of_the_values():
    counted = Histogram(RELU)
    for low, high, centre in ((-math.inf, 1.5, 0.3), (1.5, 4.25, 2.0), (4.25, math.inf, 5.0)):
        inside = RELU[np.logical_and(np.greater(RELU, low), np.less_equal(RELU, high))].astype(np.float64)
        mass, first, second = counted.moments(low, high, centre)
        assert mass == pytest.approx(len(inside) / len(RELU), rel=1e-12)  # whole bins: the ends are multiples of 1/4
        assert first == pytest.approx((inside - centre).sum() / len(RELU), rel=1e-9)
        assert second == pytest.approx(((inside - centre) ** 2).sum() / len(RELU), rel=1e-5)


def test_few_bins_whatever_comes():
    counted = Histogram()
    for batch in ([1e-42], [-3e38, 3e38], [0.0, -0.0], [1.0] * 5):
        counted.update(np.array(batch, np.float32))
    assert counted.count == 10
    assert len(counted.values) <= 4
    assert counted.span() == (np.float32(-3e38), np.float32(3e38))


@pytest.mark.parametrize("value", [0.0, 1.0, -3.5, 1e-45, 3e38, 1e-20])
@pytest.mark.parametrize("count", [1, 1000])
def test_constants_are_counted(value, count):
    counted = Histogram(np.full(count, value, np.float32))
    assert (counted.count, counted.variance) == (count, 0)
    assert counted.mean == pytest.approx(np.float32(value), rel=1e-9)
    with pytest.raises(ValueError, match=r"positive variance|below 0"):
        features.fit(counted)


@pytest.mark.parametrize(("far", "wide"), [(1e4, 0.01), (1e6, 1.0), (-1e5, 0.1)])
def test_values_far_from_0_keep_their_spread(far, wide):
    samples = rng.normal(far, wide, 100_000).astype(np.float32)
    counted = Histogram(np.array_split(samples, 7))
    assert counted.variance == pytest.approx(samples.var(dtype=np.float64), rel=1e-3)
    expected = ((samples.astype(np.float64) - far) ** 2).mean()
    assert counted.moments(-np.inf, np.inf, far)[2] == pytest.approx(expected, rel=1e-3)


def test_an_outlier_takes_no_variance_from_the_bulk():
    samples = np.append(RELU, np.float32(1e5))
    assert Histogram(samples).variance == pytest.approx(samples.var(dtype=np.float64), rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_every_float(dtype):
    tensor = torch.from_numpy(RELU[:1000]).to(dtype).reshape(10, 4, 25)
    assert Histogram(tensor).mean == pytest.approx(tensor.double().mean().item(), rel=1e-6)


@pytest.mark.parametrize(
    ("value", "error", "words"),
    [
        (np.array([1, 2]), TypeError, "floats, got int64"),
        (torch.tensor([1, 2]), TypeError, "floats, got torch.int64"),
        (np.array([1.0, math.nan], np.float32), ValueError, r"finite, got nan \(element 1\)"),
        (torch.tensor([math.inf]), ValueError, "finite, got inf"),
        (np.array([1e300]), ValueError, "finite, got inf"),
        (["1.0"], TypeError, "NumPy array or a torch tensor, got str"),
    ],
)
def test_what_is_no_activation(value, error, words):
    with pytest.raises(error, match=words):
        Histogram(value)


def test_nothing_has_no_span():
    with pytest.raises(ValueError, match="no activations"):
        features.fit(np.zeros(0, np.float32))


def test_what_a_relu_never_gives():
    with pytest.raises(ValueError, match="below 0 comes out of a ReLU, got -1"):
        features.fit(np.array([-1.0, 2.0], np.float32))


def test_the_model_is_taken_where_it_fits():
    choice = features.choose_range(RELU, 4)
    assert choice.source == "model"
    assert choice.misfit < 0.01
    assert (choice.c_min, choice.c_max) == choice.model_range == features.fit(RELU).clip_range(4)
    assert choice.searched_distortion <= choice.distortion <= 1.01 * choice.searched_distortion


def test_the_search_is_taken_where_the_model_does_not_fit():
    uniform = rng.random(100_000).astype(np.float32)
    choice = features.choose_range(uniform, 16)
    assert choice.source == "histogram"
    assert choice.c_max == pytest.approx(15 / 15.5, abs=0.003)  # as much above it as a step's half
    assert choice.distortion < 0.9 * choice.model_distortion
    assert choice.misfit > 0.1


@pytest.mark.parametrize("levels", [3, 8, 16])
def test_without_a_model_both_ends_are_searched_for(levels):
    samples = gelu(rng.standard_normal(50_000).astype(np.float32))
    counted = Histogram(samples)
    choice = features.choose_range(counted, levels, None)
    assert choice.source == "histogram"
    least = clip_range.distortion(counted, choice.c_min, choice.c_max, levels)
    assert choice.distortion == least
    grid = [
        clip_range.distortion(counted, low, high, levels)
        for low in np.linspace(-0.17, 1.0, 40)
        for high in np.linspace(1.1, 4.5, 60)
    ]
    assert least <= min(grid) * 1.0005
