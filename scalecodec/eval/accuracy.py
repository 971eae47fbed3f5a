"""What a task network still gets right when something stands inside it: top-1 of classes, average precision of boxes.

Everything takes a callable from batch to outputs: a network, or its two halves with a codec between them.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy.typing as npt
import torch
from torch import Tensor

from .networks import fastestdet, squeezenet
from .rate_distortion import _rgb, find_images

Forward = Callable[[Tensor], Tensor]
Preprocess = Callable[[npt.NDArray[Any]], Tensor]
Item = TypeVar("Item")

_FIELDS = {  # what is read of COCO's JSON, here or by pycocotools
    "images": {"id", "file_name"},
    "annotations": {"id", "image_id", "category_id", "bbox", "area", "iscrowd"},
    "categories": {"id"},
}


class AveragePrecision(NamedTuple):
    """COCO's: `ap` is the mean over ten overlaps from 0.5 to 0.95, `ap50` that at 0.5; in [0, 1]."""

    ap: float
    ap50: float


def top1(
    forward: Forward,
    folder: str | os.PathLike[str],
    *,
    preprocess: Preprocess = squeezenet.preprocess,
    batch_size: int = 20,
) -> float:
    """The share of a folder's pictures whose class scores highest.

    Parameters
    ----------
    forward : callable
        From float32 [B, ...], stacked from what `preprocess` gives, to scores [B, classes]. Called without gradients.
    folder : path
        8-bit RGB or grey; a file's name without its suffix is the number of its class, as in ``0042.jpg``.
    preprocess : callable
        From uint8 [H, W, 3], RGB, to one network input.
    batch_size : int
        Pictures in one call, fewer in the last.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        The folder holds no picture, a name is no number of a class, a picture has alpha or 16 bits, `batch_size` is
        not positive, or `forward` gives something else than scores [B, classes].
    BitstreamError
        A picture cannot be read.
    """
    paths = find_images(folder)
    hits = 0
    for group in _groups(paths, batch_size):
        scores = _run(forward, (preprocess(_rgb(path)) for path in group), len(group))
        if scores.ndim != 2 or scores.shape[1] == 0:
            raise ValueError(f"scores must be [{len(group)}, classes], got shape {tuple(scores.shape)}")
        wanted = torch.tensor([_class_of(path, scores.shape[1]) for path in group])
        hits += int((scores.argmax(1).cpu() == wanted).sum())
    return hits / len(paths)


def detect(
    forward: Forward,
    folder: str | os.PathLike[str],
    instances: str | os.PathLike[str],
    *,
    preprocess: Preprocess = fastestdet.preprocess,
    threshold: float = 0.001,
    batch_size: int = 8,
) -> list[dict[str, Any]]:
    """What a detector of FastestDet's output finds in the pictures that an annotation file lists.

    Parameters
    ----------
    forward : callable
        From float32 [B, 3, 352, 352] to [B, 85, rows, columns]. Called without gradients.
    folder : path
        Where the pictures are, under the file's ``file_name``.
    instances : path
        COCO's JSON of annotations.
    preprocess, batch_size
        As for `top1`.
    threshold : float
        As for `boxes`.

    Returns
    -------
    list of dict
        COCO's form of results: ``image_id``, ``category_id``, ``bbox`` (x, y, width, height in pixels), ``score``.

    Raises
    ------
    ValueError
        The JSON is not of that form, a picture has alpha or 16 bits, `batch_size` is not positive, or `forward` gives
        something else.
    BitstreamError
        A picture cannot be read.
    """
    results: list[dict[str, Any]] = []
    for group in _groups(_annotations(instances)["images"], batch_size):
        pictures = [_rgb(Path(folder, entry["file_name"])) for entry in group]
        outputs = _run(forward, map(preprocess, pictures), len(group))
        if outputs.ndim != 4 or outputs.shape[1] != 5 + fastestdet.NUM_CLASSES:
            raise ValueError(f"an output must be [{len(group)}, 85, rows, columns], got {tuple(outputs.shape)}")
        for entry, picture, output in zip(group, pictures, outputs, strict=True):
            height, width = picture.shape[:2]
            results += (
                _result(entry["id"], row) for row in fastestdet.boxes(output, width, height, threshold).tolist()
            )
    return results


