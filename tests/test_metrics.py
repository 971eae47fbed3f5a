"""PSNR and MS-SSIM against their definitions, Bjontegaard deltas against the package `bjontegaard`."""

from __future__ import annotations

import math
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scalecodec import metrics

RNG = np.random.default_rng(5)
CURVES = (
    (
        ([0.12, 0.31, 0.66, 1.20, 2.05], [27.1, 30.2, 33.4, 36.1, 39.5]),
        ([0.10, 0.27, 0.55, 1.05, 1.90], [27.0, 30.5, 33.2, 36.6, 39.9]),
    ),
    (([0.2, 0.4, 0.8, 1.6], [28.0, 31.0, 34.5, 38.0]), ([0.15, 0.33, 0.70, 1.50], [27.2, 31.1, 34.4, 38.9])),
    (
        ([100, 200, 300, 900, 950, 2000], [20.0, 20.5, 28.0, 29.0, 35.0, 35.1]),
        ([90, 210, 290, 800, 1000], [19.0, 24.0, 26.0, 34.0, 37.0]),
    ),
    (([1.0, 2.0, 4.0], [30.0, 31.0, 36.0]), ([1.1, 1.9, 5.0, 6.0], [30.5, 33.0, 34.0, 37.0])),
    (([1.0, 4.0], [30.0, 36.0]), ([1.1, 6.0], [30.5, 37.0])),
)


@pytest.mark.parametrize(("dtype", "peak"), [(np.uint8, 255), (np.uint16, 65535)])
def test_psnr_is_its_definition(dtype: type, peak: int) -> None:
    a, b = (RNG.integers(0, peak + 1, (17, 23, 3)).astype(dtype) for _ in range(2))
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    assert metrics.psnr(a, b) == pytest.approx(10 * math.log10(peak**2 / error), abs=1e-12)
    assert metrics.psnr(a, b, peak=2 * peak) == pytest.approx(metrics.psnr(a, b) + 20 * math.log10(2), abs=1e-12)


def test_psnr_of_a_known_error() -> None:
    zeros, ones = np.zeros((4, 4, 3), np.uint8), np.ones((4, 4, 3), np.uint8)
    assert metrics.psnr(zeros, ones) == pytest.approx(48.130803609, abs=1e-8)
    assert metrics.psnr(zeros, zeros) == math.inf


