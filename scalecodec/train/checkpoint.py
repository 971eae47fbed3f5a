"""Checkpoints: one safetensors file, the scalars as JSON in its metadata; no pickle; replaced whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor, nn

from scalecodec.atomic import write_atomic
from scalecodec.errors import BitstreamError

NAME = "checkpoint.safetensors"

Optimizers = Sequence[torch.optim.Optimizer]


def save_checkpoint(folder: Path, model: nn.Module, optimizers: Optimizers, scalars: dict[str, Any]) -> None:
    """Write weights, the optimizers' moments and ``scalars`` (JSON values) into ``folder``."""
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    groups = []
    for place, optimizer in enumerate(optimizers):
        state = optimizer.state_dict()
        groups.append(state["param_groups"])
        for key, moments in state["state"].items():
            for name, value in moments.items():
                tensors[f"optimizer.{place}.{key}.{name}"] = torch.as_tensor(value).contiguous()
    write_atomic(folder / NAME, save(tensors, {"scalars": json.dumps({**scalars, "param_groups": groups})}))


def read_scalars(folder: Path) -> dict[str, Any] | None:
    """The scalars that :func:`save_checkpoint` wrote, tensors unread; None where ``folder`` has no checkpoint.

    Raises
    ------
    BitstreamError
        The file is damaged.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["scalars"])
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise BitstreamError(f"{path}: damaged checkpoint: {error}") from error


def load_checkpoint(folder: Path, model: nn.Module, optimizers: Optimizers, scalars: dict[str, Any]) -> None:
    """Restore the tensors that :func:`save_checkpoint` wrote beside ``scalars``; ValueError where they are of another
    form of the model.
    """
    tensors = load_file(folder / NAME)
    try:
        model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    except RuntimeError as error:
        raise ValueError(f"{folder} holds a run of another form of this model: {error}") from error
    for place, (optimizer, groups) in enumerate(zip(optimizers, scalars["param_groups"], strict=True)):
        _load_moments(optimizer, groups, tensors, f"optimizer.{place}.")


def _load_moments(
    optimizer: torch.optim.Optimizer, groups: list[dict[str, Any]], tensors: dict[str, Tensor], prefix: str
) -> None:
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith(prefix):
            key, moment = name.removeprefix(prefix).split(".", 1)
            moments.setdefault(int(key), {})[moment] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": groups})
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                # The file has no strides, and a fused optimizer walks memory: lay moments out as their parameter.
                state[name] = torch.empty_like(parameter).copy_(value)
