"""Pictures and what is right about them, for networks whose inner tensors are coded: classes, or boxes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy.typing as npt
from torch import Tensor

from . import accuracy
from .networks import fastestdet, squeezenet
from .rate_distortion import find_images, read_rgb

Preprocess = Callable[[npt.NDArray[Any]], Tensor]  # from uint8 [H, W, 3], RGB, to one network input


class Score(NamedTuple):
    """`accuracy` as the task's metric has it, and AP50 where the metric is AP; in [0, 1]."""

    accuracy: float
    ap50: float | None = None


class Task(Protocol):
    """What is put into a network, and what its outputs are worth.

    Attributes
    ----------
    metric : str
        What `score` measures, as in "top-1".
    """

    metric: str

    def __len__(self) -> int:
        """Of the inputs."""

    def inputs(self) -> Iterator[Tensor]:
        """Inputs of the network, one picture each: [1, ...]. May be asked for several times."""

    def score(self, outputs: Sequence[Tensor]) -> Score:
        """Of the network's outputs, [1, ...] each, in the order of the inputs, which were all taken before."""


class Classes:
    """Top-1 over a folder.

    Parameters
    ----------
    folder : path
        8-bit RGB or grey; a file's name without its suffix is the number of its class.
    every : int
        Only each so-manieth picture.
    preprocess : callable
        From uint8 [H, W, 3], RGB, to one network input.
    num_classes : int

    Raises
    ------
    ValueError
        The folder holds no picture, a name is no number of a class, or `every` is not positive.
    """

    metric = "top-1"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        every: int = 1,
        preprocess: Preprocess = squeezenet.preprocess,
        num_classes: int = squeezenet.NUM_CLASSES,
    ) -> None:
        self._paths = thinned(find_images(folder), every)
        self._wanted = [accuracy.class_of(path, num_classes) for path in self._paths]
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self._paths)

    def inputs(self) -> Iterator[Tensor]:
        """BitstreamError where a picture cannot be read."""
        return pictures(self._paths, self._preprocess)

    def score(self, outputs: Sequence[Tensor]) -> Score:
        """Of scores [1, classes]."""
        pairs = zip(outputs, self._wanted, strict=True)
        return Score(sum(int(one.argmax()) == wanted for one, wanted in pairs) / len(self))


class Boxes:
    """COCO's average precision over the pictures of an annotation file, as :func:`.accuracy.average_precision`.

    Parameters
    ----------
    folder : path
    instances : path
        COCO's JSON of annotations.
    every : int
        Only each so-manieth picture that it lists, and the boxes of these.
    preprocess : callable
        From uint8 [H, W, 3], RGB, to one network input.

    Raises
    ------
    ValueError
        The JSON is not of that form or lists no picture, or `every` is not positive.
    """

    metric = "AP"

    def __init__(
        self,
        folder: str | os.PathLike[str],
        instances: str | os.PathLike[str],
        *,
        every: int = 1,
        preprocess: Preprocess = fastestdet.preprocess,
    ) -> None:
        annotations = accuracy.annotations_of(instances)
        entries = thinned(annotations["images"], every)
        if not entries:
            raise ValueError(f"{os.fspath(instances)}: lists no picture")
        kept = {entry["id"] for entry in entries}
        boxes = [box for box in annotations["annotations"] if box["image_id"] in kept]
        self._annotations = {**annotations, "images": entries, "annotations": boxes}
        self._folder, self._preprocess = Path(folder), preprocess
        self._sizes: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._annotations["images"])

    def inputs(self) -> Iterator[Tensor]:
        """BitstreamError where a picture cannot be read."""
        self._sizes = []
        for entry in self._annotations["images"]:
            rgb = read_rgb(self._folder / entry["file_name"])
            self._sizes.append(rgb.shape[:2])
            yield self._preprocess(rgb)[None]

    def score(self, outputs: Sequence[Tensor]) -> Score:
        """Of FastestDet's outputs [1, 85, rows, columns]."""
        found: list[dict[str, Any]] = []
        entries = self._annotations["images"]
        for entry, output, (height, width) in zip(entries, outputs, self._sizes, strict=True):
            rows = fastestdet.boxes(output[0], width, height).tolist()
            found += (accuracy.coco_result(entry["id"], row) for row in rows)
        return Score(*accuracy.average_precision(found, self._annotations))


def calibration_pictures(folder: str | os.PathLike[str], count: int) -> list[Path]:
    """Up to ``count`` pictures of a folder, evenly spaced in order of name.

    Raises
    ------
    ValueError
        The folder holds no picture, or `count` is not positive.
    """
    if count < 1:
        raise ValueError(f"calibration takes at least 1 picture, got {count}")
    found = find_images(folder)
    return [found[at * len(found) // count] for at in range(count)] if count < len(found) else found


def pictures(paths: Sequence[Path], preprocess: Preprocess) -> Iterator[Tensor]:
    """Each picture as one network input [1, ...]."""
    return (preprocess(read_rgb(path))[None] for path in paths)


def thinned(items: Sequence[Any], every: int) -> list[Any]:
    """The first of each ``every``; ValueError where that is not positive."""
    if every < 1:
        raise ValueError(f"every must be at least 1, got {every}")
    return list(items[::every])
