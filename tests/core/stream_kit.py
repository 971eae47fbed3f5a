"""What the tests of both streams share: their doors and oracles, random tables and symbols, memory layouts."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

import scalecodec as sc
from scalecodec import backends
from scalecodec.errors import BitstreamError
from tests.oracle import lanes, rans64

BLOCK = 512  # elements that the core converts at a time; 1024 in a block of lanes
EDGES = [0, 1, 2, 3, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK - 1, 2 * BLOCK, 2 * BLOCK + 1]
INT32 = np.iinfo(np.int32)
SCALES = np.exp(np.linspace(math.log(0.11), math.log(256), 64))
# a share of narrow scales, and the bounds of the narrow and the wide ones (log-uniform within)
SETS = {
    "low": (0.9, (0.11, 0.3), (0.3, 4)),  # 0.35 bit a symbol
    "mid": (0.7, (0.11, 0.5), (0.5, 8)),  # 1.2
    "mix": (0.7, (0.11, 0.5), (0.5, 256)),  # 2.0
}


class Case(NamedTuple):
    symbols: NDArray[np.int32]
    indexes: NDArray[np.int32]
    lists: rans64.Tables
    table: sc.CdfTable

    def lane_tables(self) -> list[lanes.LaneTable]:
        return lanes.lane_tables(*self.lists)


class Stream(NamedTuple):
    """A door, and its oracle for the symbols of a case."""

    door: ModuleType
    encode: Callable[[Case], bytes]
    decode: Callable[[bytes, Case], list[int]]


STREAMS = {
    "rans64": Stream(
        sc.rans64,
        lambda case: rans64.encode(case.symbols.tolist(), case.indexes.tolist(), case.lists),
        lambda data, case: rans64.decode(data, case.indexes.tolist(), case.lists),
    ),
    "rans": Stream(
        sc.rans,
        lambda case: lanes.encode(case.symbols, case.indexes, case.lane_tables()),
        lambda data, case: lanes.decode(data, case.indexes, case.lane_tables()),
    ),
}


@st.composite
def rows(draw: st.DrawFn) -> list[int]:
    """One symbol, frequencies 1 and 65535 next to each other, all ones but for one, or cuts of chance."""
    special = ([0, 65536], [0, 1, 65536], [0, 65535, 65536], [0, 1, 2, 65536], [0, 1, 65535, 65536], [0, 32768, 65536])
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return list(draw(st.sampled_from(special)))
    symbols = draw(st.integers(2, 300))
    if kind == 1:
        return [*range(symbols), 65536]
    if kind == 2:
        return [0, *range(65537 - symbols, 65537)]
    return [0, *sorted(draw(st.sets(st.integers(1, 65535), min_size=1, max_size=60))), 65536]


def make_case(
    rng: np.random.Generator, all_rows: list[list[int]], offsets: list[int], count: int, escapes: float
) -> Case:
    width = max(map(len, all_rows))
    lengths = np.array([len(row) for row in all_rows])
    cdf = np.array([[*row, *rng.integers(-9, 9, width - len(row))] for row in all_rows])
    table = sc.CdfTable.from_cdf(cdf, lengths, np.array(offsets))
    indexes = rng.integers(len(all_rows), size=count)
    slots = rng.integers(65536, size=count)
    values = [np.searchsorted(all_rows[k], slot, "right") - 1 for k, slot in zip(indexes, slots, strict=True)]
    symbols = np.array(values, dtype=np.int64) + np.array(offsets)[indexes]
    escaped = rng.random(count) < escapes
    far = np.exp2(rng.uniform(0, 32, count)).astype(np.int64) * rng.choice([-1, 1], count)
    symbols = np.where(escaped, symbols + far, symbols).clip(INT32.min, INT32.max)
    lists = rans64.Tables(all_rows, lengths.tolist(), offsets)
    return Case(symbols.astype(np.int32), indexes.astype(np.int32), lists, table)


@st.composite
def cases(draw: st.DrawFn, max_count: int = 40, small: bool = False) -> Case:
    """Random tables and symbols by their probability, a part of them escaped; `small`: all within int8 and uint8."""
    all_rows = draw(st.lists(rows(), min_size=1, max_size=6))
    if small:
        all_rows = [row if len(row) < 100 else [0, 65536] for row in all_rows]
    low, high = (0, 20) if small else (INT32.min, INT32.max - 300)
    offset = st.integers(low, high) | st.sampled_from([low, 0, high])
    offsets = draw(st.lists(offset, min_size=len(all_rows), max_size=len(all_rows)))
    count = draw(st.integers(0, max_count) | st.sampled_from(EDGES))
    escapes = 0.0 if small else draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
    return make_case(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), all_rows, offsets, count, escapes)


def laid_out(array: NDArray[np.integer], layout: str) -> NDArray[np.integer]:
    """The same numbers in the same order, lying differently in memory."""
    if layout == "every third":
        return np.repeat(array, 3)[::3]
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    if layout == "read-only":
        return np.frombuffer(array.tobytes(), array.dtype)
    if layout == "misaligned":
        return np.frombuffer(b"\0" + array.tobytes(), array.dtype, offset=1)
    if layout == "columns":
        return np.asfortranarray(array.reshape(-1, 1) if array.size % 2 else array.reshape(2, -1))
    return array


LAYOUTS = ["plain", "every third", "reversed", "read-only", "misaligned", "columns"]


@cache
def gaussian() -> sc.CdfTable:
    return sc.CdfTable.gaussian()


@cache
def gaussian_lanes() -> list[lanes.LaneTable]:
    return lanes_of(gaussian())


def lanes_of(table: sc.CdfTable) -> list[lanes.LaneTable]:
    """The oracle's lane tables of a set."""
    return lanes.lane_tables(table.cdf, table.cdf_length, table.offset)


def latents(rng: np.random.Generator, name: str, count: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Symbols and their indexes in `gaussian`: scales in two bands, and a few outliers of Laplace's law."""
    share, narrow, wide = SETS[name]
    first, last = np.where(rng.random(count) < share, np.transpose([narrow]), np.transpose([wide]))
    sigma = first * (last / first) ** rng.random(count)
    symbols = np.rint(sigma * rng.standard_normal(count))
    outlier = rng.random(count) < 1e-4
    symbols[outlier] = np.rint(4 * sigma[outlier] * rng.laplace(size=outlier.sum()))
    return symbols.astype(np.int32), np.searchsorted(SCALES, sigma).clip(max=63).astype(np.int32)


def is_refused(door: ModuleType, data: bytes, indexes: NDArray[np.integer], table: sc.CdfTable) -> bool:
    try:
        door.decode(data, indexes, table)
    except BitstreamError:
        return True
    return False


BACKENDS = backends.available()


def on(backend: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """The call's result on a kernel set."""
    with backends.use(backend):
        return call(*args, **options)
