"""scalecodec eval: rate and distortion over a folder, beside JPEG, WebP, JPEG 2000 and AVIF."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from scalecodec.gains import nearest_gain_index

from . import evaluate_scalable
from .terminal import add_json, progress, show

_ANCHORS = ("jpeg", "webp", "jpeg2000", "avif")


def _gains(text: str) -> tuple[float, ...]:
    try:
        gains = tuple(dict.fromkeys(float(part) for part in text.split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted numbers with commas between them, got {text!r}") from None
    try:
        for gain in gains:
            nearest_gain_index(gain)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return gains


def _single(text: str) -> tuple[str, float]:
    path, separator, gain = text.rpartition("=")
    try:
        if separator:
            nearest_gain_index(float(gain))
            return path, float(gain)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"wanted FILE=GAIN, got {text!r}")


def _beside(text: str) -> tuple[str, str]:
    label, separator, path = text.partition("=")
    if not separator or not label:
        raise argparse.ArgumentTypeError(f"wanted LABEL=FILE, got {text!r}")
    return label, path


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("eval", help="measure rate and distortion over a folder of pictures")
    parser.add_argument(
        "what",
        nargs="+",
        metavar="[vbr | scalable] FOLDER",
        help="folder of 8-bit RGB pictures; with vbr before it, the model without each of its parts, and what the next "
        "three options name, stand beside it instead of other codecs; with scalable, it is a model with a task, whose "
        "accuracy is measured, too",
    )
    evaluate_scalable.add_options(parser)
    parser.add_argument(
        "--single",
        type=_single,
        action="append",
        default=[],
        metavar="FILE=GAIN",
        help="with vbr: a weight file and the gain it was trained for; may be given several times",
    )
    parser.add_argument(
        "--beside",
        type=_beside,
        action="append",
        default=[],
        metavar="LABEL=FILE",
        help="with vbr or scalable: other weights at the same gains, as those before post-training, or with scalable "
        "of a model of one layer, or of one with the same task; may be given several times",
    )
    parser.add_argument(
        "--published",
        action="store_true",
        help="with vbr, where FOLDER is Kodak: the curve of the full-size model that CompressAI published",
    )
    parser.add_argument("-m", "--model", default="vbr-mean", help="name in the zoo or weight file")
    parser.add_argument("--gains", type=_gains, help="comma-separated gains (default: nine from 0.064 to 1)")
    parser.add_argument("--anchors", help=f"comma-separated, or empty for none (default: {','.join(_ANCHORS)})")
    parser.add_argument("--no-ms-ssim", action="store_true", help="PSNR only")
    parser.add_argument("-o", "--output", help="folder for tables and plots")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import eval as evaluation
    from scalecodec.container import write_atomic

    *kind, pictures = options.what
    if not kind and pictures in ("vbr", "scalable") and not Path(pictures).is_dir():
        raise ValueError(f"eval {pictures} wants a FOLDER behind it")
    _refuse_others(options, kind)
    options.anchors = ",".join(_ANCHORS) if options.anchors is None else options.anchors
    if kind == ["scalable"]:
        return evaluate_scalable.run(options, pictures)
    if kind not in ([], ["vbr"]):
        raise ValueError(f"wanted FOLDER or vbr FOLDER or scalable FOLDER, got {' '.join(options.what)}")
    images = evaluation.find_images(pictures)
    rungs = _vbr_rungs(options) if kind else _codec_rungs(options)
    label = rungs[0].label
    rows = evaluation.measure(
        images,
        rungs,
        ms_ssim=not options.no_ms_ssim,
        progress=lambda done, total, text: progress(done / total, text),
    )
    points = evaluation.mean_curve(rows)
    qualities = ["psnr"] if options.no_ms_ssim else ["psnr", "ms_ssim_db"]
    comparisons = [one for quality in qualities for one in evaluation.compare(rows, label, quality=quality)]
    result = json.loads(evaluation.report.to_json(rows, points, comparisons))
    text = evaluation.report.table(points, comparisons)
    if kind:
        parts = evaluation.variants.worth(points, rungs, images)
        result["parts"], text = parts, f"{text}\n\n{_text_of(parts)}"
    if kind and options.published:
        theirs = _published(options)
        found = evaluation.distances([point for point in points if point.label == label], theirs)
        result["above_published_db"] = {f"{rate:g}": distance for rate, distance in found.items()}
        text += "".join(f"\nagainst {theirs[0].label}: {dB:+.2f} dB at {rate:g} bpp" for rate, dB in found.items())
        points += theirs
    if options.output:
        folder = Path(options.output)
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(folder / "rows.csv", evaluation.report.to_csv(rows).encode())
        write_atomic(folder / "means.csv", evaluation.report.to_csv(points).encode())
        write_atomic(folder / "results.json", json.dumps(result, indent=1, allow_nan=False).encode())
        for quality in qualities:
            evaluation.report.plot(points, folder / f"{quality.removesuffix('_db')}.png", quality=quality)
    show(options, result, text)


def _refuse_others(options: argparse.Namespace, kind: list[str]) -> None:
    """ValueError for an option that this kind of evaluation would not look at."""
    for name, kinds in (
        *((name, ["scalable"]) for name in ("task", "number", "instances", "every")),
        *((name, ["vbr"]) for name in ("single", "published")),
        ("beside", ["vbr", "scalable"]),
        ("no_ms_ssim", ["vbr", ""]),
        ("anchors", ["scalable", ""]),
    ):
        value = getattr(options, name)
        given = value is not None and value is not False and value != []
        if given and not set(kind or [""]) & set(kinds):
            wanted = " or ".join(f"eval {one}".rstrip() for one in kinds)
            raise ValueError(f"--{name.replace('_', '-')} is for {wanted}")


def _codec_rungs(options: argparse.Namespace) -> list[Any]:
    """Our ladder, and those of other codecs."""
    from scalecodec import eval as evaluation

    rungs = list(evaluation.scalecodec_ladder(options.model, *([options.gains] if options.gains else [])))
    for anchor in filter(None, options.anchors.split(",")):
        rungs += evaluation.anchors.ladder(anchor)
    return rungs


def _vbr_rungs(options: argparse.Namespace) -> list[Any]:
    """The model's ladder, those of it without each part and of other weights, and models of one rate."""
    from scalecodec import models
    from scalecodec.eval import scalecodec_ladder, variants
    from scalecodec.eval.ladder import DEFAULT_GAINS

    model = models.load(options.model)
    gains = options.gains or DEFAULT_GAINS
    rungs = list(scalecodec_ladder(model, gains, Path(options.model).stem))
    for label, variant in variants.variants(model).items():
        rungs += scalecodec_ladder(variant, gains, label)
    for label, path in options.beside:
        rungs += scalecodec_ladder(models.load(path), gains, label)
    return rungs + list(variants.single_rates(options.single))


def _published(options: argparse.Namespace) -> list[Any]:
    """The curve of the full-size model of the kind."""
    from scalecodec import eval as evaluation
    from scalecodec import models
    from scalecodec.models.classes import name_of

    return evaluation.published_curve(name_of(models.load(options.model)))


def _text_of(parts: dict[str, Any]) -> str:
    lines = [
        f"BD-rate by thirds of the range, against {anchor}: {', '.join(f'{value:+.2f} %' for value in values)}"
        for anchor, values in parts["thirds"].items()
    ]
    for label, sizes in parts["hyper_bytes"].items():
        ends = ", ".join(f"{count:.0f} at gain {gain}" for gain, count in sizes.items())
        lines.append(f"bytes of hyper-latents a picture, {label}: {ends}")
    return "\n".join(lines)
