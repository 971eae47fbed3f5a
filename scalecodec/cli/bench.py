"""scalecodec bench: what coding a symbol costs here, beside CompressAI and constriction where they are installed."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from .terminal import add_json, progress, show


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "bench",
        help="measure the entropy coder on this machine",
        description="Time the entropy coder on synthetic latents of three rates, every kernel set, one thread and all "
        "cores, beside CompressAI and constriction where they are installed. Every result is checked first.",
    )
    parser.add_argument("--symbols", type=int, help="symbols a call (default: 300000, with --quick 100000)")
    parser.add_argument("--quick", action="store_true", help="about 5 seconds in place of 30; noisier")
    parser.add_argument("-o", "--output", help="folder for bench.json and bench.png (needs matplotlib)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec import figures, speed
    from scalecodec.container import write_atomic

    plan = speed.QUICK if options.quick else speed.FULL
    if options.symbols is not None:
        plan = replace(plan, symbols=options.symbols)
    if options.output:  # what is missing shows before half a minute of measuring
        figures.blank(1, 1)
        Path(options.output).mkdir(parents=True, exist_ok=True)
    result = speed.measure(plan, progress)
    text = speed.report.to_json(result)
    if options.output:
        folder = Path(options.output)
        write_atomic(folder / "bench.json", text.encode())
        speed.report.plot(result, folder / "bench.png")
    show(options, json.loads(text), speed.report.table(result))
