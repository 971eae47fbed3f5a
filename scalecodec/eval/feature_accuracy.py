"""A task network's accuracy over the bits of the tensor that crosses its split, for several splits and codecs.

Each picture goes through the front half once for a split; what crosses is kept and replayed for every codec, so only
the back half runs again.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from time import perf_counter

import torch
from torch import Tensor, nn

from scalecodec import features

from .feature_codecs import NONE, Calibration, Shape, TensorCodec, checked, ladder, names
from .feature_tasks import Task

Progress = Callable[[float, str], None]

SPLITS = {
    "squeezenet": ("features.4", "features.7", "features.9.squeeze_activation", "features.12"),
    "fastestdet": ("backbone.stage2", "SPP.Conv1x1"),
}


@dataclass(frozen=True)
class Row:
    """One split under one codec at one setting.

    Attributes
    ----------
    split : str
        The layer whose output crosses.
    codec, setting
        As of a TensorCodec.
    num_tensors : int
        One for each picture.
    num_elements, num_bytes : int
        Of all tensors together.
    bits_per_element : float
    metric : str
        What `accuracy` is: "top-1" or "AP"; in [0, 1].
    accuracy : float
    ap50 : float or None
        Where the metric is AP.
    encode_ms, decode_ms : float
        Milliseconds a tensor, medians; float32 to bytes and back, quantization included.
    """

    split: str
    codec: str
    setting: float
    num_tensors: int
    num_elements: int
    num_bytes: int
    bits_per_element: float
    metric: str
    accuracy: float
    ap50: float | None
    encode_ms: float
    decode_ms: float


def measure(
    network: nn.Module,
    task: Task,
    calibration: Iterable[Tensor],
    splits: Sequence[str],
    codecs: Sequence[str] | None = None,
    *,
    progress: Progress | None = None,
) -> list[Row]:
    """Accuracy, bits and time at each split under each codec.

    Parameters
    ----------
    network : nn.Module
        In evaluation mode, on the CPU.
    task : Task
    calibration : iterable of tensor
        Inputs of the network, one picture each, [1, ...], of other pictures than the task's.
    splits : sequence of str
        Names of layers, as for `features.split`, each of which gives all that crosses: float32 [1, C, H, W].
    codecs : sequence of str, optional
        As of `feature_codecs.ladder`; by default all that can run here. "none" always comes first.
    progress : callable, optional
        Called with a share in [0, 1] and what is being done.

    Returns
    -------
    list of Row
        Split by split, in the order of `codecs`.

    Raises
    ------
    ValueError, TypeError
        There is no split, no picture to test or to calibrate with, what crosses is no such tensor, or a codec gives
        back another shape; or as of `features.split` and `feature_codecs.ladder`.
    ImportError, BackendError
        As of `feature_codecs.ladder`.

    Notes
    -----
    Memory: all tensors of one split, calibration and test.
    """
    chosen = [NONE, *(name for name in dict.fromkeys(names() if codecs is None else codecs) if name != NONE)]
    if not splits or not len(task):
        raise ValueError(f"an evaluation needs splits and pictures, got {len(splits)} and {len(task)}")
    inputs = list(calibration)
    rows: list[Row] = []
    for number, split in enumerate(splits):

        def tell(done: float, text: str, number: int = number, split: str = split) -> None:
            if progress is not None:
                progress((number + done) / len(splits), f"{split}: {text}" if text else "")

        rows += _measure_split(network, task, inputs, split, chosen, tell)
    return rows


@torch.no_grad()
def _measure_split(
    network: nn.Module, task: Task, inputs: Sequence[Tensor], split: str, codecs: Sequence[str], tell: Progress
) -> list[Row]:
    tell(0, "calibration")
    front, back = features.split(network, split, inputs[0] if inputs else None)
    known = Calibration([front(one) for one in inputs])
    rungs = [rung for name in codecs for rung in ladder(name, known)]
    share = 1 / (1 + len(rungs))  # of the front half, or of one rung
    tensors = []
    for number, one in enumerate(task.inputs()):
        tell(share * number / len(task), "front half")
        tensors.append(checked(front(one)))
    rows = []
    for place, rung in enumerate(rungs, 1):

        def told(done: float, place: int = place, rung: TensorCodec = rung) -> None:
            tell(share * (place + done), f"{rung.label} {rung.setting:g}")

        rows.append(_measure_rung(back, task, tensors, split, rung, told))
    tell(1, "")
    return rows


def _measure_rung(
    back: nn.Module,
    task: Task,
    tensors: Sequence[Tensor],
    split: str,
    rung: TensorCodec,
    told: Callable[[float], None],
) -> Row:
    outputs, sizes, times = [], [], []
    _coded(rung, tensors[0])  # untimed: what is made at the first call
    for number, tensor in enumerate(tensors):
        told(number / len(tensors))
        received, size, seconds = _coded(rung, tensor)
        outputs.append(back(received))
        sizes.append(size)
        times.append(seconds)
    score = task.score(outputs)
    elements = sum(tensor.numel() for tensor in tensors)
    encode, decode = (1e3 * statistics.median(column) for column in zip(*times, strict=True))
    return Row(
        split=split,
        codec=rung.label,
        setting=rung.setting,
        num_tensors=len(tensors),
        num_elements=elements,
        num_bytes=sum(sizes),
        bits_per_element=8 * sum(sizes) / elements,
        metric=task.metric,
        accuracy=score.accuracy,
        ap50=score.ap50,
        encode_ms=encode,
        decode_ms=decode,
    )


def _coded(rung: TensorCodec, tensor: Tensor) -> tuple[Tensor, int, tuple[float, float]]:
    """What comes out, the bytes in between, and the seconds of both ways."""
    shape: Shape = tuple(tensor.shape)
    start = perf_counter()
    data = rung.encode(tensor)
    encoded = perf_counter()
    received = rung.decode(data, shape)
    end = perf_counter()
    if received.shape != tensor.shape or received.dtype != tensor.dtype:
        raise ValueError(
            f"{rung.label} made {received.dtype} {tuple(received.shape)} of {tensor.dtype} {tuple(tensor.shape)}"
        )
    return received, len(data), (encoded - start, end - encoded)
