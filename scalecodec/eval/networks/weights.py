"""Weights of other people's networks: a safetensors file of a state dict into a module of the same names."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from scalecodec.errors import BitstreamError

Network = TypeVar("Network", bound=nn.Module)


def filled(network: Network, path: str | os.PathLike[str]) -> Network:
    """The network itself with a file's weights (half floats widened), in evaluation mode, without gradients.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    BitstreamError
        It is no safetensors file, or holds a value that is not finite.
    ValueError
        It holds the weights of another network: a name or a shape differs.
    """
    name = os.fspath(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"{name}: no such weight file")
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise BitstreamError(f"{name}: not a safetensors file ({error})") from error
    ours = network.state_dict()
    if wrong := sorted(ours.keys() ^ weights.keys()):
        raise ValueError(f"{name}: weights of another network: missing or unknown {', '.join(wrong[:5])}")
    for key, value in weights.items():
        if value.shape != ours[key].shape:
            raise ValueError(f"{name}: {key} is {tuple(value.shape)}, wanted {tuple(ours[key].shape)}")
        if not bool(value.isfinite().all()):
            raise BitstreamError(f"{name}: {key} holds a value that is not finite")
    network.load_state_dict(weights)
    return network.eval().requires_grad_(False)
