"""scalecodec eval scalable: accuracy and PSNR over the bits of each layer, beside other codecs' pictures."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .features_eval import check_instances
from .terminal import progress, show

_SIZE = (256, 256)  # of the picture whose operations are counted


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--task", metavar="NAME:WEIGHTS:LAYER", help="with scalable: the network, as in squeezenet:FILE:features.7"
    )
    parser.add_argument("--number", type=int, help="with scalable: of that task in the model (default: 0)")
    parser.add_argument("--instances", metavar="JSON", help="with scalable and fastestdet: COCO's annotations")
    parser.add_argument("--every", type=int, metavar="N", help="with scalable: only each N-th picture")


def run(options: argparse.Namespace, folder: str) -> None:
    from scalecodec import models
    from scalecodec.container import write_atomic
    from scalecodec.eval import operations, scalable, scalable_report, scalecodec_ladder
    from scalecodec.eval.ladder import DEFAULT_GAINS
    from scalecodec.eval.task_networks import named

    if not options.task:
        raise ValueError("eval scalable wants --task NAME:WEIGHTS:LAYER")
    network, number = named(options.task), options.number or 0
    label, gains = Path(options.model).stem, options.gains or DEFAULT_GAINS
    names = [label, *(name for name, _ in options.beside), *filter(None, options.anchors.split(","))]
    if clash := {name for name in names if [*names, scalable.UNCOMPRESSED].count(name) > 1}:
        raise ValueError(f"two codecs are named {min(clash)!r}")
    layered = {label: _with_task(models.load(options.model), options.model, network, number)}
    rungs = _anchors(options)
    for name, path in options.beside:
        other = models.load(path)
        if isinstance(other, models.ScalableModel):
            layered[name] = _with_task(other, name, network, number)
        else:
            rungs += scalecodec_ladder(other, gains, name)
    rows = scalable.measure(layered, network, _task(options, folder), gains, rungs, number=number, progress=progress)
    savings = scalable_report.savings(rows)
    multiplications = operations.paths(layered[label], network, number, *_SIZE)
    result: dict[str, Any] = {"rows": [asdict(row) for row in rows], "savings": [asdict(one) for one in savings]}
    result["multiplications_per_pixel"] = multiplications
    if options.output:
        out = Path(options.output)
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(out / "results.json", json.dumps(result, indent=1, allow_nan=False).encode())
        scalable_report.plot(rows, out / "accuracy.png")
    text = scalable_report.table(rows, savings)
    counts = ", ".join(f"{count / 1000:.1f} thousand by the {path}" for path, count in multiplications.items())
    show(options, result, f"{text}\nmultiplications a pixel, from symbols to the answer: {counts}")


def _task(options: argparse.Namespace, folder: str) -> Any:
    """Pictures not yet normalised, and what is right about them."""
    from scalecodec.eval import feature_tasks
    from scalecodec.eval.networks import fastestdet, squeezenet

    check_instances(options.task.split(":")[0], options.instances)
    every = 1 if options.every is None else options.every
    if options.instances is None:
        return feature_tasks.Classes(folder, every=every, preprocess=squeezenet.square)
    return feature_tasks.Boxes(folder, options.instances, every=every, preprocess=fastestdet.stretched)


def _with_task(model: Any, name: str, network: Any, number: int) -> Any:
    """The model, if it has that task, with the network's front half where it has no other."""
    from scalecodec.models import ScalableModel

    if not isinstance(model, ScalableModel) or not 0 <= number < len(model.tasks):
        raise ValueError(f"{name} has no task {number}")
    if len(model.tasks) == 1:
        model.attach([network])
    return model


def _anchors(options: argparse.Namespace) -> list[Any]:
    """Other codecs."""
    from scalecodec import eval as evaluation
    from scalecodec.eval import hevc

    rungs: list[Any] = []
    for name in filter(None, options.anchors.split(",")):
        rungs += hevc.ladder() if name == "hevc" else evaluation.anchors.ladder(name)
    return rungs
