"""Feature codecs inside a network that is trained here, in seconds: what they cost, and what it still gets right."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from scalecodec import image
from scalecodec.cli import features_eval
from scalecodec.eval import feature_accuracy, feature_codecs, feature_report, feature_tasks
from scalecodec.eval.feature_pictures import JpegPictures, tile, untile
from scalecodec.eval.feature_summary import Reach, least_bits, summary
from scalecodec.eval.hevc import HevcPictures
from scalecodec.eval.networks import FastestDet, SqueezeNet, fastestdet

SPLIT = "body.3"
NUM_CLASSES = 8
OURS = ("ecsq-static", "ecsq-context")


def av() -> None:
    pytest.importorskip("av", reason="HEVC needs PyAV: pip install 'scalecodec-core[video]'")


def patterns(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Gratings in four directions and two widths, at any phase, in noise: [count, 1, 32, 32], and their classes."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % NUM_CLASSES
    angle, frequency = classes % 4 * math.pi / 4, np.where(classes < 4, 0.55, 1.0)
    y, x = np.mgrid[:32, :32]
    along = x * np.cos(angle)[:, None, None] + y * np.sin(angle)[:, None, None]
    waves = np.sin(frequency[:, None, None] * along + rng.uniform(0, 6.3, (count, 1, 1)))
    pictures = waves + rng.normal(0, 0.6, waves.shape)
    return torch.from_numpy(pictures[:, None].astype(np.float32)), torch.from_numpy(classes)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 12, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Sequential(nn.Conv2d(12, 24, 3), nn.ReLU())
        )
        self.head = nn.Sequential(nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(96, NUM_CLASSES))

    def forward(self, x):
        return self.head(self.body(x))


class Patterns:
    """A task: pictures that no training has seen."""

    metric = "top-1"

    def __init__(self, count: int = 64):
        self.pictures, self.classes = patterns(count, seed=1)

    def __len__(self) -> int:
        return len(self.classes)

    def inputs(self) -> Iterator[Tensor]:
        return iter(self.pictures.split(1))

    def score(self, outputs: Sequence[Tensor]) -> feature_tasks.Score:
        return feature_tasks.Score(float((torch.cat(list(outputs)).argmax(1) == self.classes).float().mean()))


@pytest.fixture(scope="module")
def network() -> nn.Module:
    torch.manual_seed(2)
    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), 5e-3)
    pictures, classes = patterns(512, seed=3)
    for step in range(60):
        batch = slice(step % 8 * 64, step % 8 * 64 + 64)
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(pictures[batch]), classes[batch]).backward()
        optimizer.step()
    return net.eval().requires_grad_(False)


@pytest.fixture(scope="module")
def crossing(network) -> list[Tensor]:
    return [network.body(one) for one in patterns(16, seed=4)[0].split(1)]


@pytest.fixture(scope="module")
def calibration(crossing) -> feature_codecs.Calibration:
    return feature_codecs.Calibration(crossing)


@pytest.fixture(scope="module")
def rows(network) -> list[feature_accuracy.Row]:
    seen = []
    rows = feature_accuracy.measure(
        network,
        Patterns(),
        patterns(16, seed=4)[0].split(1),
        [SPLIT],
        progress=lambda done, text: seen.append((done, text)),
    )
    shares = [done for done, _ in seen]
    assert shares == sorted(shares)
    assert seen[0] == (0, f"{SPLIT}: calibration")
    assert seen[-1] == (1, "")
    return rows


def test_every_codec_is_measured(rows):
    assert {row.codec for row in rows} == set(feature_codecs.names())
    assert rows[0].codec == "none"
    for row in rows:
        assert (row.split, row.metric, row.num_tensors, row.ap50) == (SPLIT, "top-1", 64, None)
        assert row.num_elements == 64 * 24 * 14 * 14
        assert row.bits_per_element == 8 * row.num_bytes / row.num_elements
        assert row.encode_ms > 0
        assert row.decode_ms > 0


def test_no_compression_changes_nothing(network, rows):
    task = Patterns()
    whole = task.score([network(one) for one in task.inputs()]).accuracy
    assert whole > 0.95
    assert rows[0].accuracy == whole
    assert rows[0].bits_per_element == 32


def test_eight_bits_cost_eight_and_their_ends(rows):
    linear, packed = (next(row for row in rows if row.codec == name) for name in ("linear8", "linear8-zlib"))
    assert linear.bits_per_element == 8 + 64 / (24 * 14 * 14)
    assert packed.num_bytes < linear.num_bytes
    assert packed.accuracy == linear.accuracy
    assert abs(linear.accuracy - rows[0].accuracy) <= 1 / 64


def test_tables_by_neighbours_save_bits(rows):
    compared = 0
    for static in (row for row in rows if row.codec == "ecsq-static"):
        context = next(row for row in rows if (row.codec, row.setting) == ("ecsq-context", static.setting))
        # Where so few bits leave one level, with c_min at 0, there is nothing to save.
        if static.bits_per_element > 0.5 * static.setting:
            compared += 1
            assert context.bits_per_element < 0.9 * static.bits_per_element
    assert compared >= 4


def test_the_summary_of_rows(rows):
    least = {one.codec: one for one in summary(rows)}
    assert least["none"].bits_per_element == 32
    assert not least["none"].is_bound
    assert least["ecsq-context"].bits_per_element <= least["ecsq-static"].bits_per_element


def error(codec: feature_codecs.TensorCodec, tensors: Sequence[Tensor]) -> tuple[float, float]:
    """Bits an element, and the squared error over the variance, of all together."""
    messages = [codec.encode(one) for one in tensors]
    received = torch.cat([codec.decode(data, tuple(one.shape)) for data, one in zip(messages, tensors, strict=True)])
    sent = torch.cat(list(tensors))
    return 8 * sum(map(len, messages)) / sent.numel(), float(((received - sent) ** 2).mean() / sent.var())


def test_more_bits_mean_less_error(network, calibration):
    tensors = [network.body(one) for one in patterns(8, seed=5)[0].split(1)]
    for name in ("uniform-clipped", *OURS, "jpeg"):
        found = [error(codec, tensors) for codec in feature_codecs.ladder(name, calibration)]
        assert [bits for bits, _ in found] == sorted(bits for bits, _ in found)
        assert found[-1][1] < 0.3 * found[0][1]


def test_context_codes_the_same_symbols_in_fewer_bits_and_nearer(calibration, crossing):
    static, context = (error(feature_codecs.ladder(name, calibration, [0.8])[0], crossing) for name in OURS)
    assert context[1] < static[1]  # by estimates, of the same symbols
    assert context[0] < static[0]
    assert static[0] == pytest.approx(0.8, abs=0.08)


def test_clipping_beats_the_whole_range(calibration, crossing):
    full, clipped = (
        error(feature_codecs.ladder(name, calibration, [4])[0], crossing)
        for name in ("uniform-full", "uniform-clipped")
    )
    assert clipped[1] < full[1]


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (24, 14, 14), (7, 21, 37), (5, 40, 3)])
def test_tiles_come_back(shape):
    planes = np.random.default_rng(6).integers(0, 256, shape, np.uint8)
    picture = tile(planes)
    assert min(picture.shape) >= 16
    np.testing.assert_array_equal(untile(picture, shape), planes)


def test_tiles_are_nearly_square():
    height, width = tile(np.zeros((128, 56, 40), np.uint8)).shape
    assert 0.75 < height / width < 1.33
    assert height * width < 1.1 * 128 * 56 * 40


@pytest.mark.parametrize("kind", [JpegPictures, HevcPictures])
def test_pictures_at_high_quality_are_near(kind, crossing):
    if kind is HevcPictures:
        av()
    picture = tile(feature_codecs.to_bytes8(crossing[0].numpy())[0][0])
    best, worst = (kind(setting) for setting in ((100, 5) if kind is JpegPictures else (4, 48)))
    for codec, most in ((best, 1.0), (worst, 40.0)):
        for _ in range(2):  # an encoder that is kept must not remember
            data = codec.encode(picture)
            decoded = codec.decode(data, *picture.shape)
            assert decoded.dtype == np.uint8
            assert np.sqrt(np.mean((decoded.astype(float) - picture) ** 2)) < most
    assert len(worst.encode(picture)) < 0.3 * len(best.encode(picture))


def test_agreed_headers_are_not_sent():
    codec = JpegPictures(50)
    data = codec.encode(np.zeros((32, 48), np.uint8))
    assert data[:2] == b"\xff\xc4"
    assert codec.decode(data, 32, 48).shape == (32, 48)


def test_equal_values_go_through_every_codec(calibration):
    flat = torch.full((1, 24, 14, 14), 0.5)
    for name in feature_codecs.names():
        codec = feature_codecs.ladder(name, calibration)[-1]
        received = codec.decode(codec.encode(flat), tuple(flat.shape))
        exact = not name.startswith(("uniform", "ecsq"))
        torch.testing.assert_close(received, flat, rtol=0, atol=0 if exact else 1.0)


def test_negative_values_keep_a_range_of_their_own():
    torch.manual_seed(7)
    tensors = list(torch.randn(4, 6, 16, 16).split(1))
    known = feature_codecs.Calibration(tensors)
    assert not known.is_rectified
    for name, setting in (("uniform-clipped", 16), ("ecsq-context", 2.2)):
        assert error(feature_codecs.ladder(name, known, [setting])[0], tensors)[1] < 0.1


CURVE = [(2.0, 0.90), (0.5, 0.60), (1.0, 0.80), (1.5, 0.70), (4.0, 0.89)]  # 1.5 and 4 bits are beaten by cheaper ones


@pytest.mark.parametrize(
    ("target", "wanted"),
    [
        (0.60, (0.5, True)),
        (0.10, (0.5, True)),
        (0.70, (0.75, False)),
        (0.80, (1.0, False)),
        (0.85, (1.5, False)),
        (0.90, (2.0, False)),
        (0.91, (None, False)),
    ],
)
def test_least_bits_by_hand(target, wanted):
    bits, is_bound = least_bits(CURVE, target)
    assert (bits if bits is None else pytest.approx(bits), is_bound) == wanted


def row(codec: str, bits: float, accuracy_: float, split: str = SPLIT) -> feature_accuracy.Row:
    return feature_accuracy.Row(split, codec, bits, 1, 8, int(bits), bits, "top-1", accuracy_, None, 1.0, 1.0)


def test_summary_is_within_a_point_of_its_own_split():
    rows = [row("none", 32, 0.81), *(row("one", *point) for point in CURVE), row("none", 32, 0.95, "b")]
    assert summary(rows) == [
        Reach(SPLIT, "none", "top-1", 0.81, pytest.approx(0.80), 32, False),
        Reach(SPLIT, "one", "top-1", 0.81, pytest.approx(0.80), pytest.approx(1.0), False),
        Reach("b", "none", "top-1", 0.95, pytest.approx(0.94), 32, False),
    ]
    assert summary([row("none", 32, 0.95), *(row("one", *point) for point in CURVE)])[1].bits_per_element is None
    with pytest.raises(ValueError, match="no row of 'none'"):
        summary(rows[1:2])
    with pytest.raises(ValueError, match="finite"):
        least_bits([(1.0, math.nan)], 0.5)


def test_reports(rows, tmp_path):
    reaches = summary(rows)
    assert len(list(csv.DictReader(io.StringIO(feature_report.to_csv(rows))))) == len(rows)
    found = json.loads(feature_report.to_json(rows, reaches))
    assert found["rows"][0]["codec"] == found["summary"][0]["codec"] == "none"
    assert len(feature_report.table(rows).splitlines()) == 2 + len(rows)
    text = feature_report.summary_table([Reach("a", "x", "AP", 0.5, 0.49, 0.25, True), *reaches])
    assert "<= 0.250" in text
    assert "AP within 1 point of uncompressed" in text
    feature_report.plot([*rows, row("none", 32, 0.9, "b"), row("jpeg", 1, 0.5, "b")], tmp_path / "a.svg", title="t")
    assert b"<svg" in (tmp_path / "a.svg").read_bytes()
    for wrong, path in ((rows, "a.gif"), (rows[:1], "a.png")):
        with pytest.raises(ValueError, match="plot"):
            feature_report.plot(wrong, tmp_path / path)


def test_refusals(network, calibration):
    task, inputs = Patterns(2), patterns(1, seed=4)[0].split(1)
    for wrong, message in (
        ((task, inputs, []), "needs splits"),
        ((Patterns(0), inputs, [SPLIT]), "needs splits"),
        ((task, [], [SPLIT]), "at least one tensor"),
        ((task, inputs, ["head"]), r"\[1, C, H, W\]"),
        ((task, inputs, [SPLIT], ["gzip"]), "no codec 'gzip'"),
    ):
        with pytest.raises(ValueError, match=message):
            feature_accuracy.measure(network, *wrong)
    for name, setting in (("jpeg", 0), ("jpeg", 101), ("jpeg", 50.5), ("uniform-full", 1), ("ecsq-static", -1.0)):
        with pytest.raises(ValueError, match=r"must|whole"):
            feature_codecs.ladder(name, calibration, [setting])
    with pytest.raises(ValueError, match="one setting"):
        feature_codecs.ladder("jpeg", calibration, [])
    with pytest.raises(TypeError, match="float32"):
        feature_codecs.Calibration([torch.zeros(1, 2, 3, 4, dtype=torch.float64)])
    with pytest.raises(ValueError, match=r"shape \(1, 2\)"):
        feature_codecs.checked(torch.zeros(1, 2))


def test_hevc_without_pyav(monkeypatch, calibration):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"scalecodec-core\[video\]"):
        feature_codecs.ladder("hevc", calibration)
    assert "hevc" not in feature_codecs.names()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures named by class, their boxes, calibration pictures and weights that know nothing."""
    root = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(8)
    entries, boxes = [], []
    for kind, count in (("test", 6), ("other", 3)):
        (root / kind).mkdir()
        for number in range(count):
            samples = rng.integers(0, 256, (40 + number, 64, 3), np.uint8)
            image.write(root / kind / f"{number:04}.png", image.Picture(samples))
            if kind == "test":
                entries.append({"id": number, "file_name": f"{number:04}.png"})
                box = {"bbox": [5, 5, 30, 30], "area": 900, "iscrowd": 0, "category_id": 1 + number % 2}
                boxes.append({"id": number + 1, "image_id": number, **box})
    categories = [{"id": number} for number in fastestdet.COCO_IDS]
    (root / "boxes.json").write_text(json.dumps({"images": entries, "annotations": boxes, "categories": categories}))
    torch.manual_seed(9)
    save_file(SqueezeNet().state_dict(), root / "squeezenet.safetensors")
    save_file(FastestDet().state_dict(), root / "fastestdet.safetensors")
    return root


