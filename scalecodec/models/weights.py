"""Weight files: safetensors with everything a decoder must share, tables included, and the ids that streams carry.

Convolution kernels are stored as float16, all else as it is. A table row is stored without its padding and its ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from scalecodec.atomic import write_atomic
from scalecodec.entropy_models import (
    EXPONENTS,
    MAX_TABLE_ENTRIES,
    TABLE_BUFFERS,
    EntropyBottleneck,
    EntropyModel,
    GaussianConditional,
    SteppedBottleneck,
)
from scalecodec.errors import BitstreamError

from .base import CompressionModel
from .classes import create, name_of
from .rate_model import RateModel

_FORMAT = "scalecodec-weights-1"
_CDF, _LENGTH = "_quantized_cdf", "_cdf_length"
_SIZED_BY_WEIGHTS = (*TABLE_BUFFERS, "scale_table", "offset_table")
_MAX_CHANNELS = 640  # twice that of any published model of this kind
# What files did not say before there was a choice.
_BEFORE = {"frequency": {"stages": 3}, "scalable": {"unpacked": 0}}
_MAX_PARAMETERS = 160_000_000  # what a hostile file can ask for stays below 1 GB


def freeze(model: CompressionModel) -> None:
    """Fill the tables, make the integer form and round the kernels to what the file stores: from here on the model is
    its own file.
    """
    model.eval()
    model.update(force=True, update_quantiles=True)
    for module in model.modules():
        if isinstance(module, RateModel):
            module.make_integers()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 4:
                parameter.copy_(parameter.half())


def save_weights(model: CompressionModel, path: str | os.PathLike[str]) -> None:
    """Write a frozen model (:func:`freeze`); the file is replaced whole or not at all.

    Raises
    ------
    ValueError
        The model is not frozen, has a weight that the file cannot hold, or is of no known class or size.
    """
    metadata = {
        "format": _FORMAT,
        "model": name_of(model),
        "config": json.dumps(_checked_config(model.config())),
        **{name: value.hex() for name, value in model.ids().items()},
    }
    state = model.state_dict()
    tensors = {}
    for name, tensor in state.items():
        stored = tensor.to(_stored_dtype(tensor))
        if not torch.equal(stored.to(tensor.dtype), tensor) or not bool(stored.isfinite().all()):
            raise ValueError(f"{name} is not finite, or not what the file would hold: freeze the model first")
        if name.endswith(_CDF):
            stored = _packed_rows(tensor, state[name.removesuffix(_CDF) + _LENGTH])
        tensors[name] = stored.contiguous()
    write_atomic(path, _in_order(save(tensors, metadata)))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """The file's ``format``, ``model``, ``config`` (JSON), ``model_id`` and other ids (hex), weights unread.

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
        config = _BEFORE.get(metadata["model"], {}) | _checked_config(json.loads(metadata["config"]))
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        check_sizes(metadata["model"], config)
        model = create(metadata["model"], **config)
        _check_form(tensors, model.state_dict())
        model.load_state_dict(_unpacked(tensors))
        _check_values(model)
        ids = {name: value.hex() for name, value in model.ids().items()}
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise BitstreamError(f"{os.fspath(path)}: damaged weight file: {error}") from error
    if missing := ids.keys() - metadata.keys():
        raise BitstreamError(f"{os.fspath(path)}: of another version: it has no {', '.join(sorted(missing))}")
    if ids != {name: metadata[name] for name in ids}:
        raise BitstreamError(f"{os.fspath(path)}: damaged weight file: its ids are {ids}, not what it says")
    return model.eval()


def _in_order(file: bytes) -> bytes:
    """The same file with its metadata sorted: safetensors writes them in an order that differs from call to call."""
    start = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:start])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[start:]


def _stored_dtype(tensor: Tensor) -> torch.dtype:
    if not tensor.is_floating_point():
        return tensor.dtype
    return torch.float16 if tensor.dim() == 4 else torch.float32


