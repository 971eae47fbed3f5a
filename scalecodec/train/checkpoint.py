"""Checkpoints: tensors in safetensors, scalars in JSON, no pickle; each file replaced whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save
from torch import nn

from scalecodec.atomic import write_atomic

_TENSORS, _SCALARS = "checkpoint.safetensors", "checkpoint.json"


def save_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer, scalars: dict[str, Any]) -> None:
    """Write weights, optimizer moments and ``scalars`` (JSON values, with ``step``) into ``folder``.

    The tensors' file carries the step too: a pair torn by a kill between the two writes is seen at resume.
    """
    tensors = {f"model.{name}": tensor.contiguous() for name, tensor in model.state_dict().items()}
    state = optimizer.state_dict()
    for key, moments in state["state"].items():
        for name, value in moments.items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value).contiguous()
    groups = [{name: value for name, value in group.items()} for group in state["param_groups"]]
    tensors["step"] = torch.tensor([scalars["step"]])
    write_atomic(folder / _TENSORS, save(tensors))
    write_atomic(folder / _SCALARS, json.dumps({**scalars, "param_groups": groups}, indent=1).encode())


def load_checkpoint(folder: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore what :func:`save_checkpoint` wrote and return its scalars; None where ``folder`` has no checkpoint.

    Raises
    ------
    ValueError
        The two files are of different steps.
    """
    if not (folder / _SCALARS).exists():
        return None
    scalars = json.loads((folder / _SCALARS).read_text())
    tensors = load_file(folder / _TENSORS)
    if int(tensors.pop("step")) != scalars["step"]:
        raise ValueError(f"{folder}: {_TENSORS} and {_SCALARS} are of different steps; restore one pair")
    model.load_state_dict({name[6:]: tensor for name, tensor in tensors.items() if name.startswith("model.")})
    moments: dict[int, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, key, moment = name.split(".", 2)
            moments.setdefault(int(key), {})[moment] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": scalars.pop("param_groups")})
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if value.shape == parameter.shape:
                # The file has no strides, and a fused optimizer walks memory: lay moments out as their parameter.
                state[name] = torch.empty_like(parameter).copy_(value)
    return scalars
