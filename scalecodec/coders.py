"""Which model codes a picture or decodes a file, loaded once and known by its ids."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

from .container import Header
from .errors import BitstreamError
from .models import CompressionModel, load, name_of_id

ModelLike: TypeAlias = "str | os.PathLike[str] | CompressionModel"


@dataclass(frozen=True)
class Coder:
    """A model and its ids, taken once: hashing the weights costs more than coding a small picture."""

    model: CompressionModel
    model_id: bytes
    table_id: bytes


@lru_cache(maxsize=4)
def _loaded(name_or_path: str, _modified: int | None) -> Coder:
    model = load(name_or_path)
    return Coder(model, model.model_id(), model.table_id())


def coder_of(model: ModelLike) -> Coder:
    """The model itself, or loaded from the zoo or a weight file, which happens once; errors as of ``models.load``."""
    if isinstance(model, CompressionModel):
        return Coder(model, model.model_id(), model.table_id())
    path = os.fspath(model)
    # A weight file that changed on disk is another model.
    return _loaded(path, os.stat(path).st_mtime_ns if os.path.isfile(path) else None)


def coder_for(header: Header, model: ModelLike | None) -> Coder:
    """The model a file needs: ``model``, or the one of the zoo; BitstreamError where it is not the file's."""
    if model is None:
        model = name_of_id(header.model_id)
        if model is None:
            raise BitstreamError(f"this file needs model {header.model_id.hex()}, which the zoo does not have: name it")
    coder = coder_of(model)
    for kind, wanted, got in (
        ("model", header.model_id, coder.model_id),
        ("tables", header.table_id, coder.table_id),
    ):
        if wanted != got:
            raise BitstreamError(f"this file needs {kind} {wanted.hex()}, the model given has {got.hex()}")
    return coder
