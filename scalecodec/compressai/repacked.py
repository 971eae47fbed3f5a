"""What is packed of a model's weights for the compiled loop, kept until these change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

from torch import Tensor

from scalecodec._core import crc32c
from scalecodec.arrays import as_floats

from .torch_sums import address_of, arithmetic

T = TypeVar("T")


class Repacked(Generic[T]):
    """Holds one thing packed of weights, and makes it again only when these change. Copies and pickles start empty.

    By what is in them: ``parameter.data`` can be written to without a trace, and the check is short beside a loop.
    """

    def __init__(self) -> None:
        self._made: tuple[tuple[Any, ...], tuple[T, bool]] | None = None

    def __reduce__(self) -> tuple[type[Repacked[T]], tuple[()]]:
        return type(self), ()

    def get(
        self,
        weights: Sequence[Tensor],
        settings: tuple[Any, ...],
        pack_like_torch: Callable[[], T | None] | None,
        pack: Callable[[], T],
    ) -> tuple[T, bool]:
        """What the first of the two packs, and True; where it is not asked for or finds nothing, the other, and False.

        ``weights`` must be float32 on the CPU; ``settings`` is what else decides the result. How torch adds up depends
        on its own settings as well, and on where the weights lie.
        """
        made_of = (*settings, *((weight.shape, crc32c(as_floats(weight).data)) for weight in weights))
        if pack_like_torch:
            made_of = (*arithmetic(), *map(address_of, weights), *made_of)
        made = self._made
        if made is None or made_of != made[0]:
            found = pack_like_torch() if pack_like_torch else None
            self._made = made = made_of, (pack(), False) if found is None else (found, True)  # at once: for all threads
        return made[1]
