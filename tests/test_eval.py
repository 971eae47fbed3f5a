"""Ladders, anchors, mean curves, comparisons and reports, on small pictures made here."""

from __future__ import annotations

import csv
import io
import json
import math
import sys
import zlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, features

import scalecodec
from scalecodec import eval as evaluation
from scalecodec import image, metrics
from scalecodec.errors import BackendError, BitstreamError

Samples = npt.NDArray[np.uint8]


def photograph(height: int, width: int, seed: int = 0) -> Samples:
    """Noise with the spectrum of a photograph, its channels alike but not equal."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    shape = 1 / np.maximum(frequency, 1 / max(height, width)) ** 1.4
    planes = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) * shape).real for _ in range(4)]
    scaled = [128 + 45 * plane / plane.std() for plane in planes]
    mixed = [0.9 * scaled[0] + 0.1 * one for one in scaled[1:]]
    return np.stack(mixed, axis=2).clip(0, 255).astype(np.uint8)


def quantizer(label: str, steps: tuple[int, ...], overhead: int = 0) -> tuple[evaluation.Rung, ...]:
    """A codec for tests: uniform quantization and deflate."""

    def rung(step: int) -> evaluation.Rung:
        def encode(samples: Samples) -> bytes:
            height, width = samples.shape[:2]
            head = np.array([height, width], "<u4").tobytes() + bytes(overhead)
            return head + zlib.compress((samples // step).tobytes())

        def decode(data: bytes) -> Samples:
            height, width = np.frombuffer(data, "<u4", 2)
            levels = np.frombuffer(zlib.decompress(data[8 + overhead :]), np.uint8).reshape(height, width, 3)
            return np.minimum(levels.astype(np.uint16) * step + step // 2, 255).astype(np.uint8)

        return evaluation.Rung(label, float(step), encode, decode)

    return tuple(map(rung, steps))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, size in enumerate(((170, 190), (180, 165))):
        image.write(tmp_path / f"p{seed}.png", image.Picture(photograph(*size, seed)))
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


@pytest.mark.parametrize("name", evaluation.anchors.names())
def test_an_anchor_climbs_its_ladder(name: str) -> None:
    samples = photograph(256, 384)
    sizes, qualities = [], []
    for rung in evaluation.anchors.ladder(name):
        assert rung.label == name
        data = rung.encode(samples)
        decoded = rung.decode(data)
        assert decoded.shape == samples.shape
        assert decoded.dtype == np.uint8
        sizes.append(len(data))
        qualities.append(metrics.psnr(samples, decoded))
    assert sizes == sorted(set(sizes))
    assert qualities == sorted(set(qualities))
    assert qualities[-1] > qualities[0] + 6


def test_the_anchors_of_this_pillow() -> None:
    assert evaluation.anchors.names() == ("jpeg", "jpeg-flat", "webp", "jpeg2000", "avif")
    assert [rung.setting for rung in evaluation.anchors.ladder("webp", [3, 30])] == [3, 30]
    with pytest.raises(ValueError, match="no anchor 'bpg': there are jpeg, "):
        evaluation.anchors.ladder("bpg")


def test_an_anchor_that_pillow_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda feature: feature != "avif")
    assert "avif" not in evaluation.anchors.names()
    with pytest.raises(BackendError, match="without avif"):
        evaluation.anchors.ladder("avif")


def test_jpeg_2000_meets_its_rate() -> None:
    samples = photograph(256, 384)
    for rung in evaluation.anchors.ladder("jpeg2000", [0.25, 1.0]):
        assert 8 * len(rung.encode(samples)) / (256 * 384) == pytest.approx(rung.setting, rel=0.05)


def test_jpeg_is_the_smaller_of_baseline_and_progressive() -> None:
    samples = photograph(64, 64)
    for rung in evaluation.anchors.ladder("jpeg", [5, 95]):
        options = {"quality": int(rung.setting), "subsampling": "4:2:0", "optimize": True}
        sizes = []
        for progressive in (False, True):
            buffer = io.BytesIO()
            Image.fromarray(samples).save(buffer, "JPEG", progressive=progressive, **options)
            sizes.append(len(buffer.getvalue()))
        assert len(rung.encode(samples)) == min(sizes)


def test_our_own_ladder_calls_the_codec(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[str, float]] = []

    def encode(samples: Samples, *, model: str, gain: float) -> bytes:
        calls.append((model, gain))
        return samples.tobytes()

    def decode(data: bytes, *, model: str) -> Samples:
        calls.append((model, 0.0))
        return np.frombuffer(data, np.uint8).reshape(2, 2, 3)

    stand_in = SimpleNamespace(encode=encode, decode=decode)
    monkeypatch.setitem(vars(scalecodec), "codec", stand_in)
    rungs = evaluation.scalecodec_ladder("some-model", gains=(0.5, 1.0))
    assert [(rung.label, rung.setting) for rung in rungs] == [("some-model", 0.5), ("some-model", 1.0)]
    samples = photograph(2, 2)
    assert np.array_equal(rungs[1].decode(rungs[1].encode(samples)), samples)
    assert calls == [("some-model", 1.0), ("some-model", 0.0)]
    assert {rung.label for rung in evaluation.scalecodec_ladder(label="ours")} == {"ours"}
    with pytest.raises(ValueError, match="at least one gain"):
        evaluation.scalecodec_ladder(gains=())


def test_rows_hold_what_was_measured(folder: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    rungs = quantizer("coarse", (48, 16)) + quantizer("fine", (4,))
    paths = evaluation.find_images(folder)
    assert [path.name for path in paths] == ["p0.png", "p1.png"]
    rows = evaluation.measure(paths, rungs, progress=lambda *one: seen.append(one))
    assert [(row.image, row.label, row.setting) for row in rows] == [
        (f"p{i}.png", rung.label, rung.setting) for i in range(2) for rung in rungs
    ]
    assert seen[0] == (1, 6, "coarse 48 p0.png")
    assert seen[-1] == (6, 6, "fine 4 p1.png")
    for row in rows:
        rung = next(one for one in rungs if (one.label, one.setting) == (row.label, row.setting))
        samples = image.read(folder / row.image).samples
        data = rung.encode(samples)
        assert (row.height, row.width) == samples.shape[:2]
        assert row.num_bytes == len(data)
        assert row.bpp == pytest.approx(8 * len(data) / (row.height * row.width))
        assert row.psnr == metrics.psnr(samples, rung.decode(data))
        assert row.ms_ssim == pytest.approx(metrics.ms_ssim(samples, rung.decode(data)), abs=1e-6)
        assert row.encode_seconds > 0 < row.decode_seconds


def test_each_codec_is_warmed_up_once(folder: Path) -> None:
    calls: list[str] = []
    rungs = [
        replace(rung, encode=lambda samples, rung=rung: (calls.append(rung.label), rung.encode(samples))[1])
        for rung in quantizer("a", (48, 16)) + quantizer("b", (8,))
    ]
    rows = evaluation.measure(evaluation.find_images(folder), rungs, ms_ssim=False)
    assert len(rows) == 6
    assert (calls.count("a"), calls.count("b")) == (5, 3)
    assert {row.ms_ssim for row in rows} == {None}


def test_small_pictures_have_no_ms_ssim(tmp_path: Path) -> None:
    for name, side in (("large", 170), ("small", 40)):
        image.write(tmp_path / f"{name}.png", image.Picture(photograph(side, side)))
    rows = evaluation.measure(evaluation.find_images(tmp_path), quantizer("q", (16,)))
    assert [row.ms_ssim is None for row in rows] == [False, True]
    (point,) = evaluation.mean_curve(rows)
    assert point.ms_ssim is None
    assert point.ms_ssim_db is None


def test_grey_is_measured_as_rgb_and_the_rest_refused(tmp_path: Path) -> None:
    grey, rungs = photograph(20, 20)[:, :, :1], quantizer("q", (16,))
    image.write(tmp_path / "grey.png", image.Picture(grey))
    (row,) = evaluation.measure([tmp_path / "grey.png"], rungs)
    assert row.num_bytes == len(rungs[0].encode(np.repeat(grey, 3, axis=2)))
    deep, alpha = np.zeros((4, 4, 3), np.uint16), np.zeros((4, 4, 4), np.uint8)
    for name, samples in (("deep", deep), ("alpha", alpha)):
        image.write(tmp_path / f"{name}.png", image.Picture(samples))
        with pytest.raises(ValueError, match=rf"{name}\.png: an evaluation takes 8-bit RGB or grey"):
            evaluation.measure([tmp_path / f"{name}.png"], rungs)


def test_an_evaluation_that_cannot_be(tmp_path: Path, folder: Path) -> None:
    rungs, paths = quantizer("q", (16,)), evaluation.find_images(folder)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ValueError, match="no picture in this folder"):
        evaluation.find_images(empty)
    for images, ladder in (([], rungs), (paths, [])):
        with pytest.raises(ValueError, match="at least one picture and one rung"):
            evaluation.measure(images, ladder)
    with pytest.raises(ValueError, match="one name"):
        evaluation.measure([paths[0], empty / paths[0].name], rungs)
    (empty / "broken.png").write_bytes(b"broken")
    with pytest.raises(BitstreamError, match=r"broken\.png"):
        evaluation.measure([empty / "broken.png"], rungs)
    for faulty in (lambda data: np.zeros((4, 4, 3), np.uint8), lambda data: np.zeros((170, 190, 3), np.uint16)):
        with pytest.raises(ValueError, match=r"q made .* of p0\.png"):
            evaluation.measure(paths, [replace(rungs[0], decode=faulty)])


def test_the_mean_curve_is_the_mean(folder: Path) -> None:
    rows = evaluation.measure(evaluation.find_images(folder), quantizer("q", (48, 16)))
    points = evaluation.mean_curve(rows)
    assert [(point.label, point.setting, point.num_images) for point in points] == [("q", 48, 2), ("q", 16, 2)]
    for point in points:
        pair = [row for row in rows if row.setting == point.setting]
        for name in ("bpp", "psnr", "ms_ssim", "encode_seconds", "decode_seconds"):
            assert getattr(point, name) == pytest.approx(sum(getattr(row, name) for row in pair) / 2)
        assert point.ms_ssim_db == pytest.approx(-10 * math.log10(1 - point.ms_ssim))
    assert evaluation.mean_curve([]) == []


def curve(label: str, image_name: str, factor: float, shift: float = 0.0) -> list[evaluation.Row]:
    rates, qualities = (0.2, 0.5, 1.0, 2.0), (28.0, 32.0, 35.0, 39.0)
    return [
        evaluation.Row(label, i, image_name, 8, 8, 9, factor * rate, quality + shift, 0.9 + 0.02 * i, 0.1, 0.1)
        for i, (rate, quality) in enumerate(zip(rates, qualities, strict=True))
    ]


def test_a_comparison_of_known_curves() -> None:
    rows = [row for name in ("a", "b") for row in curve("ours", name, 0.8) + curve("anchor", name, 1.0)]
    for quality in ("psnr", "ms_ssim_db"):
        (one,) = evaluation.compare(rows, "ours", quality=quality)
        assert (one.label, one.anchor, one.quality, one.num_images, one.reason) == ("ours", "anchor", quality, 2, "")
        assert one.of_means is not None
        assert one.of_means.value == pytest.approx(-20)
        assert one.of_images == pytest.approx(-20)
    assert one.of_means.low == pytest.approx(10)
    assert evaluation.compare(rows, "anchor", method="cubic")[0].of_images == pytest.approx(25)


def test_mean_curves_and_pictures_may_disagree() -> None:
    rows = curve("ours", "a", 0.5) + curve("anchor", "a", 1.0) + curve("ours", "b", 4.0) + curve("anchor", "b", 4.0)
    (one,) = evaluation.compare(rows, "ours")
    assert one.of_images == pytest.approx(-25)
    assert one.of_means is not None
    assert one.of_means.value == pytest.approx(-10)


def test_a_comparison_says_why_it_has_no_number() -> None:
    rows = curve("ours", "a", 1.0) + curve("far", "a", 1.0, shift=30) + curve("near", "a", 2.0)
    far, near = evaluation.compare(rows, "ours")
    assert (far.of_means, far.of_images, far.num_images) == (None, None, 0)
    assert "no range of quality in common" in far.reason
    assert near.of_means is not None
    unmeasured = [replace(row, ms_ssim=None) for row in rows]
    assert "MS-SSIM was not measured" in evaluation.compare(unmeasured, "ours", quality="ms_ssim_db")[0].reason
    lossless = [replace(row, psnr=math.inf) if row.setting == 3 else row for row in rows]
    assert "not finite" in evaluation.compare(lossless, "ours")[1].reason
    with pytest.raises(ValueError, match="no rows of 'theirs': there are ours, far, near"):
        evaluation.compare(rows, "theirs")
    with pytest.raises(ValueError, match="'psnr' or 'ms_ssim_db'"):
        evaluation.compare(rows, "ours", quality="vmaf")


@pytest.fixture
def measured() -> tuple[list[evaluation.Row], list[evaluation.Point], list[evaluation.Comparison]]:
    rows = curve("ours", "a, b", 0.8) + curve("anchor", "a, b", 1.0) + curve("far", "a, b", 1.0, shift=30)
    rows[0] = replace(rows[0], ms_ssim=None)
    rows[-1] = replace(rows[-1], psnr=math.inf)
    return rows, evaluation.mean_curve(rows), evaluation.compare(rows, "ours")


def test_the_table(measured) -> None:  # type: ignore[no-untyped-def]
    _, points, comparisons = measured
    lines = evaluation.report.table(points, comparisons).split("\n")
    assert " ".join(lines[0].split()) == "codec setting bpp PSNR dB MS-SSIM MS-SSIM dB encode s decode s"
    assert lines[2].split() == ["ours", "0", "0.1600", "28.000", "-", "-", "0.100", "0.100"]
    assert lines[3].split() == ["ours", "1", "0.4000", "32.000", "0.92000", "10.969", "0.100", "0.100"]
    assert len({len(line) for line in lines[:14]}) == 1
    assert lines[17].split() == ["ours", "anchor", "psnr", "-20.00", "28.00", "to", "39.00", "-20.00", "1"]
    assert lines[18].split()[:8] == ["ours", "far", "psnr", "-", "-", "-", "0", "anchor:"]
    assert lines[18].endswith("not finite")
    assert evaluation.report.table(points) == "\n".join(lines[:14])


def test_the_csv(measured) -> None:  # type: ignore[no-untyped-def]
    rows, points, _ = measured
    read = list(csv.DictReader(io.StringIO(evaluation.report.to_csv(rows))))
    assert len(read) == len(rows)
    assert (read[0]["image"], read[0]["ms_ssim"], float(read[1]["bpp"])) == ("a, b", "", rows[1].bpp)
    assert evaluation.report.to_csv(points).startswith("label,setting,num_images,bpp,psnr,")
    assert evaluation.report.to_csv([]) == ""


def test_the_json(measured) -> None:  # type: ignore[no-untyped-def]
    document = json.loads(evaluation.report.to_json(*measured))
    assert set(document) == {"rows", "points", "comparisons"}
    assert document["rows"][1]["psnr"] == 32.0
    assert document["rows"][-1]["psnr"] is None
    assert document["comparisons"][0]["of_means"]["value"] == pytest.approx(-20)
    assert document["comparisons"][1]["of_means"] is None


@pytest.mark.parametrize(("suffix", "magic"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")])
@pytest.mark.parametrize("quality", ["psnr", "ms_ssim_db"])
def test_the_plot(tmp_path: Path, measured, quality: str, suffix: str, magic: bytes) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"curves{suffix}"
    evaluation.report.plot(measured[1], path, quality=quality, title="Two codecs")
    assert path.read_bytes().startswith(magic)


def test_a_plot_that_cannot_be(tmp_path: Path, measured, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    points = measured[1]
    for bad in ({"path": tmp_path / "a.gif"}, {"path": tmp_path / "a.png", "quality": "vmaf"}):
        with pytest.raises(ValueError, match="cannot plot"):
            evaluation.report.plot(points, **bad)
    with pytest.raises(ValueError, match="no point has a finite psnr"):
        evaluation.report.plot([replace(points[0], psnr=math.inf)], tmp_path / "a.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"scalecodec-core\[demo\]"):
        evaluation.report.plot(points, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


def test_a_published_curve_and_the_distance_from_it() -> None:
    curve = evaluation.published_curve("vbr-mean")
    assert (curve[0].bpp, curve[0].psnr, curve[-1].bpp, curve[-1].psnr) == (0.1360, 27.76, 1.6811, 40.90)
    for name in ("vbr-scale", "vbr-mean", "vbr-autoregressive"):
        points = [(point.bpp, point.psnr) for point in evaluation.published_curve(name)]
        assert len(points) == 16
        assert points == sorted(points)
        assert all(one[1] < other[1] for one, other in pairwise(points))
    lower = [replace(point, psnr=point.psnr - 1.5) for point in curve[:-8]]
    assert evaluation.distances(lower, curve) == pytest.approx({0.14: -1.5, 0.5: -1.5})
    with pytest.raises(KeyError):
        evaluation.published_curve("vbr")
