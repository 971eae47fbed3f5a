"""scalecodec keep: part of a .scl file as a smaller one."""

from __future__ import annotations

import argparse
from pathlib import Path

from .decode import add_parts
from .terminal import add_json, blaming, show


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "keep",
        help="keep some layers, or the enhancement of a region, of a .scl file",
        description="Write a smaller .scl file of the same picture, to be sent instead: its first layers, and of those "
        "behind the base only what a region needs. Nothing is coded again.",
    )
    parser.add_argument("file", help=".scl file")
    parser.add_argument("-o", "--output", required=True, help="file to write")
    add_parts(parser, "enhance this rectangle only, in pixels")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import codec, container

    blob, output = Path(options.file).read_bytes(), Path(options.output)
    if output.exists() and output.samefile(options.file):
        raise ValueError(f"{output} is the file itself: what is not kept would be lost")
    with blaming(options.file):
        kept = codec.keep(blob, options.layers, options.roi)
    container.write_atomic(output, kept)
    result = {"output": options.output, "bytes": len(kept), "of_bytes": len(blob)}
    show(options, result, f"{options.output}: {len(kept)} of {len(blob)} bytes")
