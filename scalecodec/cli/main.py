"""Argument parsing, and errors as one line and exit status 2."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import NoReturn

from scalecodec import __version__
from scalecodec.errors import ScalecodecError

from . import bench, decode, demo, encode, evaluate, features, info, keep, train, verify

_OUT_OF_MEMORY = re.compile("can't allocate memory|out of memory", re.IGNORECASE)  # torch has no type for both
_COMMANDS = (demo, encode, decode, keep, info, verify, train, evaluate, features, bench)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One line, where argparse would put the usage before it."""
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="scalecodec", description="Learned image coding on a fast entropy coder.")
    parser.add_argument("--version", action="version", version=f"scalecodec {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in _COMMANDS:
        command.add_parser(commands)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status: 0, or 2 for bad input (one line on standard error), 130 when interrupted."""
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has gone, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    except (ScalecodecError, ValueError, TypeError, OSError, ImportError, MemoryError) as error:
        return _failed(str(error) or type(error).__name__)
    except RuntimeError as error:
        if not _OUT_OF_MEMORY.search(str(error)):
            raise
        return _failed(f"not enough memory: {error}")
    return 0


def _failed(text: str) -> int:
    print(f"scalecodec: {' '.join(text.split())}", file=sys.stderr)
    return 2
