"""Entropy-constrained quantizers: compiled against the definition, against brute force, and what they promise."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from scalecodec.kernels import ecsq_numba, ecsq_ref

from scalecodec import features
from scalecodec.features import Histogram, Quantizer, design

EXAMPLE = features.fit_moments(1.1235656, 4.9280124, "leaky_relu", 0.1)
TOP = EXAMPLE.clip_range(4)[1]


def cells(seed, count, tail=3.0):
    rng = np.random.default_rng(seed)
    values = np.unique(np.clip(rng.exponential(tail, count) - 1, 0, 9))
    weights = rng.random(len(values)) + 0.01
    return values, weights / weights.sum()


def cost(quantizer, source, lagrangian):
    return quantizer.distortion(source) + lagrangian * quantizer.bits(source)


@pytest.mark.parametrize("levels", [2, 3, 4, 8, 16, 64])
@pytest.mark.parametrize("lagrangian", [0.0, 0.1, 0.5, 1.0, 3.0, 30.0])
@pytest.mark.parametrize("seed", range(4))
def test_compiled_is_the_definition(levels, lagrangian, seed):
    values, weights = cells(seed, 700)
    start = np.linspace(0, 9, levels)
    expected = ecsq_ref.design(values, weights, start, lagrangian, 1e-9, 1000)
    got = ecsq_numba.design(values, weights, start, lagrangian, 1e-9, 1000)
    for one, other in zip(expected, got, strict=True):
        assert one.shape == other.shape
        # A value may change its bin by a rounding of the sums, and the end come an iteration earlier or later.
        np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("lagrangian", [0.0, 0.3, 1.0, 4.0])
@pytest.mark.parametrize("kernel", [ecsq_ref, ecsq_numba])
def test_what_comes_out_is_a_quantizer_of_its_own_bins(kernel, lagrangian):
    values, weights = cells(7, 2000)
    levels, thresholds, mass = kernel.design(values, weights, np.linspace(0, 9, 8), lagrangian, 1e-9, 1000)
    assert (np.diff(levels) > 0).all()
    assert (np.diff(thresholds) > 0).all()
    assert len(levels) == 1 or (levels[0], levels[-1]) == (0, 9)
    bins = np.searchsorted(thresholds, values, "left")
    np.testing.assert_allclose(mass, np.bincount(bins, weights, len(levels)), rtol=1e-9)
    centroids = np.bincount(bins, weights * values, len(levels)) / mass
    np.testing.assert_allclose(levels[1:-1], centroids[1:-1], rtol=1e-9)
    assert mass.min() > 0


def test_no_three_levels_are_better():
    """Brute force over inner levels and both thresholds' places, on few values."""
    values, weights = cells(3, 14)
    lagrangian = 0.4
    found = ecsq_numba.design(values, weights, np.array([0.0, 4.5, 9.0]), lagrangian, 1e-12, 1000)

    def price(first, second):
        parts = np.split(np.arange(len(values)), [first, second])
        mass = np.array([weights[part].sum() for part in parts])
        levels = [0.0, (weights * values)[parts[1]].sum() / mass[1], 9.0]
        error = sum(
            (weights[part] * (values[part] - level) ** 2).sum() for part, level in zip(parts, levels, strict=True)
        )
        return error - lagrangian * (mass * np.log2(mass)).sum()

    prices = [price(a, b) for a in range(1, len(values) - 1) for b in range(a + 1, len(values))]
    ends = np.searchsorted(values, found[1], "right")
    assert price(*ends) == pytest.approx(min(prices), rel=1e-12)


def test_the_designs_of_the_note():
    """N = 4 in the paper's example: as measured before, by another program, on 400,000 samples (to 2 %)."""
    uniform = Quantizer.uniform(0, TOP, 4)
    assert (uniform.distortion(EXAMPLE), uniform.bits(EXAMPLE)) == pytest.approx((0.5255, 1.125), rel=1e-3)
    for lagrangian, expected in ((0.0, (0.4445, 1.301)), (0.5, (0.484, 1.145)), (1.0, (0.585, 1.010))):
        quantizer = design(EXAMPLE, 4, lagrangian, c_max=TOP)
        assert (quantizer.distortion(EXAMPLE), quantizer.bits(EXAMPLE)) == pytest.approx(expected, rel=0.02)
    wider = design(EXAMPLE, 4, 0.5, c_max=12.0)
    assert wider.distortion(EXAMPLE) < uniform.distortion(EXAMPLE)
    assert wider.bits(EXAMPLE) < uniform.bits(EXAMPLE)


