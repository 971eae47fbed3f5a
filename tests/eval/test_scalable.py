"""Layers for machines and people, measured: rows are of the bytes and tensors they say, savings of common accuracy."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from scalecodec import codec, models
from scalecodec.cli import main
from scalecodec.eval import operations, scalable, scalable_report
from scalecodec.eval.anchors import ladder
from scalecodec.eval.feature_tasks import Score
from scalecodec.eval.networks import SqueezeNet, squeezenet
from scalecodec.eval.scalable import Row, saving
from scalecodec.eval.task_networks import TaskNetwork, named
from scalecodec.layers import GDN
from tests.codec_kit import small_model
from tests.models.layered_kit import awake


class Bright:
    """Which third of a picture is brightest, of five pictures: the task whose answer pooled pixels give."""

    metric = "top-1"

    def __init__(self):
        rng = np.random.default_rng(0)
        self.wanted = [0, 2, 1, 1, 0]
        self.pictures = []
        for place in self.wanted:
            picture = 0.3 + 0.05 * rng.random((1, 3, 64, 192))
            picture[..., 64 * place : 64 * place + 64] += 0.4
            self.pictures.append(torch.from_numpy(picture.astype(np.float32)))

    def __len__(self):
        return 5

    def inputs(self):
        return iter(self.pictures)

    def score(self, outputs):
        return Score(sum(int(o[0, 0].argmax()) == w for o, w in zip(outputs, self.wanted, strict=True)) / 5)


def network(stride=8, size=5):
    front = nn.Sequential(nn.AvgPool2d(stride), nn.Conv2d(3, size, 1))
    with torch.no_grad():
        front[1].weight.fill_(1 / 3)
        front[1].bias.zero_()
    whole = nn.Sequential(front, nn.AdaptiveAvgPool2d((1, 3)), nn.Flatten(2))
    return TaskNetwork(whole, "0", lambda x: x)


@pytest.fixture(scope="module")
def rows():
    task, net = Bright(), network()
    model = awake("disentangled")
    model.attach([net])
    return model, task, scalable.measure({"scalable": model}, net, task, [0.2, 1.0], ladder("jpeg", [10, 80]))


def test_rows_are_of_their_files(rows):
    model, task, found = rows
    assert [(row.codec, row.setting, row.layers) for row in found] == [
        ("uncompressed", 0, 0),
        *(("scalable", gain, layers) for gain in (0.2, 1.0) for layers in (1, 2)),
        *(("jpeg", quality, 0) for quality in (10, 80)),
    ]
    assert (found[0].bits_per_pixel, found[0].accuracy) == (24, 1)
    samples = [(x[0] * 255).round().byte().permute(1, 2, 0).numpy() for x in task.inputs()]
    blobs = [codec.encode(one, model, gain=0.2) for one in samples]
    pixels = 64 * 192
    assert found[1].bits_per_pixel == pytest.approx(np.mean([8 * len(codec.keep(b, 1)) for b in blobs]) / pixels)
    assert found[2].bits_per_pixel == pytest.approx(np.mean([8 * len(b) for b in blobs]) / pixels)
    assert found[1].psnr_db is None
    assert found[2].psnr_db is not None
    for row in found[-2:]:
        assert row.accuracy == 1  # it stays bright
        assert row.psnr_db > 25


def test_features_go_into_the_back_half(rows):
    """Of features that are right, the answers are."""
    model, task, _ = rows
    net = network()
    answers = iter([net(x) for x in task.inputs()])
    model.features = lambda y_hat, number: next(answers)
    try:
        found = scalable.measure({"scalable": model}, net, task, [0.5], [])
    finally:
        del model.features
    assert found[1].accuracy == 1


def test_features_of_another_layer_are_refused(rows):
    model, task, _ = rows
    net = network()
    shape = net(task.pictures[0]).shape
    assert net.finish(torch.zeros(1, 5, 10, 25), shape).shape == (1, 5, 3)
    for wrong in ((1, 4, 8, 24), (1, 5, 7, 24), (1, 5, 8, 27), (2, 5, 8, 24)):
        with pytest.raises(ValueError, match=r"has \(1, 5, 8, 24\) at this layer"):
            net.finish(torch.zeros(wrong), shape)
    for stride, size in ((4, 5), (16, 5), (8, 6)):
        model.attach([network(stride, size)])
        with pytest.raises(ValueError, match="task 0 must give"):
            model.wanted(task.pictures[0], 0)
    model.attach([net])


def test_two_codecs_of_one_name(rows):
    model, task, _ = rows
    with pytest.raises(ValueError, match="two codecs are named 'jpeg'"):
        scalable.measure({"jpeg": model}, network(), task, [0.5], ladder("jpeg", [10]))


def row(codec_name, layers, bits, accuracy):
    return Row(codec_name, 0, layers, 5, bits, "top-1", accuracy, None)


def test_savings_are_of_the_common_range_and_of_better_settings():
    theirs = [row("jpeg", 0, bits, accuracy) for bits, accuracy in ((0.2, 0.3), (0.4, 0.5), (0.8, 0.7), (1.6, 0.6))]
    ours = [row("ours", 1, one.bits_per_pixel / 2, one.accuracy) for one in theirs]
    others = [row("jpeg", 1, 9.0, 0.4), row("jpeg", 1, 10.0, 0.6)]
    delta = saving([*theirs, *ours, *others], "ours", 1, "jpeg")
    assert delta.value == pytest.approx(-50)
    assert (delta.low, delta.high) == (0.3, 0.7)
    assert saving([*theirs, *ours, *others], "jpeg", 1, "ours", 1).value > 1000
    apart = [row("bad", 1, 1.0, 0.1), row("bad", 1, 2.0, 0.2)]
    found = scalable_report.savings([*theirs, *ours, *apart])
    assert [(one.codec, one.anchor, one.anchor_layers, one.percent is None) for one in found] == [
        ("ours", "jpeg", 0, False),
        ("ours", "bad", 1, True),
        ("bad", "jpeg", 0, True),
    ]
    text = scalable_report.table([*theirs, *ours, *apart], found)
    assert "ours, 1 layers, against jpeg: -50.0 % rate at equal accuracy (30.0 to 70.0 %)" in text
    assert "bad, 1 layers, against jpeg: too little accuracy in common" in text


@pytest.mark.parametrize("text", ["", "squeezenet", "squeezenet:x", "yolo:x:y", "squeezenet:a:b:c"])
def test_tasks_that_are_none(text):
    with pytest.raises(ValueError, match="NAME:WEIGHTS:LAYER"):
        named(text)


def test_from_the_shell(tmp_path, capsys):
    torch.manual_seed(0)
    save_file(SqueezeNet().state_dict(), tmp_path / "net.safetensors")
    task = f"squeezenet:{tmp_path}/net.safetensors:features.7"
    model = awake("scalable", layer2=0, features0=256, features1=0)
    model.attach([named(task)])
    models.save_weights(model, tmp_path / "model.safetensors")
    models.save_weights(small_model(), tmp_path / "plain.safetensors")
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(1)
    for number in (3, 7):
        Image.fromarray(rng.integers(0, 256, (80, 90, 3), dtype=np.uint8)).save(
            tmp_path / "pictures" / f"{number:04}.png"
        )
    options = [
        "-m",
        str(tmp_path / "model.safetensors"),
        "--gains",
        "0.5",
        "--anchors",
        "jpeg",
        "--beside",
        f"twin={tmp_path / 'model.safetensors'}",
        "--beside",
        f"plain={tmp_path / 'plain.safetensors'}",
        "-o",
        str(tmp_path / "out"),
    ]
    assert main(["eval", "scalable", str(tmp_path / "pictures"), "--task", task, *options]) == 0
    out = capsys.readouterr().out
    for anchor in ("jpeg", "plain", "twin, 1 layers"):
        assert f"model, 1 layers, against {anchor}: " in out
    result = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {(one["codec"], one["layers"]) for one in result["rows"]} >= {
        *(("model", 1), ("model", 2), ("twin", 1), ("twin", 2), ("plain", 0), ("jpeg", 0))
    }
    assert (tmp_path / "out" / "accuracy.png").stat().st_size > 1000
    for wrong, words in (
        (["eval", "scalable", "x"], "wants --task"),
        (["eval", "scalable", "x", "--task", task], "vbr-mean has no task 0"),
        (["eval", "scalable", "x", "--task", task, *options, "--number", "1"], "has no task 1"),
        (["eval", "scalable", "x", "--task", task, *options, "--beside", "jpeg=x"], "two codecs are named 'jpeg'"),
        (["eval", "scalable", "x", "--task", task, *options, "--instances", "y"], "fastestdet needs"),
        (["eval", "sideways", "x"], "scalable FOLDER"),
        (["eval", str(tmp_path / "pictures"), "--task", task], "--task is for eval scalable"),
        (["eval", "scalable", "x", "--task", task, "--published"], "--published is for eval vbr"),
        (["eval", "vbr", str(tmp_path / "pictures"), *options[:2]], "models of one layer"),
    ):
        assert main(wrong) == 2
        assert words in capsys.readouterr().err


def test_multiplications_are_counted():
    layer = nn.Conv2d(3, 4, 5, padding=2)
    with operations.counting(layer) as counter:
        layer(torch.zeros(1, 3, 8, 8))
    assert counter.multiplications == 8 * 8 * 4 * 3 * 25
    up = nn.ConvTranspose2d(3, 4, 5, stride=2, padding=2, output_padding=1)
    with operations.counting(nn.Sequential(up, GDN(4))) as counter:
        up(torch.zeros(1, 3, 8, 8))
    assert counter.multiplications == 8 * 8 * 3 * 4 * 25
    with operations.counting(nn.Linear(5, 7)) as counter:
        pass
    assert counter.multiplications == 0


def test_the_base_spares_the_picture_and_the_front(rows):
    model, net = rows[0], network()
    found = operations.paths(model, net, 0, 64, 192)
    y_hat, z_hat = torch.zeros(1, 14, 4, 12), torch.zeros(1, 8, 1, 3)
    with operations.counting(model, net) as features:
        model.features(y_hat, 0)
    with operations.counting(model, net) as others:
        model.coders[1].h_s(z_hat)
        model.reconstruct(y_hat, 2)
        net(torch.zeros(1, 3, 64, 192))
    spared = others.multiplications - features.multiplications
    assert found["picture"] - found["base"] == pytest.approx(spared / (64 * 192))


def test_pictures_are_those_of_the_networks():
    rgb = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    square = squeezenet.square(rgb)
    torch.testing.assert_close(square, torch.from_numpy(rgb).permute(2, 0, 1) / 255)
    middle = squeezenet.normalised(square[None])[0, :, 14:241, 14:241]
    torch.testing.assert_close(squeezenet.preprocess(rgb), middle)
