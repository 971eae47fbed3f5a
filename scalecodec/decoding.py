"""From a .scl file: a picture, or what a machine needs of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .alpha import decode_alpha
from .arrays import as_index
from .coders import ModelLike
from .container import ALPHA, ICC_PROFILE, Container, Header, Limits, unpack
from .errors import BitstreamError
from .image import Picture
from .models import ScalableModel
from .regions import checked_region
from .tile_decoder import TileDecoder
from .transform import join, synthesise

_MAX_FEATURE_PIXELS = 1 << 24


@dataclass(frozen=True)
class Decoded:
    """A picture and what became of its file.

    Attributes
    ----------
    picture : Picture
    header : Header
    damaged : tuple of str
        One sentence for every chunk that was lost. Its tile shows the layers before it, or grey where these show no
        picture. Empty: all that was decoded is as encoded.
    """

    picture: Picture
    header: Header
    damaged: tuple[str, ...]


def decode(
    blob: Any,
    *,
    layers: str | int = "all",
    roi: tuple[int, int, int, int] | None = None,
    strict: bool = True,
    model: ModelLike | None = None,
) -> NDArray[Any]:
    """Decode a .scl file to samples.

    Parameters
    ----------
    blob : bytes-like, a whole file
    layers : "all", "base", or the number of layers to decode, from 1
    roi : (x, y, width, height) in pixels; only the tiles it touches, and their neighbours' latents, are decoded
    strict : raise on any damage to these layers, in whatever tile. If not, lost chunks show the layers before them,
        or grey; :func:`decode_all` says which.
    model : needed only where the file's model is not in the zoo: its name, weight file or the model itself

    Returns
    -------
    uint8 or uint16 array [H, W, C], C and depth as encoded ([H, W, 1] for grey). Another machine or number of threads
    may round a few samples in 100,000 the other way: 1 up or down. Alpha is exact.

    Raises
    ------
    BitstreamError
        The file is damaged in these layers, or needs another model, or a tile of the region lacks layers without which
        it shows no picture; the message says which.
    ValueError
        ``layers`` or ``roi`` do not fit the file.
    TypeError
        An argument is of another type than above.
    """
    return decode_all(blob, layers=layers, roi=roi, strict=strict, model=model).picture.samples


def decode_all(
    blob: Any,
    *,
    layers: str | int = "all",
    roi: tuple[int, int, int, int] | None = None,
    strict: bool = True,
    model: ModelLike | None = None,
    limits: Limits | None = None,
) -> Decoded:
    """As :func:`decode`, with the colour profile, the header and the list of what was lost."""
    container = unpack(blob, layers=layers, strict=strict, limits=limits or Limits())
    header = container.header
    number = header.count(layers)
    region = (0, 0, header.width, header.height) if roi is None else checked_region(roi, header)
    tiles = TileDecoder(container, model, number, strict)
    if not tiles.model.shows(number):
        count = tiles.model.num_layers
        raise ValueError(f"the first {number} of the {count} layers show no picture, but are for a network: features()")
    planes = 3 if header.channels > 2 else 1
    samples = synthesise(
        tiles.model, tiles.latent, tiles.grid, region, planes, header.bit_depth, tiles.spoilt, tiles.show
    )
    samples = _join_alpha(samples, container, region, tiles.lost, strict)
    picture = Picture(samples, container.ancillary.get(ICC_PROFILE))
    return Decoded(picture, header, tuple(tiles.lost))


@torch.no_grad()
def features(
    blob: Any, task: int = 0, *, strict: bool = True, model: ModelLike | None = None, limits: Limits | None = None
) -> torch.Tensor:
    """What a machine decodes of a file: the inner tensor of a task network, from the layers that are for it.

    Parameters
    ----------
    blob : bytes-like, a whole file, or one of which :func:`keep` kept those layers
    task : number of the task, from 0: it takes the first ``task + 1`` layers
    strict, model : as for :func:`decode`; without ``strict`` latents of tiles that are lost count as 0

    Returns
    -------
    float32 tensor [1, C, ceil(H / stride), ceil(W / stride)], C and the stride being the model's for that task; a
    network without padding has one or two rows and columns less, at the end

    Raises
    ------
    BitstreamError
        The file is damaged in these layers or lacks some of their tiles, needs another model, or is of more than 2**24
        pixels, which are decoded at once.
    ValueError
        The model has no such task, or the file not its layers.
    TypeError
        ``task`` is no integer.
    """
    number = as_index(task, "task") + 1
    if number < 1:
        raise ValueError(f"tasks are numbered from 0, got {task}")
    container = unpack(blob, layers=number, strict=strict, limits=limits or Limits())
    header = container.header
    if header.width * header.height > _MAX_FEATURE_PIXELS:
        raise BitstreamError(f"features of more than {_MAX_FEATURE_PIXELS} pixels would take too much memory")
    tiles = TileDecoder(container, model, number, strict, number)
    if not isinstance(tiles.model, ScalableModel) or number > len(tiles.model.tasks):
        raise ValueError(f"{type(tiles.model).__name__} has no task {task}")
    with torch.autocast("cpu", enabled=False):
        found = tiles.model.features(join(tiles.model, tiles.latent, tiles.grid), task)
    if not bool(found.isfinite().all()):
        raise BitstreamError("features that are not finite: damaged latents")
    stride = tiles.model.strides[task]
    height, width = (-(-side // stride) for side in (header.height, header.width))
    return found[:, :, :height, :width].contiguous()


def _join_alpha(
    samples: NDArray[Any], container: Container, region: tuple[int, int, int, int], lost: list[str], strict: bool
) -> NDArray[Any]:
    header = container.header
    if header.channels % 2:
        return samples
    x, y, width, height = region
    plane = np.full((height, width), np.iinfo(samples.dtype).max, samples.dtype)
    chunk = container.ancillary.get(ALPHA)
    try:
        if chunk is None:
            raise BitstreamError("the alpha plane is missing")
        plane = decode_alpha(chunk, header.height, header.width, header.bit_depth)[y : y + height, x : x + width]
    except BitstreamError as error:
        if strict:
            raise
        lost.append(str(error))
    return np.concatenate((samples, plane[..., None]), axis=2)
