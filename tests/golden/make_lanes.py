"""Write the golden folder lanes_v1 with the format's reference: `python -m tests.golden.make_lanes`, by hand, once.

The writer is tests/oracle/lanes.py, which knows the page and nothing of the core. The folder must not exist yet, and a
change of format gets a new one. Each stream's facts say whether it is what our encoder chooses (`ours`).
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from tests.oracle import lanes

from .folder import Tables, Written, write

FOLDER = Path(__file__).with_name("lanes_v1")
INT32 = np.iinfo(np.int32)
SCALES = np.exp(np.linspace(np.log(0.11), np.log(256), 16))
PAGE_9 = [-1, 0, 1, 2, -2, 5, -100, 100000, -100000]
PAGE_24 = [5, 0, -1, 1, 0, -1, -40, 1, 0, 0, 1, -1, 0, 1, 0, -1, 0, 70, 1, -1, 0, 1, 0, -1]


class Chunk(NamedTuple):
    """What an encoder may choose."""

    lanes: int
    place: int | None = None
    max_tail: int = 4096


class Plan(NamedTuple):
    """A stream to be written; without chunks it is our encoder's choice."""

    name: str
    table: str
    symbols: np.ndarray
    indexes: np.ndarray
    chunks: tuple[Chunk, ...] = ()


def row_of(freqs):
    return [0, *np.cumsum(freqs).tolist()]


def gaussian_row(scale):
    """A bell with frequencies of at least 1, six scales wide each way."""
    reach = int(np.ceil(6 * scale))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / scale) ** 2)
    freqs = 1 + np.floor(weights / weights.sum() * (65535 - weights.size)).astype(int)
    freqs[reach] += 65535 - freqs.sum()
    return row_of([*freqs, 1])


def random_row(rng, symbols):
    """A row from nearly equal to very unequal frequencies, the escape's among them."""
    weights = rng.random(symbols + 1) ** rng.choice([0.2, 1, 4, 16])
    freqs = 1 + np.floor(weights / weights.sum() * (65535 - symbols)).astype(int)
    freqs[rng.integers(symbols + 1)] += 65536 - freqs.sum()
    return row_of(freqs)


def peaked_row(symbols, mode):
    freqs = np.ones(symbols + 1, int)
    freqs[mode] += 65536 - freqs.sum()
    return row_of(freqs)


