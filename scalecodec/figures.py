"""Drawing with matplotlib, which is asked for only here, without its global state, and saved whole or not at all."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from .atomic import write_atomic


def blank(width: float, height: float) -> Any:
    """An empty figure of so many inches.

    Raises
    ------
    ImportError
        matplotlib is missing; the message names the extras that bring it.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("a plot needs matplotlib: pip install 'scalecodec-core[demo]' (or [eval])") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Any, path: str | os.PathLike[str]) -> None:
    """Write ``figure`` in the format that the suffix names."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=Path(path).suffix.lower().removeprefix("."), dpi=150)
    write_atomic(path, buffer.getbuffer())
