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
from .codec import decode_all
from .coders import ModelLike, coder_for
from .container import unpack
from .errors import ScalecodecError
from .models import CompressionModel
from .regions import chunks_of
from .tile_decoder import TileDecoder
from .transform import join

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
    plain = coder_for(unpack(blob).header, model).model
    wanted = _decoded(blob, copy.deepcopy(plain))
    verdicts = []
    for arithmetic in arithmetics():
        twin = arithmetic.prepare(copy.deepcopy(plain))
        try:
            with arithmetic.around():
                found = _decoded(blob, twin)
        except ScalecodecError as error:
            verdicts.append(Verdict(arithmetic.name, str(error)))
            continue
        verdicts.append(_compared(arithmetic.name, wanted, found))
    return verdicts


def _decoded(blob: Any, model: CompressionModel) -> tuple[list[Tensor], NDArray[Any]]:
    """Latents of every tile, as the decoder comes by them, and the samples. The model is not to be used again."""
    latents, decode_layers = [], model.decode_layers

    def recorded(*arguments: Any) -> Tensor:
        latents.append(decode_layers(*arguments))
        return latents[-1]

    model.decode_layers = recorded  # type: ignore[assignment, method-assign]
    container = unpack(blob)
    count = container.header.num_layers
    if all(model.shows(len(chunks_of(container, tile, count))) for tile in range(container.header.num_tiles)):
        return latents, decode_all(blob, model=model).picture.samples
    tiles = TileDecoder(container, model, count, strict=True)
    join(model, tiles.latent, tiles.grid)
    return latents, np.zeros(1, np.uint8)  # what is for machines shows no samples that could differ


def _compared(
    name: str, wanted: tuple[list[Tensor], NDArray[Any]], found: tuple[list[Tensor], NDArray[Any]]
) -> Verdict:
    differ = sum(int((_bits(one) != _bits(other)).sum()) for one, other in zip(wanted[0], found[0], strict=True))
    apart = np.abs(wanted[1].astype(np.int64) - found[1].astype(np.int64))
    return Verdict(name, "", differ, float((apart > 0).mean()), int(apart.max()))


def _bits(latent: Tensor) -> Tensor:
    return latent.float().contiguous().view(torch.int32)