def flat_row(symbols):
    return [v * 65536 // (symbols + 1) for v in range(symbols + 2)]


def make_tables(rng):
    rows = [gaussian_row(scale) for scale in SCALES]
    far = [
        (3, 1, 30000),
        (100, 0, INT32.min),
        (100, 99, INT32.max - 100),
        (300, 299, -40000),
        (20000, 0, 7),
        (20000, 9999, -9999),
    ]
    return {
        "page": Tables([[0, 20000, 50000, 65535, 65536]], [-1]),
        "gauss16": Tables(rows, [-(len(row) // 2 - 1) for row in rows]),
        "tiny": Tables(
            [[0, 65536], [0, 1, 65536], [0, 65535, 65536], [0, 32768, 65536], [0, 1, 2, 65536]], [9, 0, 5, -3, 1]
        ),
        "far": Tables([peaked_row(n, mode) for n, mode, _ in far], [offset for _, _, offset in far]),
        "wide": Tables([flat_row(n) for n in (128, 129, 1000, 16384, 65535)], [-64, 0, -1000, -8192, -32767]),
        "t320": Tables([random_row(rng, n) for n in rng.integers(1, 24, 320)], rng.integers(-300, 300, 320)),
    }


def gaussian(rng, count, low, high):
    """Symbols of the scales from number `low` on, below `high`; one of them an outlier."""
    indexes = rng.integers(low, high, count)
    symbols = np.rint(SCALES[indexes] * rng.standard_normal(count))
    symbols[count // 3 : count // 3 + 1] *= 100
    return symbols, indexes


def spread(rng, tables, indexes, escapes=0.03):
    """Symbols of each table's cells, all alike, and escapes: near ones, and those at the edges of int32."""
    first, last = (np.array([getattr(table, side) for table in tables])[indexes] for side in ("first", "last"))
    symbols = rng.integers(first, last + 1)
    edges = np.stack([first - 1, last + 1, first - 200, last + 2**20, first * 0 + INT32.min, first * 0 + INT32.max])
    outside = edges[rng.integers(len(edges), size=indexes.size), np.arange(indexes.size)]
    return np.where(rng.random(indexes.size) < escapes, outside, symbols).clip(INT32.min, INT32.max)


def our_plans(rng, tables):
    yield Plan("page_9", "page", np.array(PAGE_9), np.zeros(9, int))
    yield Plan("nothing", "page", np.zeros(0, int), np.zeros(0, int))
    for count in (1, 2, 3, 31, 32, 33, 63, 64, 65, 1000):
        yield Plan(f"low_{count}", "gauss16", *gaussian(rng, count, 0, 5))
        yield Plan(f"high_{count}", "gauss16", *gaussian(rng, count, 4, 16))
    yield Plan("modes_1000", "gauss16", np.zeros(1000), np.arange(1000) % 16)
    for name, count in (("tiny", 200), ("far", 600), ("wide", 500)):
        indexes = rng.integers(len(tables[name]), size=count)
        yield Plan(f"{name}_{count}", name, spread(rng, tables[name], indexes), indexes)
    sizes = np.array([INT32.min, INT32.max, *(s * 2**b + d for b in range(31) for s in (-1, 1) for d in (-1, 0))])
    yield Plan("escapes_of_all_sizes", "page", sizes, np.zeros(sizes.size, int))
    # 16 bits a symbol where that is few symbols: 4, 8, 32 lanes, two chunks
    for count in (1025, 1501, 4011, 14011):
        indexes = np.where(rng.random(count) < 0.95, 4, rng.integers(4, size=count))
        yield Plan(f"wide_{count}", "wide", spread(rng, tables["wide"], indexes, 0.003), indexes)
    yield Plan("t320_runs", "t320", spread(rng, tables["t320"], runs := np.arange(3200) // 10, 0.01), runs)
    yield Plan("t320_cycle", "t320", spread(rng, tables["t320"], cycle := np.arange(3200) % 320, 0.01), cycle)
    dense = (np.arange(3300) // 320 == 4).astype(int)  # the tail goes there
    symbols, _ = gaussian(rng, 3300, 0, 1)
    yield Plan("dense_in_the_middle", "wide", np.where(dense, rng.integers(-9000, 9000, 3300), symbols), 4 * dense)


def free_plans(rng, tables):
    yield Plan("page_24", "page", np.array(PAGE_24), np.zeros(24, int), (Chunk(4),))
    for k in (4, 8, 32):
        for i, place in enumerate((None, 1, 128, 255)):
            count = (0, 33, 300, 700)[i] + k
            indexes = rng.integers(320, size=count)
            chunks = (Chunk(k, place, (4096, 4096, 0, 7)[i]),)
            yield Plan(f"lanes_{k}_{place or 0}", "t320", spread(rng, tables["t320"], indexes), indexes, chunks)
    zeros = np.zeros(500, int)
    yield Plan("all_in_the_tail", "gauss16", zeros, zeros, (Chunk(8),))
    mixed = (Chunk(1), Chunk(32), Chunk(32, 77), Chunk(4, 3, 5), Chunk(32), Chunk(32), Chunk(32), Chunk(8))
    for name, chunks in {"3_of_1": mixed[:1] * 3, "5_of_32": mixed[1:2] * 5, "8_mixed": mixed}.items():
        indexes = rng.integers(16, size=1501)
        yield Plan(f"chunks_{name}", "gauss16", spread(rng, tables["gauss16"], indexes), indexes, chunks)


def encode(plan, tables):
    symbols = plan.symbols.astype(np.int64)
    if not plan.chunks:
        return lanes.encode(symbols, plan.indexes, tables)
    message = lanes.make_message(symbols, plan.indexes, tables)
    bounds = lanes.chunk_bounds(len(message), len(plan.chunks))
    return lanes.join(
        [lanes.encode_chunk(message[i:j], *chunk) for (i, j), chunk in zip(bounds, plan.chunks, strict=True)]
    )


def coded(plans, tables):
    for plan in plans:
        data = encode(plan, tables[plan.table])
        if lanes.decode(data, plan.indexes, tables[plan.table]) != plan.symbols.astype(np.int64).tolist():
            raise SystemExit(f"{plan.name}: the reference does not decode its own stream")
        yield Written(plan.name, plan.table, plan.symbols, plan.indexes, data, {"ours": not plan.chunks})


def main():
    rng = np.random.default_rng(20251120)
    tables = make_tables(rng)
    lane_tables = {name: lanes.lane_tables(*table.lists()) for name, table in tables.items()}
    plans = [*our_plans(rng, lane_tables), *free_plans(rng, lane_tables)]
    write(FOLDER, "tests/oracle/lanes.py", "lanes", tables, coded(plans, lane_tables), packed=True)


if __name__ == "__main__":
    main()
