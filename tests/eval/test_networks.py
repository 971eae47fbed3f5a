"""The task networks: names, shapes and splits on weights made here; accuracy where the data are.

The environment variable SCALECODEC_DATA names the folder with ``weights``, ``imagenet_500`` and ``coco_val_155``.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import fx, nn

from scalecodec import image
from scalecodec.errors import BitstreamError
from scalecodec.eval import accuracy, feature_tasks
from scalecodec.eval.networks import FastestDet, SqueezeNet, detections, fastestdet, squeezenet

NETWORKS = {SqueezeNet: squeezenet, FastestDet: fastestdet}
EACH = pytest.mark.parametrize("cls", NETWORKS, ids=lambda cls: cls.__name__)
SPLITS = [
    (SqueezeNet, "features.4", (128, 56, 56)),
    (SqueezeNet, "features.7", (256, 28, 28)),
    (SqueezeNet, "features.9.squeeze_activation", (48, 14, 14)),
    (SqueezeNet, "features.12.expand_activation", (512, 14, 14)),
    (FastestDet, "backbone.stage2", (48, 44, 44)),
    (FastestDet, "SPP.Conv1x1", (96, 22, 22)),
    (FastestDet, "SPP", (96, 22, 22)),
    (FastestDet, "detect_head.conv1x1", (96, 22, 22)),
]
NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def made(cls: type) -> nn.Module:
    torch.manual_seed(3)
    return cls().eval()


def batch(cls: type, size: int = 2) -> torch.Tensor:
    rng = np.random.default_rng(4)
    pictures = (rng.integers(0, 256, (300, 280, 3), np.uint8) for _ in range(size))
    return torch.stack([NETWORKS[cls].preprocess(picture) for picture in pictures])


@pytest.fixture(scope="module")
def data() -> Path:
    folder = os.environ.get("SCALECODEC_DATA")
    if not folder:
        pytest.skip("needs SCALECODEC_DATA, the folder of weights and pictures")
    return Path(folder)


@EACH
def test_outputs(cls):
    network = made(cls)
    with torch.no_grad():
        outputs = network(batch(cls))
    assert outputs.dtype == torch.float32
    if cls is SqueezeNet:
        assert outputs.shape == (2, 1000)
    else:
        assert outputs.shape == (2, 85, 22, 22)
        torch.testing.assert_close(outputs[:, 5:].sum(1), torch.ones(2, 22, 22))
        assert float(outputs[:, 0].min()) >= 0


def test_squeezenets_names_are_torchvisions():
    fires = (3, 4, 6, 7, 9, 10, 11, 12)
    parts = ("squeeze", "expand1x1", "expand3x3")
    layers = {"features.0", "classifier.1"} | {f"features.{n}.{part}" for n in fires for part in parts}
    network = made(SqueezeNet)
    assert set(network.state_dict()) == {f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")}
    assert sum(value.numel() for value in network.state_dict().values()) == 1_235_496


def test_fastestdets_names_are_its_releases():
    pairs = {"backbone.first_conv": (0,), "SPP.Conv1x1.conv1x1": (0,), "SPP.output": (0,)}
    pairs |= {f"SPP.S{depth}": range(0, 3 * depth, 3) for depth in (1, 2, 3)}
    pairs |= {"detect_head.conv1x1.conv1x1": (0,)}
    pairs |= {f"detect_head.{part}_layers.conv5x5": (0, 3) for part in ("obj", "reg", "cls")}
    for stage, blocks in ((2, 4), (3, 8), (4, 4)):
        pairs |= {f"backbone.stage{stage}.{block}.branch_main": (0, 3, 5) for block in range(blocks)}
        pairs |= {f"backbone.stage{stage}.0.branch_proj": (0, 2)}
    wanted = {f"{name}.{at}.weight" for name, places in pairs.items() for at in places}
    wanted |= {f"{name}.{at + 1}.{kind}" for name, places in pairs.items() for at in places for kind in NORM}
    network = made(FastestDet)
    assert set(network.state_dict()) == wanted
    assert sum(value.numel() for value in network.state_dict().values()) == 252_938


@pytest.mark.parametrize(("cls", "name", "shape"), SPLITS)
def test_one_tensor_carries_all_at_a_split(cls, name, shape):
    """It is behind a ReLU, and where it is replaced the input no longer counts."""
    network, inputs, seen = made(cls), batch(cls, 1), []
    module = network.get_submodule(name)
    with torch.no_grad():
        module.register_forward_hook(lambda _, __, output: seen.append(output))
        assert not torch.equal(network(inputs), network(inputs.flip(2)))
        assert tuple(seen[0].shape) == (1, *shape)
        assert float(seen[0].min()) == 0
        module.register_forward_hook(lambda _, __, output: torch.ones_like(output))
        assert torch.equal(network(inputs), network(inputs.flip(2)))


@EACH
def test_traceable(cls):
    network, inputs = made(cls), batch(cls)
    traced = fx.symbolic_trace(network)
    with torch.no_grad():
        torch.testing.assert_close(traced(inputs), network(inputs))
        torch.testing.assert_close(traced(inputs[:1]), network(inputs[:1]))


def test_a_shuffle_block_is_the_channel_shuffle_of_shufflenet():
    block, x = fastestdet.Shuffle(4).eval(), torch.randn(3, 8, 5, 6)
    pairs = x.reshape(3, 4, 2, 5, 6)
    with torch.no_grad():
        wanted = torch.cat((pairs[:, :, 0], block.branch_main(pairs[:, :, 1])), 1)
        torch.testing.assert_close(block(x), wanted)


@EACH
def test_weights_there_and_back(cls, tmp_path):
    network, path = made(cls), tmp_path / "w.safetensors"
    half = {k: v.half() if v.ndim == 4 else v for k, v in network.state_dict().items()}
    save_file(half, path)
    loaded = NETWORKS[cls].load(str(path))
    assert not loaded.training
    for key, value in loaded.state_dict().items():
        assert torch.equal(value, half[key].to(value.dtype))
        assert value.dtype in (torch.float32, torch.int64)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())


@EACH
def test_weights_that_are_refused(cls, tmp_path):
    load, path = NETWORKS[cls].load, tmp_path / "w.safetensors"
    weights = made(cls).state_dict()
    name = next(iter(weights))
    with pytest.raises(FileNotFoundError, match=r"w\.safetensors"):
        load(path)
    path.write_bytes(b"no weights")
    with pytest.raises(BitstreamError, match="not a safetensors file"):
        load(path)
    save_file({key: value for key, value in weights.items() if key != name}, path)
    with pytest.raises(ValueError, match=f"another network: missing or unknown {name}"):
        load(path)
    save_file(weights | {name: weights[name][:1].contiguous()}, path)
    with pytest.raises(ValueError, match=rf"{name} is \(1, 3, 3, 3\), wanted"):
        load(path)
    save_file(weights | {name: weights[name] * float("nan")}, path)
    with pytest.raises(BitstreamError, match="not finite"):
        load(path)


@EACH
@pytest.mark.parametrize("size", [(1, 1), (1, 4000), (37, 501), (256, 256), (300, 257), (640, 427)])
def test_preprocess_of_any_size(cls, size):
    module = NETWORKS[cls]
    inputs = module.preprocess(np.full((*size, 3), (10, 20, 30), np.uint8))
    assert inputs.dtype == torch.float32
    assert inputs.shape == (3, module.SIDE, module.SIDE)
    wanted = torch.tensor([30.0, 20.0, 10.0])  # blue first
    wanted = wanted - torch.tensor([104.0, 117.0, 123.0]) if cls is SqueezeNet else wanted / 255
    torch.testing.assert_close(inputs, wanted.reshape(3, 1, 1).expand_as(inputs), atol=1e-4, rtol=0)


def test_squeezenet_only_crops_a_picture_of_256():
    rgb = np.random.default_rng(1).integers(0, 256, (256, 256, 3), np.uint8)
    middle = torch.from_numpy(rgb[14:241, 14:241, ::-1].astype(np.float32)).permute(2, 0, 1)
    mean = torch.tensor([104.0, 117.0, 123.0]).reshape(3, 1, 1)
    torch.testing.assert_close(squeezenet.preprocess(rgb), middle - mean, atol=1e-3, rtol=0)


@EACH
def test_pictures_that_are_refused(cls):
    preprocess = NETWORKS[cls].preprocess
    for wrong, fault in (
        (np.zeros((8, 8, 3), np.float32), TypeError),
        (torch.zeros(8, 8, 3, dtype=torch.uint8), TypeError),
        (np.zeros((8, 8), np.uint8), ValueError),
        (np.zeros((8, 8, 4), np.uint8), ValueError),
        (np.zeros((0, 8, 3), np.uint8), ValueError),
    ):
        with pytest.raises(fault, match="a picture must be"):
            preprocess(wrong)


def overlap_of(a: list[float], b: list[float]) -> float:
    width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    shared = max(width, 0) * max(height, 0)
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared
    return shared / union if union else 0.0


@given(st.integers(0, 40), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.3, 0.45, 1.0]))
def test_suppression_is_its_definition(count, seed, overlap):
    """A box stays where none that stays, of its class and before it in order of score, overlaps it."""
    rng = np.random.default_rng(seed)
    low = rng.integers(0, 12, (count, 2)).astype(np.float64)
    corners = np.concatenate((low, low + rng.integers(0, 8, (count, 2))), 1)
    scores, classes = rng.integers(0, 10, count) / 10, rng.integers(0, 3, count)
    stay: list[int] = []
    for one in sorted(range(count), key=lambda index: (-scores[index], index)):
        rivals = [other for other in stay if classes[other] == classes[one]]
        if all(overlap_of(corners[one].tolist(), corners[other].tolist()) <= overlap for other in rivals):
            stay.append(one)
    assert detections.suppress(corners, scores, classes, overlap).tolist() == stay


def test_boxes_of_a_grid_that_is_known():
    output = torch.zeros(7, 2, 4)
    output[0, 1, 2], output[5, 1, 2], output[6, 1, 2] = 0.5, 0.2, 0.8
    output[1:5, 1, 2] = torch.tensor([0.3, -0.2, 0.0, -1.0])
    found = fastestdet.boxes(output, 400, 100, threshold=0.1)
    x, y = (2 + np.tanh(0.3)) * 100, (1 + np.tanh(-0.2)) * 50
    width, height = 200, 100 / (1 + np.exp(1))
    wanted = [x - width / 2, y - height / 2, x + width / 2, y + height / 2, 0.5**0.6 * 0.8**0.4, 1]
    np.testing.assert_allclose(found, [wanted], rtol=1e-5)
    assert fastestdet.boxes(output, 400, 100, threshold=0.7).shape == (0, 6)


def test_outputs_that_are_refused():
    good = torch.zeros(85, 2, 2)
    for wrong, sides, match in (
        (good[None], (8, 8), "5 \\+ classes"),
        (good[:5], (8, 8), "5 \\+ classes"),
        (good + float("nan"), (8, 8), "not finite"),
        (good, (0, 8), "positive, got 0x8"),
    ):
        with pytest.raises(ValueError, match=match):
            fastestdet.boxes(wrong, *sides)


def test_cocos_ids():
    assert len(fastestdet.COCO_IDS) == 80
    assert [fastestdet.COCO_IDS[at] for at in (0, 11, 24, 57, 79)] == [1, 13, 27, 63, 90]


@pytest.fixture
def scene(tmp_path: Path) -> tuple[Path, Path]:
    """A folder of two pictures of 64x32, and their annotations: one person; one person and one dog."""
    for number in (7, 8):
        image.write(tmp_path / f"{number}.png", image.Picture(np.full((32, 64, 3), 9, np.uint8)))
    boxes = ((7, 1, (10, 4, 20, 20)), (8, 1, (0, 0, 16, 16)), (8, 18, (30, 8, 20, 10)))
    annotations = [
        {"id": at + 1, "image_id": of, "category_id": what, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
        for at, (of, what, box) in enumerate(boxes)
    ]
    content = {
        "images": [{"id": of, "file_name": f"{of}.png", "width": 64, "height": 32} for of in (7, 8)],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
    }
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(content))
    return tmp_path, path


def test_boxes_in_cocos_form(scene):
    folder, instances = scene
    grid = torch.zeros(1, 85, 1, 1)
    grid[:, 0], grid[:, 5 + 16] = 1, 1  # a dog, half as wide and high as the picture, in its upper left quarter
    (row,) = fastestdet.boxes(grid[0], 64, 32).tolist()
    assert accuracy.coco_result(7, row) == {"image_id": 7, "category_id": 18, "bbox": [-16, -8, 32, 16], "score": 1}
    assert len(feature_tasks.Boxes(folder, instances)) == 2


def test_average_precision(scene, capfd):
    pytest.importorskip("pycocotools")
    _, path = scene
    truth = json.loads(path.read_text())["annotations"]
    found = [{key: one[key] for key in ("image_id", "category_id", "bbox")} | {"score": 0.9} for one in truth]
    assert accuracy.average_precision(found, path) == pytest.approx((1, 1))
    assert accuracy.average_precision(found[:2], path) == pytest.approx((0.5, 0.5))
    assert accuracy.average_precision([], path) == (0, 0)
    left, top, width, height = found[2]["bbox"]
    found[2]["bbox"] = (left, top, width * 0.72, height)  # an overlap of 0.72: five of ten thresholds
    assert accuracy.average_precision(iter(found), path) == pytest.approx((0.75, 1))
    assert set(found[0]) == {"image_id", "category_id", "bbox", "score"}
    with pytest.raises(ValueError, match="a detection has no bbox, score"):
        accuracy.average_precision([{"image_id": 7, "category_id": 1}], path)
    with pytest.raises(ValueError, match="of picture 9"):
        accuracy.average_precision([found[0] | {"image_id": 9}], path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda content: [], "no list images"),
        (lambda content: content | {"annotations": 3}, "no list annotations"),
        (lambda content: content | {"images": [{"id": 7}]}, "images has not all of file_name, id"),
        (lambda content: content | {"annotations": []}, "no box to be found"),
    ],
)
def test_annotations_that_are_refused(scene, change, match):
    pytest.importorskip("pycocotools")
    _, path = scene
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ValueError, match=match):
        accuracy.average_precision([], path)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"instances\.json: not JSON"):
        accuracy.average_precision([], path)


def test_without_pycocotools(scene, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools.coco", None)
    with pytest.raises(ImportError, match=r"scalecodec-core\[eval\]"):
        accuracy.average_precision([], scene[1])


@torch.no_grad()
def score(network, task):
    return task.score([network(one) for one in task.inputs()])


def test_squeezenet_on_photographs(data):
    network = squeezenet.load(data / "weights/squeezenet1_1/squeezenet1_1_caffe.safetensors")
    found = score(network, feature_tasks.Classes(data / "imagenet_500"))
    assert found.accuracy == pytest.approx(0.616, abs=0.005)


def test_fastestdet_on_photographs(data):
    pytest.importorskip("pycocotools")
    network = fastestdet.load(data / "weights/fastestdet/fastestdet.safetensors")
    instances = data / "coco_val_155/instances.json"
    assert {entry["id"] for entry in json.loads(instances.read_text())["categories"]} == set(fastestdet.COCO_IDS)
    found = score(network, feature_tasks.Boxes(data / "coco_val_155/images", instances))
    assert found == pytest.approx((0.1618, 0.3056), abs=0.003)


def test_fastestdet_is_its_onnx(data):
    runtime = pytest.importorskip("onnxruntime")
    folder = data / "weights/fastestdet"
    network = fastestdet.load(folder / "fastestdet.safetensors")
    session = runtime.InferenceSession(str(folder / "FastestDet.onnx"))
    for path in sorted((data / "coco_val_155/images").iterdir())[:4]:
        inputs = fastestdet.preprocess(image.read(path).samples)[None]
        wanted = torch.from_numpy(session.run(None, {"input.1": inputs.numpy()})[0])
        torch.testing.assert_close(network(inputs), wanted, atol=1e-4, rtol=1e-4)