def average_precision(
    detections: Iterable[dict[str, Any]], instances: str | os.PathLike[str] | Mapping[str, Any]
) -> AveragePrecision:
    """COCO's average precision of boxes, over all pictures of an annotation file.

    Parameters
    ----------
    detections : iterable of dict
        As `detect` gives them; at most the 100 best of a picture and class count. None at all is a precision of 0.
    instances : path or mapping
        COCO's JSON of annotations, or what it holds.

    Raises
    ------
    ValueError
        The JSON is not of that form or holds no box to be found, or a detection lacks a field or names a picture that
        is not listed.
    ImportError
        ``pycocotools`` is missing; the message names the extra that brings it.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError as error:
        raise ImportError("average precision needs pycocotools: pip install 'scalecodec-core[eval]'") from error
    annotations, name = _annotations(instances), _name(instances)
    # copies, for the library adds fields of its own; and it takes a box for one only where it is a list
    found = [{**_complete(entry), "bbox": list(entry["bbox"])} for entry in detections]
    if strange := {entry["image_id"] for entry in found} - {entry["id"] for entry in annotations["images"]}:
        raise ValueError(f"{name}: a detection is of picture {min(strange)}, which it does not list")
    if all(box["iscrowd"] for box in annotations["annotations"]):
        raise ValueError(f"{name}: there is no box to be found")
    if not found:
        return AveragePrecision(0.0, 0.0)
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = annotations
        truth.createIndex()
        judge = COCOeval(truth, truth.loadRes(found), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return AveragePrecision(float(judge.stats[0]), float(judge.stats[1]))


def _annotations(source: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Checked; of a mapping copies, for the library adds fields to them."""
    name = _name(source)
    if isinstance(source, Mapping):
        content: Any = copy.deepcopy(dict(source))
    else:
        try:
            content = json.loads(Path(source).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{name}: not JSON ({error})") from error
    for part, fields in _FIELDS.items():
        entries = content.get(part) if isinstance(content, dict) else None
        if not isinstance(entries, list):
            raise ValueError(f"{name}: no annotations in COCO's form: it has no list {part}")
        if not all(isinstance(entry, dict) and fields <= entry.keys() for entry in entries):
            raise ValueError(f"{name}: an entry of {part} has not all of {', '.join(sorted(fields))}")
    return content


def _name(source: str | os.PathLike[str] | Mapping[str, Any]) -> str:
    return "annotations" if isinstance(source, Mapping) else os.fspath(source)


def _complete(detection: dict[str, Any]) -> dict[str, Any]:
    if missing := {"image_id", "category_id", "bbox", "score"} - detection.keys():
        raise ValueError(f"a detection has no {', '.join(sorted(missing))}")
    return detection


def _groups(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    if size < 1:
        raise ValueError(f"a batch must hold at least 1 picture, got {size}")
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _run(forward: Forward, inputs: Iterable[Tensor], count: int) -> Tensor:
    with torch.no_grad():
        outputs = forward(torch.stack(list(inputs)))
    if not isinstance(outputs, Tensor) or outputs.ndim == 0 or outputs.shape[0] != count:
        found = f"shape {tuple(outputs.shape)}" if isinstance(outputs, Tensor) else type(outputs).__name__
        raise ValueError(f"the network must give one tensor with {count} rows for {count} pictures, got {found}")
    return outputs


def _class_of(path: Path, num_classes: int) -> int:
    if not (path.stem.isdecimal() and int(path.stem) < num_classes):
        raise ValueError(f"{path}: the name must be the number of a class, 0 to {num_classes - 1}")
    return int(path.stem)


def _result(image_id: int, row: Sequence[float]) -> dict[str, Any]:
    left, top, right, bottom, score, name = row
    return {
        "image_id": image_id,
        "category_id": fastestdet.COCO_IDS[int(name)],
        "bbox": [left, top, right - left, bottom - top],
        "score": score,
    }