def _check_form(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Every tensor of the file has the shape and type that the model stores: copying it in would cast others."""
    if tensors.keys() != expected.keys():
        raise ValueError(f"missing or unknown tensors: {', '.join(sorted(tensors.keys() ^ expected.keys()))}")
    for name, tensor in tensors.items():
        dtype = torch.uint16 if name.endswith(_CDF) else _stored_dtype(expected[name])
        shape = (tensor.numel(),) if name.endswith(_SIZED_BY_WEIGHTS) else tuple(expected[name].shape)
        if tensor.dtype != dtype or tuple(tensor.shape) != shape:
            raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, wanted {dtype} {shape}")


def _check_values(model: CompressionModel) -> None:
    """What a file with the right ids may still get wrong, if it means harm: NaN, and scales that fit no table."""
    for name, tensor in model.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise ValueError(f"{name} is not finite")
    for module in model.modules():
        wanted = None
        if isinstance(module, EntropyBottleneck):
            wanted = module.num_tables
        elif isinstance(module, GaussianConditional):
            scales = module.scale_table
            wanted = scales.numel()
            if not bool((scales > 0).all() and (scales.diff() > 0).all()):
                raise ValueError("the scale table must ascend from above 0")
        if isinstance(module, EntropyModel) and module.table.num_tables != wanted:
            raise ValueError(f"{module.table.num_tables} coding tables, wanted {wanted}")
        if isinstance(module, RateModel):
            module.check_parts()
        if isinstance(module, SteppedBottleneck) and not bool(
            ((module.exponents >= EXPONENTS[0]) & (module.exponents <= EXPONENTS[-1])).all()
        ):
            raise ValueError(f"exponents of steps must lie in [{EXPONENTS[0]}, {EXPONENTS[-1]}]")


def _checked_config(config: Any) -> dict[str, int]:
    if not isinstance(config, dict) or not all(type(n) is int and 0 < n <= _MAX_CHANNELS for n in config.values()):
        raise ValueError(f"config must hold sizes from 1 to {_MAX_CHANNELS}, got {config!r}")
    return config


def check_sizes(name: str, config: dict[str, int]) -> None:
    """ValueError where no file would hold a model of these sizes; nothing of its size is allocated."""
    try:
        with torch.device("meta"):
            model = create(name, **config)
    except RuntimeError as error:  # a tensor of more elements than can be counted
        raise ValueError(f"no model has sizes {config}: {error}") from error
    _checked_config(model.config())
    count = sum(parameter.numel() for parameter in model.parameters())
    if count > _MAX_PARAMETERS:
        raise ValueError(f"{count} parameters, of which at most {_MAX_PARAMETERS} are allowed")


def _packed_rows(cdf: Tensor, length: Tensor) -> Tensor:
    """uint16: the rows' inner entries end to end. The first entry is always 0 and the last always 65536."""
    return torch.cat([row[1 : n - 1] for row, n in zip(cdf, length.tolist(), strict=True)]).to(torch.uint16)


def _unpacked(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    state = {name: tensor.float() if tensor.dtype == torch.float16 else tensor for name, tensor in tensors.items()}
    for name in [name for name in state if name.endswith(_CDF)]:
        lengths = state[name.removesuffix(_CDF) + _LENGTH].tolist()
        if min(lengths, default=0) < 2:
            raise ValueError(f"{name}: a table needs at least one symbol")
        if len(lengths) * max(lengths) > MAX_TABLE_ENTRIES:
            raise ValueError(f"{name}: {len(lengths)} tables of up to {max(lengths)} entries are too many")
        inner = state[name].to(torch.int32).split([n - 2 for n in lengths])
        cdf = torch.zeros(len(lengths), max(lengths), dtype=torch.int32)
        for row, values, n in zip(cdf, inner, lengths, strict=True):
            row[1 : n - 1] = values
            row[n - 1] = 1 << 16
        state[name] = cdf
    return state
