"""Weight files: safetensors with everything a decoder must share, tables included, and the ids that streams carry.

Convolution kernels are stored as float16, all else as it is. A table row is stored without its padding and its ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..atomic import write_atomic
from ..errors import BitstreamError
from .base import CompressionModel
from .classes import MODELS, create, name_of

_FORMAT = "scalecodec-weights-1"
_CDF, _LENGTH = "_quantized_cdf", "_cdf_length"
_MAX_CHANNELS = 4096


def freeze(model: CompressionModel) -> None:
    """Round the kernels to what the file stores, then fill the tables: from here on the model is its own file."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.copy_(parameter.half())
    model.eval()
    model.update(force=True, update_quantiles=True)


def save_weights(model: CompressionModel, path: str | os.PathLike[str]) -> None:
    """Write a frozen model (:func:`freeze`); the file is replaced whole or not at all."""
    state = model.state_dict()
    tensors = {}
    for name, tensor in state.items():
        if name.endswith(_CDF):
            tensor = _packed_rows(tensor, state[name.removesuffix(_CDF) + _LENGTH])
        elif tensor.dim() == 4:
            tensor = tensor.half()
        tensors[name] = tensor.contiguous()
    metadata = {
        "format": _FORMAT,
        "model": name_of(model),
        "config": json.dumps(model.config()),
        "model_id": model.model_id().hex(),
        "table_id": model.table_id().hex(),
    }
    write_atomic(path, save(tensors, metadata))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The file's ``format``, ``model``, ``config`` (JSON), ``model_id`` and ``table_id`` (hex), weights unread.

    Raises
    ------
    BitstreamError
        No weight file, or a damaged one.
    OSError
        There is no such file.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"{os.fspath(path)}: no such weight file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except SafetensorError as error:
        raise BitstreamError(f"{os.fspath(path)}: not a safetensors file ({error})") from error
    missing = {"format", "model", "config", "model_id", "table_id"} - metadata.keys()
    if missing or metadata["format"] != _FORMAT:
        raise BitstreamError(f"{os.fspath(path)}: no weights of scalecodec (wanted format {_FORMAT})")
    return metadata


def load_weights(path: str | os.PathLike[str]) -> CompressionModel:
    """The model a weight file holds, on the CPU, in evaluation mode, its ids checked.

    Raises
    ------
    BitstreamError
        The file is damaged: unreadable, of other shapes than it says, with values not finite, or not of its ids.
    """
    metadata = read_metadata(path)
    try:
        model = create(metadata["model"], **_checked_config(metadata))
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        model.load_state_dict(_unpacked(tensors))
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BitstreamError(f"{os.fspath(path)}: damaged weight file: {error}") from error
    if not all(bool(tensor.isfinite().all()) for tensor in model.state_dict().values()):
        raise BitstreamError(f"{os.fspath(path)}: damaged weight file: weights that are not finite")
    ids = (model.model_id().hex(), model.table_id().hex())
    if ids != (metadata["model_id"], metadata["table_id"]):
        raise BitstreamError(f"{os.fspath(path)}: damaged weight file: its ids are {ids}, not what it says")
    return model.eval()


def _checked_config(metadata: Mapping[str, str]) -> dict[str, int]:
    if metadata["model"] not in MODELS:
        raise ValueError(f"unknown model {metadata['model']!r}")
    config = json.loads(metadata["config"])
    if not isinstance(config, dict) or not all(type(n) is int and 0 < n <= _MAX_CHANNELS for n in config.values()):
        raise ValueError(f"config must hold sizes from 1 to {_MAX_CHANNELS}, got {config!r}")
    return config


def _packed_rows(cdf: Tensor, length: Tensor) -> Tensor:
    """uint16: the rows' inner entries end to end. The first entry is always 0 and the last always 65536."""
    return torch.cat([row[1 : n - 1] for row, n in zip(cdf, length.tolist(), strict=True)]).to(torch.uint16)


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}
    for name in [name for name in state if name.endswith(_CDF)]:
        lengths = state[name.removesuffix(_CDF) + _LENGTH].tolist()
        if min(lengths, default=0) < 2:
            raise ValueError(f"{name}: a table needs at least one symbol")
        inner = state[name].to(torch.int32).split([n - 2 for n in lengths])
        cdf = torch.zeros(len(lengths), max(lengths), dtype=torch.int32)
        for row, values, n in zip(cdf, inner, lengths, strict=True):
            row[1 : n - 1] = values
            row[n - 1] = 1 << 16
        state[name] = cdf
    return state
