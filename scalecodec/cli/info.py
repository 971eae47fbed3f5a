"""scalecodec info: what a .scl file says of itself, without decoding it."""

from __future__ import annotations

import argparse
from pathlib import Path

from .terminal import add_json, blaming, show


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("info", help="show a .scl file's header and check its chunks")
    parser.add_argument("file", help=".scl file")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import container, models
    from scalecodec.gains import GAIN_TABLE

    blob = Path(options.file).read_bytes()
    with blaming(options.file):
        content = container.unpack(blob, strict=False)
    header = content.header
    result = {
        "bytes": len(blob),
        "width": header.width,
        "height": header.height,
        "channels": header.channels,
        "bit_depth": header.bit_depth,
        "bits_per_pixel": 8 * len(blob) / (header.width * header.height),
        "gain_index": header.gain_index,
        "gain": GAIN_TABLE[header.gain_index],
        "stream": header.stream.name,
        "model": models.name_of_id(header.model_id) or "not in the zoo",
        "model_id": header.model_id.hex(),
        "table_id": header.table_id.hex(),
        "layers": [[len(chunk) if chunk is not None else None for chunk in layer] for layer in content.layers],
        "tile": 1 << header.tile_log2,
        "ancillary": {
            {container.ALPHA: "alpha", container.ICC_PROFILE: "icc_profile"}[kind]: len(chunk)
            if chunk is not None
            else None
            for kind, chunk in content.ancillary.items()
        },
        "damaged": list(content.damaged),
    }
    show(options, result, "\n".join(f"{name:>14}  {value}" for name, value in result.items()))
