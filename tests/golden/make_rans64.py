"""Write the golden folder rans64_v1 with CompressAI's own coder: `python -m tests.golden.make_rans64`, by hand, once.

Golden files only ever grow: the folder must not exist yet, and a change of format gets a new folder.
"""

from __future__ import annotations

import math
import sys
import warnings
from pathlib import Path

import numpy as np

from .folder import Tables, Written, write

FOLDER = Path(__file__).with_name("rans64_v1")
VERSION = "1.2.8"
COUNTS = (2, 3, 31, 32, 33, 63, 64, 65, 1000, 20000)
# shares of log-uniform scales: the rate of a very low, a usual, a mixed and a very high quality
SCALES = {
    "low": ((0.9, 0.11, 0.3), (0.1, 0.3, 4)),
    "mid": ((0.7, 0.11, 0.5), (0.3, 0.5, 8)),
    "mix": ((0.7, 0.11, 0.5), (0.3, 0.5, 256)),
    "wide": ((1.0, 0.11, 256),),
}


def gaussian_tables(scales):
    from compressai.entropy_models import GaussianConditional

    model = GaussianConditional(None)
    model.update_scale_table(scales)
    cdf, length = model.quantized_cdf.tolist(), model.cdf_length.tolist()
    return Tables([row[:n] for row, n in zip(cdf, length, strict=True)], model.offset.tolist())


def random_row(rng, symbols):
    """A row from nearly equal to very unequal frequencies, by a random power of random weights."""
    weights = rng.random(symbols) ** rng.choice([0.2, 1, 4, 16])
    freq = 1 + np.floor(weights / weights.sum() * (65536 - symbols)).astype(np.int64)
    freq[rng.integers(symbols)] += 65536 - freq.sum()
    return np.concatenate([[0], np.cumsum(freq)])


def draw_inside(rng, tables, indexes):
    """Symbols that are not escaped, each of its row as likely as the other, so that rare ones come too."""
    widths = np.array(tables.lengths)[indexes] - 2
    return np.array(tables.offsets)[indexes] + rng.integers(widths)


def gaussian_streams(rng, tables, scales):
    for name, parts in SCALES.items():
        for count in COUNTS:
            part = rng.choice(len(parts), size=count, p=[share for share, _, _ in parts])
            low, high = (np.array(parts)[part, column] for column in (1, 2))
            sigma = low * (high / low) ** rng.random(count)
            indexes = np.minimum(np.searchsorted(scales, sigma), len(scales) - 1)
            symbols = np.rint(sigma * rng.standard_normal(count))
            outlier = rng.random(count) < max(1e-4, 0.5 / count)
            symbols[outlier] = np.rint(9 * sigma[outlier] * rng.laplace(size=outlier.sum()))
            yield f"gauss64_{name}_{count}", "gauss64", symbols, indexes
    yield "gauss64_zeros_1000", "gauss64", np.zeros(1000), np.zeros(1000, int)
    yield "gauss64_last_1000", "gauss64", np.rint(rng.standard_normal(1000) * 256), np.full(1000, 63)


def escape_streams(rng, tables):
    """Every number of nibbles, both signs, up to magnitude 2^27 - 10, where CompressAI's own shift ends."""
    bits = [1 << b for b in range(27)]
    near = sorted({s * (b + d) for b in bits for d in (-1, 0, 1) for s in (-1, 1)} | {2**27 - 10, 10 - 2**27})
    indexes = rng.integers(0, 64, len(near))
    indexes[np.abs(near) > 2**26] = 0  # offset + magnitude must stay below 2^27
    yield "escape_all_sizes", "gauss64", np.array(near), indexes
    yield "escape_small", "tiny", rng.integers(-40, 40, 500), rng.integers(0, 4, 500)
    yield "escape_large", "tiny", rng.integers(10 - 2**27, 2**27 - 10, 200), rng.integers(0, 4, 200)
    yield "escape_two", "tiny", np.array([2**27 - 10, 10 - 2**27]), np.array([0, 1])


def all_streams(rng, tables, scales):
    yield "worked_example", "worked", np.array([-1, 0, 1, 2, -2, 5, -100, 100000, -100000]), np.zeros(9, int)
    yield from gaussian_streams(rng, tables["gauss64"], scales)
    yield from escape_streams(rng, tables)
    for name, count in (("edges", 65), ("edges", 3000), ("t320", 1000), ("t320", 20000), ("flat3133", 1000)):
        indexes = rng.integers(0, len(tables[name].rows), count)
        yield f"{name}_{count}", name, draw_inside(rng, tables[name], indexes), indexes


def coded(tables, streams):
    from compressai.ans import RansDecoder, RansEncoder

    for name, table, symbols, indexes in streams:
        symbols, indexes = symbols.astype("<i4"), indexes.astype("<u2")
        lists = tables[table].lists()
        data = RansEncoder().encode_with_indexes(symbols.tolist(), indexes.tolist(), *lists)
        if RansDecoder().decode_with_indexes(data, indexes.tolist(), *lists) != symbols.tolist():
            sys.exit(f"{name}: CompressAI does not decode its own stream")
        yield Written(name, table, symbols, indexes, data)


def main():
    warnings.simplefilter("ignore")
    from importlib.metadata import version

    if version("compressai") != VERSION:
        sys.exit(f"needs CompressAI {VERSION}, found {version('compressai')}")
    rng = np.random.default_rng(20240229)
    scales = np.exp(np.linspace(math.log(0.11), math.log(256), 64))
    tables = {
        "worked": Tables([[0, 20000, 50000, 65535, 65536]], [-1]),
        "gauss64": gaussian_tables(scales.tolist()),
        "tiny": Tables([[0, 1, 65536], [0, 65535, 65536], [0, 32768, 65536], [0, 1, 2, 65536]], [0, 5, -3, 1]),
        # frequencies 1 and 65535 next to each other
        "edges": Tables(
            [[0, 1, 2, 65536], [0, 65534, 65535, 65536], [0, 1, 65535, 65536], [0, 65535, 65536]], [0, -1, 7, 0]
        ),
        "t320": Tables([random_row(rng, n) for n in rng.integers(2, 200, 320)], rng.integers(-300, 300, 320)),
        "flat3133": Tables([random_row(rng, 3132)], [-1566]),
    }
    streams = coded(tables, all_streams(rng, tables, scales))
    write(FOLDER, f"CompressAI {VERSION}", "rans64", tables, streams, packed=False)


if __name__ == "__main__":
    main()
