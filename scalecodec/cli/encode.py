"""scalecodec encode: a picture to a .scl file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from .terminal import add_json, show


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("encode", help="code a picture into a .scl file")
    parser.add_argument("picture", help="PNG (8 or 16 bits), JPEG, WebP, AVIF, JPEG 2000, TIFF, BMP, ...")
    parser.add_argument("-o", "--output", help="default: the picture's name with .scl")
    rate = parser.add_mutually_exclusive_group()
    rate.add_argument("-q", "--quality", type=int, help="0 (smallest) to 100 (best); default 50")
    rate.add_argument("-g", "--gain", type=float, help="1 / quantizer step, 0.0632 to 1")
    rate.add_argument("-b", "--target-bytes", type=int, help="largest file not above this many bytes")
    parser.add_argument("--tile", type=int, help="side of what decodes alone, 64 to 2048 pixels (default: 1024)")
    parser.add_argument("-m", "--model", default=None, help="name in the zoo or weight file (default: vbr-mean)")
    parser.add_argument(
        "--task",
        action="append",
        default=[],
        metavar="NAME:WEIGHTS:LAYER",
        help="network whose features the model's encoder sees, as in squeezenet:FILE:features.5 (disentangled)",
    )
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import codec, container, image

    picture = image.read(options.picture)
    output = Path(options.output or Path(options.picture).with_suffix(".scl"))
    if output.exists() and output.samefile(options.picture):
        raise ValueError(f"{output} is the picture itself: name another output with -o")
    blob = codec.encode(
        picture,
        _model(options),
        quality=options.quality,
        gain=options.gain,
        target_bytes=options.target_bytes,
        tile=options.tile,
    )
    container.write_atomic(output, blob)
    height, width = picture.samples.shape[:2]
    gain_index = container.unpack(blob).header.gain_index
    result = {
        "output": str(output),
        "bytes": len(blob),
        "bits_per_pixel": 8 * len(blob) / (height * width),
        "width": width,
        "height": height,
        "gain_index": gain_index,
    }
    show(options, result, f"{output}: {len(blob)} bytes, {result['bits_per_pixel']:.3f} bits per pixel")


def _model(options: argparse.Namespace) -> Any:
    from scalecodec import codec, models

    name = options.model or codec.DEFAULT_MODEL
    model = models.load(name)
    if isinstance(model, models.DisentangledModel) and not model.blind:
        if not options.task:
            raise ValueError(f"the encoder of {name} sees a network's features: name the network with --task")
        from scalecodec.eval.task_networks import named

        model.attach([named(text) for text in options.task])
    elif options.task:
        raise ValueError(f"the encoder of {name} sees no network's features, got --task {options.task[0]}")
    return model
