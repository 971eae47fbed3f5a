"""One face for every coder of indexed Gaussian tables: `prepare` outside of the timer, `encode` and `decode` inside."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Protocol

import numpy as np
import torch

import scalecodec as sc
from scalecodec.entropy_models import GaussianConditional

from .workloads import SCALE_TABLE, Latents


class Coder(Protocol):
    def prepare(self, latents: Latents) -> Any:
        """The arguments as this coder takes them."""

    def encode(self, prepared: Any) -> bytes: ...

    def decode(self, data: bytes, prepared: Any) -> Any:
        """The symbols, as anything that NumPy takes."""


class Arrays:
    """scalecodec.rans64, NumPy in and out."""

    def __init__(self) -> None:
        self.table = sc.CdfTable.gaussian(SCALE_TABLE)

    def prepare(self, latents: Latents) -> Latents:
        return latents

    def encode(self, prepared: Latents) -> bytes:
        return sc.rans64.encode(*prepared, self.table)

    def decode(self, data: bytes, prepared: Latents) -> Any:
        return sc.rans64.decode(data, prepared.indexes, self.table)


class Conditional:
    """An entropy model's compress and decompress, float tensors in and out: scalecodec's, or CompressAI's."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.model.update()

    def prepare(self, latents: Latents) -> tuple[torch.Tensor, torch.Tensor]:
        values, indexes = (torch.from_numpy(array).reshape(1, 1, 1, -1) for array in latents)
        return values.float(), indexes

    def encode(self, prepared: tuple[torch.Tensor, torch.Tensor]) -> bytes:
        (data,) = self.model.compress(*prepared)
        return data

    def decode(self, data: bytes, prepared: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return self.model.decompress([data], prepared[1]).flatten()


class Lists:
    """CompressAI's compiled coder alone, with everything already in Python lists."""

    def __init__(self, compressai: ModuleType) -> None:
        table = sc.CdfTable.gaussian(SCALE_TABLE)
        self.tables = table.cdf.tolist(), table.cdf_length.tolist(), table.offset.tolist()
        self.encoder, self.decoder = compressai.ans.RansEncoder(), compressai.ans.RansDecoder()

    def prepare(self, latents: Latents) -> tuple[list[int], list[int]]:
        return latents.symbols.tolist(), latents.indexes.tolist()

    def encode(self, prepared: tuple[list[int], list[int]]) -> bytes:
        return self.encoder.encode_with_indexes(*prepared, *self.tables)

    def decode(self, data: bytes, prepared: tuple[list[int], list[int]]) -> list[int]:
        return self.decoder.decode_with_indexes(data, prepared[1], *self.tables)


class Constriction:
    """constriction's stack coder on arrays, a Gaussian a symbol, all its integers in one range."""

    def __init__(self, constriction: ModuleType) -> None:
        self.coder = constriction.stream.stack.AnsCoder
        self.gaussian = constriction.stream.model.QuantizedGaussian

    def prepare(self, latents: Latents) -> tuple[Any, ...]:
        reach = int(np.abs(latents.symbols).max()) + 1
        return latents.symbols, self.gaussian(-reach, reach), np.zeros(len(latents.symbols)), latents.scales

    def encode(self, prepared: tuple[Any, ...]) -> bytes:
        coder = self.coder()
        coder.encode_reverse(*prepared)
        return coder.get_compressed().tobytes()

    def decode(self, data: bytes, prepared: tuple[Any, ...]) -> Any:
        return self.coder(np.frombuffer(data, np.uint32)).decode(*prepared[1:])


def make_coder(name: str, get_rival: Any) -> Coder:
    """By its name in CODERS; ``get_rival(package)`` returns the module or skips."""
    if name == "scalecodec":
        return Arrays()
    if name == "scalecodec-model":
        return Conditional(GaussianConditional(SCALE_TABLE.tolist()))
    if name == "compressai-model":
        return Conditional(get_rival("compressai").entropy_models.GaussianConditional(SCALE_TABLE.tolist()))
    if name == "compressai-lists":
        return Lists(get_rival("compressai"))
    return Constriction(get_rival("constriction"))


CODERS = ("scalecodec", "scalecodec-model", "compressai-model", "compressai-lists", "constriction")
