"""The command line: ``scalecodec COMMAND``."""

from .main import main

__all__ = ["main"]