def test_classes_score_the_share_that_is_right(folder):
    half = feature_tasks.Classes(folder / "test", every=2)
    right = torch.zeros(1, 1000)
    assert len(half) == 3
    assert half.score([right.index_fill(1, torch.tensor([n]), 1.0) for n in (0, 2, 5)]).accuracy == pytest.approx(2 / 3)


def test_boxes_score_as_average_precision_does(folder):
    pytest.importorskip("pycocotools", reason="average precision needs pycocotools")
    places = folder / "test", folder / "boxes.json"
    for every in (1, 2):
        task = feature_tasks.Boxes(*places, every=every)
        outputs = []
        for number, _ in zip(range(0, 6, every), task.inputs(), strict=True):
            output = torch.zeros(1, 85, 22, 22)
            output[0, 0, 9, 6] = output[0, 5 + number % 2, 9, 6] = 0.9
            output[0, 3:5, 9, 6] = torch.tensor([-0.1, 1.1])
            outputs.append(output)
        score = task.score(outputs)
        assert score.ap50 == 1  # of pictures that were left out nothing is missed
        assert 0 < score.accuracy < 1


def test_calibration_pictures_are_spread(folder):
    names = [path.name for path in feature_tasks.calibration_pictures(folder / "test", 3)]
    assert names == ["0000.png", "0002.png", "0004.png"]
    assert len(feature_tasks.calibration_pictures(folder / "test", 40)) == 6
    with pytest.raises(ValueError, match="at least 1"):
        feature_tasks.calibration_pictures(folder / "test", 0)
    with pytest.raises(ValueError, match="every"):
        feature_tasks.Classes(folder / "test", every=0)


