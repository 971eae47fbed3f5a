"""What commands print: a result as text or JSON, and progress on a terminal."""

from __future__ import annotations

import argparse
import json
import sys
import time
from typing import Any


def add_json(parser: argparse.ArgumentParser) -> None:
    """The ``--json`` switch that every command has."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def show(options: argparse.Namespace, result: Any, text: str) -> None:
    """Print ``result`` as JSON where that was asked for, else ``text``."""
    print(json.dumps(result, indent=1) if options.json else text)


def progress(done: float, text: str) -> None:
    """Redraw one line on standard error: ``done`` in [0, 1]; silent where that is no terminal."""
    if not sys.stderr.isatty():
        return
    filled = int(24 * min(1.0, done))
    end = "\n" if done >= 1 else ""
    sys.stderr.write(f"\r\x1b[K[{'#' * filled}{'.' * (24 - filled)}] {100 * done:3.0f} %  {text}{end}")
    sys.stderr.flush()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds."""
    return time.strftime("%H:%M:%S", time.gmtime(max(0.0, seconds)))
