"""A file decoded in every way that this machine can compute: the same latents each time, or the file does not travel.

Latents are what the entropy coder and its networks decide, and must be equal bit for bit; samples also go through the
synthesis, whose floats are each machine's own, and may differ by 1.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from . import backends
from .codec import check_tile, decode_all
from .coders import ModelLike, coder_for
from .container import unpack
from .errors import BitstreamError, ScalecodecError
from .models import CompressionModel
from .tiles import Grid
from .transform import latent_shape

Around = Callable[[], contextlib.AbstractContextManager[Any]]


@dataclass(frozen=True)
class Arithmetic:
    """One way to compute: what stands around a decoding, and how the model lies in memory."""

    name: str
    around: Around
    prepare: Callable[[CompressionModel], Any]


@dataclass(frozen=True)
class Verdict:
    """What one arithmetic made of a file.

    Attributes
    ----------
    arithmetic : str
    error : why it did not decode, else empty
    latents_differ : how many latents are others than in the plain decoding
    samples_differ : the share of samples that are others
    largest : their largest difference
    """

    arithmetic: str
    error: str = ""
    latents_differ: int = 0
    samples_differ: float = 0.0
    largest: int = 0

    @property
    def same(self) -> bool:
        """Whether the latents are the plain decoding's, each and every one."""
        return not self.error and not self.latents_differ


@contextlib.contextmanager
def _set(get: Callable[[], Any], put: Callable[[Any], Any], value: Any) -> Iterator[None]:
    """One of torch's switches, put back in the end."""
    before = get()
    put(value)
    try:
        yield
    finally:
        put(before)


def _threads(count: int) -> contextlib.AbstractContextManager[None]:
    return _set(torch.get_num_threads, torch.set_num_threads, count)


def _channels_last(model: CompressionModel) -> Any:
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub


_WAYS: dict[str, tuple[Around, Callable[[CompressionModel], Any]]] = {
    "float32": (contextlib.nullcontext, lambda model: model),
    "channels_last": (contextlib.nullcontext, _channels_last),
    "no oneDNN": (
        lambda: _set(torch._C._get_mkldnn_enabled, torch._C._set_mkldnn_enabled, False),
        lambda model: model,
    ),
    "bfloat16": (lambda: torch.autocast("cpu", torch.bfloat16), lambda model: model),
}


def arithmetics() -> list[Arithmetic]:
    """Those of this machine's processor: every kernel set, on 1 and on 3 threads, in four ways of the libraries."""
    return [
        Arithmetic(f"{name}, {way}, {count} threads", partial(_within, name, count, around), prepare)
        for name in backends.available()
        for way, (around, prepare) in _WAYS.items()
        for count in (1, 3)
    ]


@contextlib.contextmanager
def _within(name: str, count: int, around: Around) -> Iterator[None]:
    with backends.use(name), _threads(count), around():
        yield


def verify(blob: Any, model: ModelLike | None = None) -> list[Verdict]:
    """Decode a .scl file once plainly and once in each of :func:`arithmetics`.

    Raises
    ------
    BitstreamError
        The file is damaged, or needs another model.
    """
    header = unpack(blob).header
    check_tile(header)
    plain = coder_for(header, model).model
    latents, samples = _latents(blob, plain), decode_all(blob, model=plain).picture.samples
    verdicts = []
    for arithmetic in arithmetics():
        twin = arithmetic.prepare(copy.deepcopy(plain))
        try:
            with arithmetic.around():
                found = _latents(blob, twin), decode_all(blob, model=twin).picture.samples
        except ScalecodecError as error:
            verdicts.append(Verdict(arithmetic.name, str(error)))
            continue
        verdicts.append(_compared(arithmetic.name, latents, samples, *found))
    return verdicts


@torch.no_grad()
def _latents(blob: Any, model: CompressionModel) -> list[Tensor]:
    """Of every tile."""
    content = unpack(blob)
    header = content.header
    grid = Grid(header.height, header.width, model.latent_stride, model.downsampling_factor, 1 << header.tile_log2)
    found = []
    for chunk, place in zip(content.layers[0], np.ndindex(header.tiles_y, header.tiles_x), strict=True):
        if chunk is None:
            raise BitstreamError("a tile is missing")
        found.append(model.decode_tile(chunk, latent_shape(model, grid, *place), header.gain_index, header.stream))
    return found


def _compared(
    name: str,
    latents: list[Tensor],
    samples: NDArray[Any],
    other_latents: list[Tensor],
    other_samples: NDArray[Any],
) -> Verdict:
    differ = sum(int((_bits(one) != _bits(other)).sum()) for one, other in zip(latents, other_latents, strict=True))
    apart = np.abs(samples.astype(np.int64) - other_samples.astype(np.int64))
    return Verdict(name, "", differ, float((apart > 0).mean()), int(apart.max()))


def _bits(latent: Tensor) -> Tensor:
    return latent.float().contiguous().view(torch.int32)
