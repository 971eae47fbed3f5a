"""What is made of tensors, kept until they change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from torch import Tensor

T = TypeVar("T")


class Remade(Generic[T]):
    """Holds one thing made of tensors, and makes it again only when these change. Copies and pickles start empty."""

    def __init__(self) -> None:
        self._sources: list[tuple[Tensor, int]] = []
        self._made: T | None = None

    def __reduce__(self) -> tuple[type[Remade[T]], tuple[()]]:
        return type(self), ()

    def get(self, tensors: Sequence[Tensor], make: Callable[[], T]) -> T:
        """``make()``, or what it gave when ``tensors`` were the same, with the same values."""
        # Tensors made in inference mode count no versions, but every way to fill them makes new ones.
        versions = [0 if tensor.is_inference() else tensor._version for tensor in tensors]
        unchanged = len(tensors) == len(self._sources) and all(
            tensor is old and version == seen
            for tensor, version, (old, seen) in zip(tensors, versions, self._sources, strict=True)
        )
        if self._made is None or not unchanged:
            self._made = make()
            # The tensors, not their addresses: those of freed ones come back.
            self._sources = list(zip(tensors, versions, strict=True))
        return self._made
