"""The model that a training run begins with, and weights for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from scalecodec.errors import BitstreamError
from scalecodec.models import CompressionModel, LayeredModel, MeanScaleHyperprior, ScalableModel, create, load, zoo
from scalecodec.models.rate_model import NOT_OURS
from scalecodec.models.scalable import Front
from scalecodec.models.weights import read_metadata

from .config import TrainConfig
from .data import RandomCrops
from .layered_start import layered_weights
from .learned import TRANSFORMS, follows_rate, is_learned
from .sizes import model_sizes

_WEIGHED = 32  # crops


def new_model(config: TrainConfig, fronts: Sequence[Front] = ()) -> CompressionModel:
    """The model a run trains, with the weights it begins from; ValueError where the settings fit no model.

    ``fronts``: the front halves of its tasks' networks, from pictures [B, 3, H, W] in [0, 1].
    """
    model = create(config.model, **model_sizes(config, fronts))
    if isinstance(model, ScalableModel):
        model.attach(fronts)
        model.weigh(_some(config), [config.task_weight] * len(fronts))
    if config.start:
        begin_from(model, config.start, lambda: _some(config), config.only)
    elif config.only:
        raise ValueError(f"only {config.only!r} is trained, so the other weights want a start to come from")
    return model


def _some(config: TrainConfig) -> Tensor:
    """Crops to weigh errors by."""
    crops = RandomCrops(config.data, config.crop, _WEIGHED, config.seed)
    return torch.stack([crops[number] for number in range(_WEIGHED)])


def begin_from(model: CompressionModel, name_or_path: str, pictures: Callable[[], Tensor], only: str = "") -> None:
    """Copy weights into a new model: a name in the zoo, a weight file, or a safetensors file of a state dict.

    What follows the rate (offsets, step of the hyper-latent) may be missing there, and begins without effect: a model
    of one rate becomes one of all. A mean-scale model's file begins a layered model of its sizes
    (:func:`layered_weights`, which may ask for ``pictures``). A weight file of another kind of model gives its analysis
    and synthesis only, as a state dict of nothing else does. ``only``: how the names of the weights begin that will be
    trained; where it is not empty, all others must be there.

    Raises
    ------
    ValueError
        The weights are of another model or size, or there is no such file.
    BitstreamError
        The file is damaged.
    """
    source = _source(name_or_path)
    if isinstance(source, dict):
        names = list(filter(is_learned, source))
        weights, partial = source, bool(names) and all(name.startswith(TRANSFORMS) for name in names)
    elif type(source) is type(model):
        weights, partial = source.state_dict(), False
    elif type(source) is MeanScaleHyperprior and isinstance(model, LayeredModel):
        try:
            weights, partial = layered_weights(source, model, pictures), True
        except ValueError as error:
            raise ValueError(f"{name_or_path}: {error}") from error
    else:
        states = source.state_dict().items()
        weights, partial = {name: tensor for name, tensor in states if name.startswith(TRANSFORMS)}, True
    _copy(weights, model, name_or_path, partial, only)


def _copy(theirs: dict[str, Tensor], model: CompressionModel, origin: str, partial: bool, only: str) -> None:
    """``partial``: the model may have more weights than there are."""
    ours = model.state_dict()
    wanted = {name for name in ours if is_learned(name)}
    given = {name for name in theirs if is_learned(name) and not name.endswith(NOT_OURS)}
    untrained = {name for name in wanted if not name.startswith(only)}
    if only and (unlike := sorted(untrained - given | _parts(given) - wanted)):
        names = ", ".join(unlike[:5])
        raise ValueError(f"{origin}: what is not trained must be as it is there, missing or unknown {names}")
    optional = _parts(wanted) | {name for name in wanted if name.startswith("tasks.") or partial}
    if partial:
        given -= _parts(given) - wanted
    if wrong := sorted((given ^ wanted) - optional):
        hint = " (which --no-offsets or --no-hyper-step leaves out)" if set(wrong) & given & _parts(given) else ""
        raise ValueError(f"{origin}: weights of another model: missing or unknown {', '.join(wrong[:5])}{hint}")
    for name in sorted(given):
        if theirs[name].shape != ours[name].shape:
            raise ValueError(f"{origin}: {name} is {tuple(theirs[name].shape)}, wanted {tuple(ours[name].shape)}")
    with torch.no_grad():
        for name in given:
            ours[name].copy_(theirs[name])


def _parts(names: set[str]) -> set[str]:
    return set(filter(follows_rate, names))


def _source(name_or_path: str) -> CompressionModel | dict[str, Tensor]:
    """The model, or a state dict that is no weight file of ours."""
    if name_or_path in zoo() or not Path(name_or_path).is_file():
        return load(name_or_path)
    try:
        read_metadata(name_or_path)
    except BitstreamError as error:  # a state dict, or no safetensors at all
        try:
            weights = load_file(Path(name_or_path))
        except SafetensorError:
            raise error from None
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            raise BitstreamError(f"{name_or_path}: a weight is not finite") from None
        return weights
    return load(name_or_path)
