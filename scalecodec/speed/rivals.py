"""One face for every coder of indexed Gaussian tables: `prepare` outside of the timer, `encode` and `decode` inside.

All of them take the same symbols, indexes and scales; a rival gets whatever form it is fastest with, for nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
import torch

from scalecodec import backends, rans, rans64
from scalecodec.cdf import CdfTable
from scalecodec.entropy_models import GaussianConditional
from scalecodec.streams import LANES, RANS64, Stream

from .workloads import SCALE_TABLE, Latents


class Coder:
    """What is measured. Coders of one ``stream`` must write the same bytes."""

    name: str
    label: str  # for people
    stream: str
    is_rival = False
    is_static = False  # one table for all symbols: less work than ours, and more bytes

    def prepare(self, latents: Latents) -> Any:
        """The arguments as this coder takes them."""
        return latents

    def encode(self, prepared: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes, prepared: Any) -> Any:
        """The symbols, as anything that NumPy takes."""
        raise NotImplementedError

    @contextmanager
    def running(self) -> Iterator[None]:
        """What must hold around its calls."""
        yield


class Lanes(Coder):
    """scalecodec.rans on one kernel set, NumPy in and out."""

    stream = "lanes"

    def __init__(self, backend: str, threads: int = 1) -> None:
        self.backend, self.threads = backend, threads
        self.name, self.label = f"lanes-{backend}", f"scalecodec lanes, {backend}"
        self.table = CdfTable.gaussian(SCALE_TABLE)

    def encode(self, prepared: Latents) -> bytes:
        return rans.encode(*prepared, self.table, threads=self.threads)

    def decode(self, data: bytes, prepared: Latents) -> Any:
        return rans.decode(data, prepared.indexes, self.table, threads=self.threads)

    @contextmanager
    def running(self) -> Iterator[None]:
        with backends.use(self.backend):
            yield


class Rans64(Coder):
    """scalecodec.rans64, NumPy in and out."""

    name, label, stream = "rans64", "scalecodec rans64", "rans64"

    def __init__(self) -> None:
        self.table = CdfTable.gaussian(SCALE_TABLE)

    def encode(self, prepared: Latents) -> bytes:
        return rans64.encode(*prepared, self.table)

    def decode(self, data: bytes, prepared: Latents) -> Any:
        return rans64.decode(data, prepared.indexes, self.table)


class Conditional(Coder):
    """An entropy model's compress and decompress, float tensors in and out; here CompressAI's."""

    name, label, stream = "compressai-model", "CompressAI compress, decompress", "rans64"
    is_rival = True

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


class OurConditional(Conditional):
    """scalecodec's entropy model, with either stream."""

    is_rival = False

    def __init__(self, stream: Stream) -> None:
        super().__init__(GaussianConditional(SCALE_TABLE.tolist()))
        self.kind, self.stream = stream, stream.name
        self.name, self.label = f"{stream.name}-model", f"scalecodec compress, {stream.name}"

    def encode(self, prepared: tuple[torch.Tensor, torch.Tensor]) -> bytes:
        (data,) = self.model.compress(*prepared, stream=self.kind)
        return data

    def decode(self, data: bytes, prepared: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
        return self.model.decompress([data], prepared[1], stream=self.kind).flatten()


class Lists(Coder):
    """CompressAI's compiled coder alone, with everything already in Python lists."""

    name, label, stream = "compressai-lists", "CompressAI ans, lists ready", "rans64"
    is_rival = True

    def __init__(self, ans: ModuleType) -> None:
        table = CdfTable.gaussian(SCALE_TABLE)
        self.tables = table.cdf.tolist(), table.cdf_length.tolist(), table.offset.tolist()
        self.encoder, self.decoder = ans.RansEncoder(), ans.RansDecoder()

    def prepare(self, latents: Latents) -> tuple[list[int], list[int]]:
        return latents.symbols.tolist(), latents.indexes.tolist()

    def encode(self, prepared: tuple[list[int], list[int]]) -> bytes:
        return self.encoder.encode_with_indexes(*prepared, *self.tables)

    def decode(self, data: bytes, prepared: tuple[list[int], list[int]]) -> list[int]:
        return self.decoder.decode_with_indexes(data, prepared[1], *self.tables)


class Constriction(Coder):
    """constriction's stack coder on arrays, a Gaussian a symbol, all its integers in one range."""

    name, label, stream = "constriction", "constriction, Gaussians", "constriction"
    is_rival = True

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


class ConstrictionStatic(Coder):
    """constriction's stack coder with one table for all symbols, their histogram: what not looking at indexes gives."""

    name, label, stream = "constriction-static", "constriction, one table for all", "constriction-static"
    is_rival = is_static = True

    def __init__(self, constriction: ModuleType) -> None:
        self.coder = constriction.stream.stack.AnsCoder
        self.categorical = constriction.stream.model.Categorical

    def prepare(self, latents: Latents) -> tuple[Any, Any, int]:
        lowest = latents.symbols.min()
        counts = np.bincount(latents.symbols - lowest, minlength=2)  # it takes no law of one symbol
        return latents.symbols - lowest, self.categorical(counts.astype(np.float64), perfect=False), lowest

    def encode(self, prepared: tuple[Any, Any, int]) -> bytes:
        coder = self.coder()
        coder.encode_reverse(*prepared[:2])
        return coder.get_compressed().tobytes()

    def decode(self, data: bytes, prepared: tuple[Any, Any, int]) -> Any:
        symbols, law, lowest = prepared
        return self.coder(np.frombuffer(data, np.uint32)).decode(law, len(symbols)) + lowest


OURS = (*(f"lanes-{backend}" for backend in backends.available()), "rans64")
OUR_MODELS = ("lanes-model", "rans64-model")
RIVALS = ("compressai-model", "compressai-lists", "constriction", "constriction-static")


def _import(name: str) -> ModuleType:
    """A rival's module; ImportError where it cannot be loaded, for whatever reason."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its own deprecations
            return import_module(name)
    except Exception as error:  # a package built for another torch or NumPy fails in many ways
        raise ImportError(f"cannot import {name}: {' '.join(str(error).split())}") from error


def make_coder(name: str) -> Coder:
    """By its name in OURS, OUR_MODELS or RIVALS.

    Raises
    ------
    ImportError
        The rival is not installed.
    ValueError
        There is no coder of this name.
    """
    makers: dict[str, Callable[[], Coder]] = {
        **{f"lanes-{backend}": partial(Lanes, backend) for backend in backends.available()},
        "rans64": Rans64,
        "lanes-model": lambda: OurConditional(LANES),
        "rans64-model": lambda: OurConditional(RANS64),
        "compressai-model": lambda: Conditional(
            _import("compressai.entropy_models").GaussianConditional(SCALE_TABLE.tolist())
        ),
        "compressai-lists": lambda: Lists(_import("compressai.ans")),
        "constriction": lambda: Constriction(_import("constriction")),
        "constriction-static": lambda: ConstrictionStatic(_import("constriction")),
    }
    if name not in makers:
        raise ValueError(f"no coder named {name!r}; there are {', '.join(makers)}")
    return makers[name]()
