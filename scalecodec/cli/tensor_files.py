"""Tensors in files: .npy, and .safetensors, which has bfloat16 and several tensors."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from scalecodec.container import write_atomic
from scalecodec.errors import BitstreamError


def read_tensors(paths: Iterable[str]) -> list[Any]:
    """The tensors of .npy files, one each, and of .safetensors files, all by name.

    Raises
    ------
    ValueError
        A file has another suffix.
    BitstreamError
        It is damaged.
    """
    return [tensor for path in paths for tensor in _read(path)]


def write_tensor(path: str, tensor: Any) -> None:
    """As .npy (bfloat16 has no such form) or .safetensors (under the name "tensor"), whole or not at all."""
    if path.endswith(".safetensors"):
        from safetensors.torch import save

        write_atomic(path, save({"tensor": tensor}))
        return
    if not path.endswith(".npy"):
        raise ValueError(f"wanted a name in .npy or .safetensors, got {path}")
    import numpy as np
    import torch

    if tensor.dtype is torch.bfloat16:
        raise ValueError(f"{path}: .npy has no bfloat16, name a .safetensors")
    buffer = io.BytesIO()
    np.save(buffer, tensor.numpy(), allow_pickle=False)
    write_atomic(path, buffer.getvalue())


def _read(path: str) -> list[Any]:
    if path.endswith(".safetensors"):
        from safetensors import SafetensorError
        from safetensors.torch import load

        try:
            return list(load(Path(path).read_bytes()).values())
        except SafetensorError as error:
            raise BitstreamError(f"{path}: {error}") from error
    if not path.endswith(".npy"):
        raise ValueError(f"wanted tensors in .npy or .safetensors, got {path}")
    import numpy as np

    try:
        return [np.load(path, allow_pickle=False)]
    except (ValueError, EOFError, BadZipFile) as error:
        raise BitstreamError(f"{path}: {error}") from error