def test_psnr_does_not_wrap_and_counts_every_block() -> None:
    black, white = np.zeros((1500, 1000, 3), np.uint8), np.full((1500, 1000, 3), 255, np.uint8)
    assert metrics.psnr(black, white) == 0.0
    one_off = black.copy()
    one_off[-1, -1, -1] = 255
    assert metrics.psnr(black, one_off) == pytest.approx(10 * math.log10(black.size), abs=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_psnr_of_tensors_in_the_unit_range(dtype: torch.dtype) -> None:
    a = torch.linspace(0, 1, 300).reshape(1, 3, 10, 10).to(dtype)
    b = (a.float() * 0.5).to(dtype)
    expected = -10 * math.log10(float(((a.double() - b.double()) ** 2).mean()))
    assert metrics.psnr(a, b.requires_grad_()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("measure", [metrics.psnr, metrics.ms_ssim])
def test_a_pair_that_cannot_be_compared(measure) -> None:  # type: ignore[no-untyped-def]
    picture = np.zeros((200, 200, 3), np.uint8)
    for other, fault in (
        (picture.astype(np.uint16), TypeError),
        (torch.zeros(200, 200, 3, dtype=torch.uint8), TypeError),
        (picture.tolist(), TypeError),
        (picture[:-1], ValueError),
    ):
        with pytest.raises(fault):
            measure(picture, other)
    with pytest.raises(TypeError, match="int64"):
        measure(picture.astype(np.int64), picture.astype(np.int64))
    with pytest.raises(TypeError, match="int64"):
        measure(picture.astype(np.int64), picture.astype(np.int64), peak=255)
    with pytest.raises(ValueError, match="no samples"):
        measure(picture[:0], picture[:0])
    for peak in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(ValueError, match="peak"):
            measure(picture, picture, peak=peak)
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="finite"):
            measure(np.full((200, 200), bad), np.zeros((200, 200)))


def test_ms_ssim_is_the_library_on_every_layout() -> None:
    import pytorch_msssim

    a = RNG.integers(0, 256, (170, 180, 3)).astype(np.uint8)
    b = np.clip(a + RNG.integers(-40, 40, a.shape), 0, 255).astype(np.uint8)
    x, y = (torch.from_numpy(one).permute(2, 0, 1)[None].float() for one in (a, b))
    expected = float(pytorch_msssim.ms_ssim(x, y, data_range=255))
    assert 0.5 < expected < 0.99
    assert metrics.ms_ssim(a, b) == pytest.approx(expected, abs=1e-7)
    assert metrics.ms_ssim(x[0] / 255, y[0] / 255) == pytest.approx(expected, abs=1e-5)
    assert metrics.ms_ssim(x / 255, y / 255) == pytest.approx(expected, abs=1e-5)
    wide = [one.astype(np.uint16) * 257 for one in (a, b)]
    assert metrics.ms_ssim(*wide) == pytest.approx(expected, abs=1e-5)
    grey = float(pytorch_msssim.ms_ssim(x[:, :1], y[:, :1], data_range=255))
    assert metrics.ms_ssim(a[:, :, 0], b[:, :, 0]) == pytest.approx(grey, abs=1e-7)


def test_ms_ssim_of_equal_pictures_is_one() -> None:
    a = RNG.integers(0, 256, (metrics.MS_SSIM_MIN_SIDE, 200, 3)).astype(np.uint8)
    value = metrics.ms_ssim(a, a)
    assert 1 - 1e-6 < value <= 1


@pytest.mark.parametrize("shape", [(160, 300, 3), (300, 160, 3), (8, 8)])
def test_ms_ssim_of_a_small_picture_says_why_not(shape: tuple[int, ...]) -> None:
    small = np.zeros(shape, np.uint8)
    with pytest.raises(ValueError, match=f"at least 161, the picture is {shape[1]}x{shape[0]}"):
        metrics.ms_ssim(small, small)


def test_ms_ssim_of_a_strange_shape() -> None:
    with pytest.raises(ValueError, match=r"\[H, W\]"):
        metrics.ms_ssim(np.zeros((1, 200, 200, 3), np.uint8), np.zeros((1, 200, 200, 3), np.uint8))
    with pytest.raises(ValueError, match=r"\[C, H, W\]"):
        metrics.ms_ssim(torch.zeros(200, 200), torch.zeros(200, 200))


def test_ms_ssim_without_its_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_msssim", None)
    picture = np.zeros((200, 200), np.uint8)
    with pytest.raises(ImportError, match=r"scalecodec-core\[eval\]"):
        metrics.ms_ssim(picture, picture)


def test_ms_ssim_in_db() -> None:
    assert metrics.ms_ssim_db(0.99) == pytest.approx(20)
    assert metrics.ms_ssim_db(1.0) == math.inf
    assert metrics.ms_ssim_db(0.0) == 0
    for bad in (-0.1, 1.1, math.nan):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            metrics.ms_ssim_db(bad)


def test_metrics_of_arrays_load_no_torch(tmp_path: Path) -> None:
    code = (
        "import sys, numpy as np; from scalecodec import metrics; a = np.zeros((9, 9), np.uint8);"
        "metrics.psnr(a, a + 1); metrics.bd_rate([1, 2], [3, 4], [1, 2], [3, 4]); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=tmp_path).returncode == 0


@pytest.mark.parametrize("method", ["pchip", "akima", "cubic"])
@pytest.mark.parametrize(("anchor", "test"), CURVES)
def test_bjontegaard_deltas_are_those_of_the_package(anchor, test, method: str) -> None:  # type: ignore[no-untyped-def]
    if method == "cubic" and min(len(anchor[0]), len(test[0])) < 4:
        with pytest.raises(ValueError, match="at least 4 points"):  # the package fits one of the many
            metrics.bd_rate(*anchor, *test, method=method)
        return
    bjontegaard = _bjontegaard()
    common = {"method": method, "require_matching_points": False, "min_overlap": 0}
    rate = metrics.bd_rate(*anchor, *test, method=method)
    assert rate.value == pytest.approx(bjontegaard.bd_rate(*anchor, *test, **common), rel=1e-7, abs=1e-7)
    assert (rate.low, rate.high) == (max(anchor[1][0], test[1][0]), min(anchor[1][-1], test[1][-1]))
    psnr = metrics.bd_psnr(*anchor, *test, method=method)
    assert psnr.value == pytest.approx(bjontegaard.bd_psnr(*anchor, *test, **common), rel=1e-7, abs=1e-7)
    assert psnr.low == pytest.approx(max(anchor[0][0], test[0][0]))
    assert psnr.high == pytest.approx(min(anchor[0][-1], test[0][-1]))


def _bjontegaard():  # type: ignore[no-untyped-def]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it imports all of pyplot
        return pytest.importorskip("bjontegaard")


@given(
    st.lists(st.tuples(st.floats(0.05, 2), st.floats(0.1, 5)), min_size=4, max_size=9),
    st.floats(0.3, 3),
    st.sampled_from(["pchip", "akima"]),
)
def test_a_scaled_rate_is_its_own_delta(steps: list[tuple[float, float]], factor: float, method: str) -> None:
    rate = np.cumsum([step for step, _ in steps])
    quality = 30 + np.cumsum([step for _, step in steps])
    assert metrics.bd_rate(rate, quality, factor * rate, quality, method).value == pytest.approx(100 * (factor - 1))
    assert metrics.bd_psnr(rate, quality, rate, quality + 0.5, method).value == pytest.approx(0.5)
    back = metrics.bd_rate(rate[::-1], quality[::-1], factor * rate, quality, method)
    assert back.value == pytest.approx(100 * (factor - 1))


@pytest.mark.parametrize(
    ("rate", "quality", "message"),
    [
        ([1.0], [30.0], "at least 2 points"),
        ([], [], "at least 2 points"),
        ([1.0, 2.0], [30.0], "one length"),
        ([[1.0, 2.0]], [[30.0, 31.0]], "one length"),
        ([1.0, math.nan], [30.0, 31.0], "not finite"),
        ([1.0, 2.0], [30.0, math.inf], "not finite"),
        ([0.0, 2.0], [30.0, 31.0], "must be positive"),
        ([-1.0, 2.0], [30.0, 31.0], "must be positive"),
        ([1.0, 2.0, 3.0], [30.0, 32.0, 31.0], "rate 2 has 32 and rate 3 has 31"),
        ([1.0, 2.0, 2.0], [30.0, 31.0, 32.0], "must grow"),
        ([1.0, 2.0, 3.0], [30.0, 31.0, 31.0], "must grow"),
        ([1.0, 2.0], [40.0, 41.0], "in common"),
    ],
)
def test_a_curve_that_has_no_delta(rate: list[float], quality: list[float], message: str) -> None:
    good = ([1.0, 2.0, 3.0], [30.0, 33.0, 35.0])
    with pytest.raises(ValueError, match=message):
        metrics.bd_rate(*good, rate, quality)
    with pytest.raises(ValueError, match=message):
        metrics.bd_rate(rate, quality, *good)


def test_rates_without_overlap_and_other_methods() -> None:
    low, high = ([1.0, 2.0], [30.0, 33.0]), ([3.0, 4.0], [31.0, 34.0])
    with pytest.raises(ValueError, match="range of rate in common"):
        metrics.bd_psnr(*low, *high)
    with pytest.raises(ValueError, match="pchip, akima, cubic"):
        metrics.bd_rate(*low, *high, method="spline")
    with pytest.raises(ValueError, match="at least 4 points"):
        metrics.bd_rate(*low, *high, method="cubic")


def test_bd_rate_of_a_part_is_of_that_part():
    anchor = [1.0, 2.0, 4.0, 8.0], [30.0, 33.0, 36.0, 39.0]
    test = [1.1, 2.2, 4.0, 7.2], [30.0, 33.0, 36.0, 39.0]
    low, high = (metrics.bd_rate(*anchor, *test, within=ends) for ends in ((29.0, 33.0), (37.0, 50.0)))
    assert (low.low, low.high, high.low, high.high) == (30, 33, 37, 39)
    assert low.value > 8
    assert high.value < -3
    whole = metrics.bd_rate(*anchor, *test)
    parts = [metrics.bd_rate(*anchor, *test, within=ends) for ends in ((30.0, 34.0), (34.0, 39.0))]
    logs = [math.log1p(part.value / 100) * (part.high - part.low) for part in parts]
    assert sum(logs) == pytest.approx(math.log1p(whole.value / 100) * 9)
    with pytest.raises(ValueError, match="no range of quality in common"):
        metrics.bd_rate(*anchor, *test, within=(40.0, 41.0))


def test_points_that_buy_nothing_are_left_out():
    points = [(0.4, 31.0), (0.1, 28.0), (0.2, 27.0), (0.4, 30.0), (0.8, 31.0), (1.0, 33.0)]
    assert metrics.improving(points) == ([0.1, 0.4, 1.0], [28.0, 31.0, 33.0])
    assert metrics.improving([]) == ([], [])
