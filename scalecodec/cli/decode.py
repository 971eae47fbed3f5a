"""scalecodec decode: a .scl file to a picture, or to what a network needs of it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .terminal import add_json, blaming, show


def _layers(text: str) -> str | int:
    return int(text) if text.isdecimal() else text


def _region(text: str) -> tuple[int, int, int, int]:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"wanted X,Y,W,H in pixels, got {text!r}") from None
    return x, y, width, height


def add_parts(parser: argparse.ArgumentParser, roi: str) -> None:
    """The options that name layers and a region, of which ``roi`` says what becomes."""
    parser.add_argument("--layers", type=_layers, default="all", help='"all", "base" or a number of layers')
    parser.add_argument("--roi", type=_region, metavar="X,Y,W,H", help=roi)


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("decode", help="decode a .scl file into a picture, or for a network")
    parser.add_argument("file", help=".scl file")
    parser.add_argument(
        "-o",
        "--output",
        help="the suffix names the format; default: the file's name with .png or .npy, if that is free",
    )
    add_parts(parser, "decode this rectangle only, in pixels")
    parser.add_argument(
        "--features",
        type=int,
        metavar="N",
        help="not the picture, but what goes into the back half of task N's network, from 0: a .npy file [1, C, h, w], "
        "h being ceil(H / stride), of which a network without padding has one or two less",
    )
    parser.add_argument("--lenient", action="store_true", help="decode what is left of a damaged file")
    parser.add_argument("-m", "--model", help="name or weight file, where the zoo does not have the file's model")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import codec, image

    blob = Path(options.file).read_bytes()
    inner = options.features is not None
    output = Path(options.output or Path(options.file).with_suffix(".npy" if inner else ".png"))
    if options.output is None and output.exists():  # most often the very picture that was encoded
        raise FileExistsError(f"{output} exists: name the output with -o to replace it")
    if inner:
        return _features(options, blob, output)
    with blaming(options.file):
        decoded = codec.decode_all(
            blob, layers=options.layers, roi=options.roi, strict=not options.lenient, model=options.model
        )
    image.write(output, decoded.picture)
    for fault in decoded.damaged:
        print(f"scalecodec: {options.file}: {fault}", file=sys.stderr)
    height, width, channels = decoded.picture.samples.shape
    result = {
        "output": str(output),
        "width": width,
        "height": height,
        "channels": channels,
        "bit_depth": decoded.header.bit_depth,
        "damaged": list(decoded.damaged),
    }
    show(options, result, f"{output}: {width} x {height}, {channels} channels of {result['bit_depth']} bits")


def _features(options: argparse.Namespace, blob: bytes, output: Path) -> None:
    import io

    import numpy as np

    from scalecodec import codec, container

    if options.layers != "all" or options.roi or options.lenient:
        raise ValueError(
            "--features are of the whole picture and of layers that are whole: no --layers, --roi, --lenient"
        )
    if output.suffix != ".npy":
        raise ValueError(f"features go into a .npy file, got {output}")
    with blaming(options.file):
        found = codec.features(blob, options.features, model=options.model)
    file = io.BytesIO()
    np.save(file, found.numpy(), allow_pickle=False)
    container.write_atomic(output, file.getvalue())
    shape = list(found.shape)
    show(options, {"output": str(output), "shape": shape}, f"{output}: float32 {shape}")
