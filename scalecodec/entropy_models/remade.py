"""What is made of tensors, kept until they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import torch
from torch import Tensor

from scalecodec._core import crc32c

T = TypeVar("T")


def _version(tensor: Tensor) -> int:
    """Another one where a tensor was written to. Those made in inference mode do not count: by what is in them."""
    if not tensor.is_inference():
        return tensor._version
    values = tensor.detach().cpu().clone()  # one that NumPy has looked into could not be resized any more
    return crc32c(values.reshape(-1).view(torch.uint8).numpy().data)


class Remade(Generic[T]):
    """Holds one thing made of tensors, and makes it again only when these change. Copies and pickles start empty."""

    def __init__(self) -> None:
        self._sources: list[tuple[Tensor, int]] = []
        self._made: T | None = None

    def __reduce__(self) -> tuple[type[Remade[T]], tuple[()]]:
        return type(self), ()

    def get(self, tensors: Sequence[Tensor], make: Callable[[], T]) -> T:
        """``make()``, or what it gave when ``tensors`` were the same, with the same values."""
        versions = [_version(tensor) for tensor in tensors]
        unchanged = len(tensors) == len(self._sources) and all(
            tensor is old and version == seen
            for tensor, version, (old, seen) in zip(tensors, versions, self._sources, strict=True)
        )
        if self._made is None or not unchanged:
            self._made = make()
            # The tensors, not their addresses: those of freed ones come back.
            self._sources = list(zip(tensors, versions, strict=True))
        return self._made