def test_a_grid_of_inner_levels_is_no_better():
    best = design(EXAMPLE, 4, 0.0, c_max=TOP).distortion(EXAMPLE)
    for a in np.linspace(1, 3, 21):
        for b in np.linspace(3.6, 6, 25):
            levels = np.array([0, a, b, TOP])
            assert Quantizer(levels, (levels[1:] + levels[:-1]) / 2).distortion(EXAMPLE) > best - 1e-7


def test_samples_their_histogram_and_their_model_agree():
    rng = np.random.default_rng(5)
    model = features.fit_moments(0.5, 1.0)
    x = np.maximum(model.location + rng.exponential(1 / model.right_rate, 2_000_000), 0).astype(np.float32)
    one, two, three = (design(source, 4, 0.05) for source in (model, x, Histogram(x)))
    np.testing.assert_array_equal(two.levels, three.levels)
    np.testing.assert_allclose(one.levels, two.levels, rtol=0.02)


@pytest.mark.parametrize("bits", [0.3, 0.6, 0.8, 1.0, 1.5])
@pytest.mark.parametrize("c_max", [None, 12.0])
def test_a_target_is_kept_and_used(bits, c_max):
    quantizer = design(EXAMPLE, 8, c_max=c_max, target_bits=bits)
    assert quantizer.bits(EXAMPLE) <= bits
    if c_max is None:
        assert quantizer.bits(EXAMPLE) > 0.98 * bits


def test_a_target_beyond_what_levels_need_costs_nothing():
    assert (
        design(EXAMPLE, 4, c_max=TOP, target_bits=3.0).levels.tolist() == design(EXAMPLE, 4, c_max=TOP).levels.tolist()
    )


@pytest.mark.parametrize("lagrangian", [0.0, 0.5, 2.0])
def test_no_range_costs_less_than_the_one_found(lagrangian):
    least = cost(design(EXAMPLE, 4, lagrangian), EXAMPLE, lagrangian)
    for c_max in np.linspace(3, 30, 40):
        assert cost(design(EXAMPLE, 4, lagrangian, c_max=c_max), EXAMPLE, lagrangian) > least * (1 - 2e-4)


def test_a_free_lower_end_helps_where_values_are_negative():
    rng = np.random.default_rng(2)
    x = Histogram(rng.standard_normal(100_000).astype(np.float32))
    free, pinned = design(x, 4, 0.01, c_min=None), design(x, 4, 0.01, c_min=0.0)
    assert free.c_min < -0.5
    assert cost(free, x, 0.01) < 0.3 * cost(pinned, x, 0.01)


def test_a_huge_lagrangian_leaves_one_level():
    quantizer = design(EXAMPLE, 8, 1e6, c_max=TOP)
    assert len(quantizer.levels) == 1
    assert quantizer.bits(EXAMPLE) == 0


@pytest.mark.parametrize("outlier", [30.0, 1000.0])
def test_an_outlier_does_not_take_all_levels(outlier):
    samples = np.maximum(np.random.default_rng(8).standard_normal(200_000), 0).astype(np.float32)
    source = Histogram(np.append(samples, np.float32(outlier)))
    assert len(design(source, 16).levels) >= 8
    assert design(source, 16).distortion(source) < 0.03
    assert design(source, 16, target_bits=0.8).distortion(source) < 0.15


@pytest.mark.parametrize("target", [0.4, 1.0, 1.5])
def test_more_levels_are_no_worse_for_a_target(target):
    source = Histogram(np.random.default_rng(9).standard_normal(50_000).astype(np.float32))
    found = [design(source, n, c_min=None, target_bits=target).distortion(source) for n in (4, 8, 16)]
    assert max(found) < 1.03 * min(found)


