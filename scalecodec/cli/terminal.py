"""What commands print: a result as text or JSON, and progress on a terminal."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scalecodec.errors import BitstreamError


@contextmanager
def blaming(path: str) -> Iterator[None]:
    """Put the file's name before what is wrong with its content."""
    try:
        yield
    except BitstreamError as error:
        raise BitstreamError(f"{path}: {error}") from error


def add_json(parser: argparse.ArgumentParser) -> None:
    """The ``--json`` switch that every command has."""
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def show(options: argparse.Namespace, result: Any, text: str) -> None:
    """Print ``result`` as JSON where that was asked for, else ``text``."""
    print(json.dumps(_finite(result), indent=1, allow_nan=False) if options.json else text)


def _finite(value: Any) -> Any:
    """JSON has no infinity, which is what the PSNR of two equal pictures is: null."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def progress(done: float, text: str) -> None:
    """Redraw one line on standard error: ``done`` in [0, 1]; silent where that is no terminal."""
    if not sys.stderr.isatty():
        return
    filled = int(24 * min(1.0, done))
    end = "\n" if done >= 1 else ""
    sys.stderr.write(f"\r\x1b[K[{'#' * filled}{'.' * (24 - filled)}] {100 * done:3.0f} %  {text}{end}")
    sys.stderr.flush()


def clock(seconds: float) -> str:
    """Hours, minutes and seconds; a day is 24 hours more."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest:02}"
