"""What is right about a picture: the class in its file's name, boxes in COCO's annotations, average precision."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .networks import fastestdet

_FIELDS = {  # what is read of COCO's JSON, here or by pycocotools
    "images": {"id", "file_name"},
    "annotations": {"id", "image_id", "category_id", "bbox", "area", "iscrowd"},
    "categories": {"id"},
}


class AveragePrecision(NamedTuple):
    """COCO's: `ap` is the mean over ten overlaps from 0.5 to 0.95, `ap50` that at 0.5; in [0, 1]."""

    ap: float
    ap50: float


def average_precision(
    detections: Iterable[dict[str, Any]], instances: str | os.PathLike[str] | Mapping[str, Any]
) -> AveragePrecision:
    """COCO's average precision of boxes, over all pictures of an annotation file.

    Parameters
    ----------
    detections : iterable of dict
        As `coco_result` gives them; at most the 100 best of a picture and class count. None at all is a precision of 0.
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
    annotations, name = annotations_of(instances), _name(instances)
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


def annotations_of(source: str | os.PathLike[str] | Mapping[str, Any]) -> dict[str, Any]:
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


def class_of(path: Path, num_classes: int) -> int:
    """The class that a file's name is the number of; ValueError where it is none of ``num_classes``."""
    if not (path.stem.isdecimal() and int(path.stem) < num_classes):
        raise ValueError(f"{path}: the name must be the number of a class, 0 to {num_classes - 1}")
    return int(path.stem)


def coco_result(image_id: int, row: Sequence[float]) -> dict[str, Any]:
    """One row of ``fastestdet.boxes`` in COCO's form of results."""
    left, top, right, bottom, score, name = row
    return {
        "image_id": image_id,
        "category_id": fastestdet.COCO_IDS[int(name)],
        "bbox": [left, top, right - left, bottom - top],
        "score": score,
    }
