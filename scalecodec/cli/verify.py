"""scalecodec verify: whether a .scl file decodes alike in every way that this machine can compute."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .terminal import add_json, blaming, progress, show


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("verify", help="decode .scl files in every arithmetic there is here, and compare")
    parser.add_argument("files", nargs="+", metavar="FILE", help=".scl files")
    parser.add_argument("-m", "--model", help="name or weight file, where the zoo does not have the file's model")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec.errors import BitstreamError
    from scalecodec.text import columns
    from scalecodec.verify import verify

    found: dict[str, list[Any]] = {}
    for at, name in enumerate(options.files):
        progress(at / len(options.files), name)
        with blaming(name):
            found[name] = verify(Path(name).read_bytes(), options.model)
    progress(1, "")
    head = ("arithmetic", "latents", "samples that differ", "by at most", "file")
    lines = [
        (
            one.arithmetic,
            one.error or ("equal" if one.same else f"{one.latents_differ} differ"),
            f"{one.samples_differ:.2e}",
            str(one.largest),
            name,
        )
        for name, verdicts in found.items()
        for one in verdicts
    ]
    result = {name: [{**asdict(one), "same": one.same} for one in verdicts] for name, verdicts in found.items()}
    show(options, result, columns([head, *lines]))
    others = [one for verdicts in found.values() for one in verdicts if not one.same]
    if others:
        total = sum(map(len, found.values()))
        raise BitstreamError(f"{len(others)} of {total} decodings are not the plain one's: {others[0].arithmetic}")
