"""Weights to begin a training run from."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from scalecodec.entropy_models import TABLE_BUFFERS
from scalecodec.errors import BitstreamError
from scalecodec.models import CompressionModel, load, zoo

# What a run fills at its end, and what CompressAI's models have besides.
_MADE_LATER = (*TABLE_BUFFERS, "scale_table", "scale_bound", "offset_table", "exponents")
_NOT_OURS = ("Gain", "QuantOffset", "lower_bound_zqstep.bound")


def begin_from(model: CompressionModel, name_or_path: str) -> None:
    """Copy weights into a new model: a name in the zoo, a weight file, or a safetensors file of a state dict.

    What follows the rate (offsets, step of the hyper-latent) may be missing there, and begins without effect: a model
    of one rate becomes one of all.

    Raises
    ------
    ValueError
        The weights are of another model or size, or there is no such file.
    BitstreamError
        The file is damaged.
    """
    theirs, ours = _weights(name_or_path), model.state_dict()
    wanted = {name for name in ours if not name.endswith(_MADE_LATER)}
    given = {name for name in theirs if not name.endswith((*_MADE_LATER, *_NOT_OURS))}
    optional = {name for name in wanted if name.startswith(("QuantABCD.", "gayn2zqstep.", "scale_to_context."))}
    if wrong := sorted((given ^ wanted) - optional):
        raise ValueError(f"{name_or_path}: weights of another model: missing or unknown {', '.join(wrong[:5])}")
    with torch.no_grad():
        for name in sorted(given):
            if theirs[name].shape != ours[name].shape:
                raise ValueError(
                    f"{name_or_path}: {name} is {tuple(theirs[name].shape)}, wanted {tuple(ours[name].shape)}"
                )
            ours[name].copy_(theirs[name])


def _weights(name_or_path: str) -> dict[str, Tensor]:
    try:
        return load(name_or_path).state_dict()
    except BitstreamError as error:
        if name_or_path in zoo():
            raise
        first = error
    try:
        return load_file(Path(name_or_path))
    except SafetensorError:
        raise first from None
