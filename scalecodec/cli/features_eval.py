"""scalecodec features eval: a task network's accuracy over the bits of what crosses its splits, codec by codec."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from .terminal import add_json, progress, show


def _list(text: str) -> tuple[str, ...]:
    found = tuple(filter(None, text.split(",")))
    if not found:
        raise argparse.ArgumentTypeError(f"wanted names with commas between them, got {text!r}")
    return found


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "eval",
        help="measure a task network's accuracy over the bits an element of what crosses its splits",
        description="Code the tensors inside a task network at several bits an element, with this package's codec and "
        "with others, and measure what the network still gets right.",
    )
    parser.add_argument("network", choices=("squeezenet", "fastestdet"), help="classes (top-1) or boxes (AP)")
    parser.add_argument("weights", help="its safetensors file")
    parser.add_argument("pictures", help="folder of test pictures; for squeezenet NNNN.jpg is of class NNNN")
    parser.add_argument(
        "--calibration",
        required=True,
        metavar="FOLDER",
        help="other pictures, from which ranges, quantizers and tables are found",
    )
    parser.add_argument(
        "--calibrate-with", type=int, default=40, metavar="N", help="pictures taken from that folder (default: 40)"
    )
    parser.add_argument("--instances", metavar="JSON", help="for fastestdet: COCO's annotations of the pictures")
    parser.add_argument("--splits", type=_list, help="comma-separated names of layers (default: the network's usual)")
    parser.add_argument(
        "--codecs",
        type=_list,
        help="comma-separated, of none, linear8, linear8-zlib, uniform-full, uniform-clipped, ecsq-static, "
        "ecsq-context, jpeg and hevc, which needs PyAV (default: all that can run here)",
    )
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th test picture")
    parser.add_argument("-o", "--output", help="folder for rows.csv, summary.csv, results.json and accuracy.png")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import figures
    from scalecodec.container import write_atomic
    from scalecodec.eval import feature_accuracy, feature_report, feature_summary, feature_tasks

    if Path(options.calibration).resolve() == Path(options.pictures).resolve():
        raise ValueError(f"{options.calibration}: calibration wants other pictures than the test's")
    if options.output:  # what is missing shows before the measuring
        figures.blank(1, 1)
        Path(options.output).mkdir(parents=True, exist_ok=True)
    network, preprocess, task = _network(options)
    chosen = feature_tasks.calibration_pictures(options.calibration, options.calibrate_with)
    rows = feature_accuracy.measure(
        network,
        task,
        feature_tasks.pictures(chosen, preprocess),
        options.splits or feature_accuracy.SPLITS[options.network],
        options.codecs,
        progress=progress,
    )
    reaches = feature_summary.summary(rows)
    text = feature_report.to_json(rows, reaches)
    if options.output:
        folder = Path(options.output)
        write_atomic(folder / "rows.csv", feature_report.to_csv(rows).encode())
        write_atomic(folder / "summary.csv", feature_report.to_csv(reaches).encode())
        write_atomic(folder / "results.json", text.encode())
        if len({row.codec for row in rows}) > 1:
            feature_report.plot(rows, folder / "accuracy.png", title=f"{options.network}, {len(task)} pictures")
    show(options, json.loads(text), f"{feature_report.table(rows)}\n\n{feature_report.summary_table(reaches)}")


def check_instances(network: str, instances: str | None) -> None:
    """ValueError unless annotations are given for boxes, and for boxes only."""
    if (instances is None) == (network == "fastestdet"):
        raise ValueError("fastestdet needs --instances, COCO's annotations of the pictures, and squeezenet takes none")


def _network(options: argparse.Namespace) -> tuple[Any, Any, Any]:
    """The network, what makes its inputs, and its task."""
    from scalecodec.eval import feature_tasks
    from scalecodec.eval.networks import fastestdet, squeezenet

    check_instances(options.network, options.instances)
    if options.network == "squeezenet":
        return (
            squeezenet.load(options.weights),
            squeezenet.preprocess,
            feature_tasks.Classes(options.pictures, every=options.every),
        )
    task = feature_tasks.Boxes(options.pictures, options.instances, every=options.every)
    return fastestdet.load(options.weights), fastestdet.preprocess, task
