"""scalecodec eval: rate and distortion over a folder, beside JPEG, WebP, JPEG 2000 and AVIF."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from .terminal import add_json, progress, show

_ANCHORS = ("jpeg", "webp", "jpeg2000", "avif")


def _gains(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted numbers with commas between them, got {text!r}") from None


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("eval", help="measure rate and distortion over a folder of pictures")
    parser.add_argument("folder", help="folder of 8-bit RGB pictures")
    parser.add_argument("-m", "--model", default="vbr-mean", help="name in the zoo or weight file")
    parser.add_argument("--gains", type=_gains, help="comma-separated gains (default: nine from 0.064 to 1)")
    parser.add_argument("--anchors", default=",".join(_ANCHORS), help="comma-separated, or empty for none")
    parser.add_argument("--no-ms-ssim", action="store_true", help="PSNR only")
    parser.add_argument("-o", "--output", help="folder for rows.csv, means.csv, results.json and psnr.png, ms_ssim.png")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import eval as evaluation
    from scalecodec.container import write_atomic

    ladder = evaluation.scalecodec_ladder(options.model, *([options.gains] if options.gains else []))
    label = ladder[0].label
    rungs = list(ladder)
    for anchor in filter(None, options.anchors.split(",")):
        rungs += evaluation.anchors.ladder(anchor)
    rows = evaluation.measure(
        evaluation.find_images(options.folder),
        rungs,
        ms_ssim=not options.no_ms_ssim,
        progress=lambda done, total, text: progress(done / total, text),
    )
    points = evaluation.mean_curve(rows)
    qualities = ["psnr"] if options.no_ms_ssim else ["psnr", "ms_ssim_db"]
    comparisons = [one for quality in qualities for one in evaluation.compare(rows, label, quality=quality)]
    text = evaluation.report.to_json(rows, points, comparisons)
    if options.output:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "rows.csv", evaluation.report.to_csv(rows).encode())
        write_atomic(folder / "means.csv", evaluation.report.to_csv(points).encode())
        write_atomic(folder / "results.json", text.encode())
        for quality in qualities:
            evaluation.report.plot(points, folder / f"{quality.removesuffix('_db')}.png", quality=quality)
    show(options, json.loads(text), evaluation.report.table(points, comparisons))