@pytest.mark.parametrize("levels", [128, 256])
@pytest.mark.parametrize("options", [{}, {"target_bits": 3.0}, {"target_bits": 0.05}], ids=str)
def test_many_levels_of_a_model(levels, options):
    model = features.fit_moments(0.5, 1.0)
    quantizer = design(model, levels, **options)
    assert quantizer.distortion(model) < 1.0001 * model.variance  # no worse than the mean alone
    assert quantizer.bits(model) <= options.get("target_bits", 8)


ODD = [[1.0, 1.0000001], [1e6, 1e6 + 1, 1e6 + 2], [3e38, -3e38, 0], [1e-45, 0], [7.0, 7.0, 8.0]]


@pytest.mark.parametrize("samples", ODD, ids=str)
@pytest.mark.parametrize("levels", [2, 4, 16])
def test_few_and_odd_values(samples, levels):
    source = Histogram(np.array(samples, np.float32))
    quantizer = design(source, levels, c_min=None)
    low, high = source.span()
    assert quantizer.distortion(source) <= (high - low) ** 2


def test_values_far_from_0_are_quantized_as_those_near():
    samples = np.random.default_rng(3).standard_normal(50_000)
    near = design(samples.astype(np.float32), 8, c_min=None)
    far = design((samples + 1000).astype(np.float32), 8, c_min=None)
    np.testing.assert_allclose(far.levels - 1000, near.levels, atol=0.05)


def test_many_at_once_are_the_same():
    rng = np.random.default_rng(1)
    channels = [Histogram(rng.exponential(k + 1, 5000).astype(np.float32)) for k in range(6)]
    for one, other in zip(features.design_many(channels, 4, threads=2, lagrangian=0.1), channels, strict=True):
        np.testing.assert_array_equal(one.levels, design(other, 4, 0.1).levels)


def test_without_numba_the_definition_designs():
    program = "from scalecodec import features; import sys; "
    program += "q = features.design(features.fit_moments(0.5, 1.0), 4, 0.1, c_max=4.0); "
    program += "print(features.design_kernel(), 'scalecodec.kernels.ecsq_numba' in sys.modules, *q.levels)"
    env = os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    name, compiled, *levels = done.stdout.split()
    assert (name, compiled) == ("numpy", "False")
    assert features.design_kernel() == "numba"
    expected = design(features.fit_moments(0.5, 1.0), 4, 0.1, c_max=4.0).levels
    np.testing.assert_allclose(np.array(levels, float), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"levels": 1}, r"\[2, 256\], got 1"),
        ({"levels": 300}, "got 300"),
        ({"lagrangian": -1.0}, "not negative, got -1.0"),
        ({"lagrangian": np.inf}, "finite"),
        ({"c_min": 2.0, "c_max": 1.0}, "c_min < c_max, got 2.0 and 1.0"),
        ({"c_min": np.nan}, "must be finite, got nan"),
        ({"target_bits": 0.0}, "positive, got 0.0"),
        ({"target_bits": 1.0, "lagrangian": 1.0}, "not both"),
        ({"c_min": 1e9}, "nothing lies above"),
    ],
)
def test_what_cannot_be_designed(options, words):
    with pytest.raises(ValueError, match=words):
        design(EXAMPLE, **options)


def test_nothing_to_design_for():
    with pytest.raises(ValueError, match="no activations"):
        design(np.zeros(0, np.float32), 4)


@pytest.mark.parametrize(
    ("levels", "thresholds", "words"),
    [
        ([], [], "1 to 256"),
        ([0.0, 1.0], [], "1 thresholds, got shape"),
        ([1.0, 0.0], [0.5], "strictly ascending"),
        ([0.0, np.inf], [0.5], "finite"),
        ([0.0, 1.0, 2.0], [1.0, 1.0], "thresholds must be finite"),
        ([[0.0, 1.0]], [0.5], "1-D"),
    ],
)
def test_what_is_no_quantizer(levels, thresholds, words):
    with pytest.raises(ValueError, match=words):
        Quantizer(np.array(levels), np.array(thresholds))
