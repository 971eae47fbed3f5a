"""The zoo: weights that ship with the package, by name or by the id that a stream carries."""

from __future__ import annotations

import os
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from .base import CompressionModel
from .weights import load_weights, read_metadata

_ZOO = Path(str(files("scalecodec") / "zoo"))


def zoo() -> dict[str, Path]:
    """Weight files in the package, by name."""
    return {path.stem: path for path in sorted(_ZOO.glob("*.safetensors"))}


def load(name_or_path: str | os.PathLike[str]) -> CompressionModel:
    """A trained model from the zoo, or from a weight file: on the CPU, in evaluation mode, ready to code.

    Raises
    ------
    ValueError
        The zoo has no such name and there is no such file.
    BitstreamError
        The file is damaged.
    """
    path = zoo().get(os.fspath(name_or_path), Path(name_or_path))
    if not path.is_file():
        raise ValueError(f"no weights named {os.fspath(name_or_path)!r}; the zoo has {', '.join(zoo())}")
    return load_weights(path)


@lru_cache(maxsize=1)
def _zoo_ids() -> dict[bytes, str]:
    return {bytes.fromhex(read_metadata(path)["model_id"]): name for name, path in zoo().items()}


def name_of_id(model_id: bytes) -> str | None:
    """Name in the zoo of the weights with this id; None where it has none such."""
    return _zoo_ids().get(model_id)