def command(*arguments: object) -> None:
    parser = argparse.ArgumentParser()
    features_eval.add_parser(parser.add_subparsers(required=True))
    options = parser.parse_args(["eval", *map(str, arguments)])
    options.run(options)


def test_command(folder, tmp_path, capsys):
    start = "squeezenet", folder / "squeezenet.safetensors", folder / "test"
    rest = (
        "--calibration",
        folder / "other",
        "--splits",
        "features.12",
        "--every",
        3,
        "--codecs",
        "linear8,ecsq-context",
    )
    command(*start, *rest, "--json", "-o", tmp_path)
    found = json.loads(capsys.readouterr().out)
    assert {one["codec"] for one in found["summary"]} == {"none", "linear8", "ecsq-context"}
    assert found["rows"][0]["num_tensors"] == 2
    assert found == json.loads((tmp_path / "results.json").read_text())
    assert {path.name for path in tmp_path.iterdir()} == {"rows.csv", "summary.csv", "results.json", "accuracy.png"}


def test_command_for_boxes(folder, capsys):
    pytest.importorskip("pycocotools", reason="average precision needs pycocotools")
    start = "fastestdet", folder / "fastestdet.safetensors", folder / "test"
    rest = "--calibration", folder / "other", "--splits", "SPP.Conv1x1", "--every", 3, "--codecs", "linear8"
    command(*start, *rest, "--instances", folder / "boxes.json")
    text = capsys.readouterr().out
    assert "AP50 %" in text
    assert "linear8" in text


def test_command_refuses(folder):
    weights = folder / "squeezenet.safetensors"
    with pytest.raises(ValueError, match="other pictures"):
        command("squeezenet", weights, folder / "test", "--calibration", folder / "test")
    with pytest.raises(ValueError, match="--instances"):
        command("fastestdet", weights, folder / "test", "--calibration", folder / "other")
    with pytest.raises(ValueError, match="--instances"):
        command("squeezenet", weights, folder / "test", "--calibration", folder / "other", "--instances", "a.json")
