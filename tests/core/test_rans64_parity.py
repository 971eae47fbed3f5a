"""Byte equality with CompressAI's own coder, tables and indexes on random inputs.

CompressAI is only ever called with what it codes correctly: it crashes on 0 and 1 symbols and on 2 symbols of frequency
1, hangs from 2^28 on in the escape's raw value, and checks nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest
import torch

import scalecodec as sc

CASES_PER_SEED = 100
RAW_LIMIT = 2**28


class Case(NamedTuple):
    symbols: np.ndarray
    indexes: np.ndarray
    cdf: np.ndarray
    lengths: np.ndarray
    offsets: np.ndarray

    def lists(self):
        rows = [row[:n].tolist() for row, n in zip(self.cdf, self.lengths, strict=True)]
        return rows, self.lengths.tolist(), self.offsets.tolist()


def random_row(rng, symbols):
    """Cumulative counts of `symbols` symbols; flat, steep, or one symbol with all but what the others must have."""
    kind = rng.integers(4)
    weights = np.zeros(symbols) if kind == 0 else rng.random(symbols) ** (0.1, 1, 12)[kind - 1]
    freq = 1 + np.floor(weights / max(weights.sum(), 1e-300) * (65536 - symbols)).astype(np.int64)
    freq[rng.integers(symbols)] += 65536 - freq.sum()
    return np.concatenate([[0], np.cumsum(freq)])


def random_case(rng) -> Case:
    num_tables = int(rng.choice([1, 2, rng.integers(3, 33), 64, rng.integers(65, 321)], p=[0.3, 0.2, 0.3, 0.1, 0.1]))
    widest = int(rng.choice([2, 3, 12, 100, 700, 3132]))
    if num_tables * widest > 60_000:  # only to keep the lists, and so the test, short
        widest = 60_000 // num_tables
    widths = rng.integers(2, widest + 1, num_tables)  # symbols in a row, the escape among them
    cdf = np.zeros((num_tables, widths.max() + 1 + rng.integers(3)), np.int32)
    for row, width in zip(cdf, widths, strict=True):
        row[: width + 1] = random_row(rng, width)
    offsets = rng.choice([-(widths // 2), 0 * widths, rng.integers(-1000, 1000, num_tables), widths + 2**24])

    count = int(np.exp(rng.uniform(np.log(2), np.log(3000))))
    indexes = rng.integers(num_tables, size=count)
    if rng.random() < 0.5:
        value = rng.integers(widths[indexes])  # all alike, the escape symbol with raw = 0 among them
    else:  # by probability
        filled = np.where(np.arange(cdf.shape[1]) <= widths[:, None], cdf, 65536)
        slot = rng.integers(65536, size=count)
        value = np.array([np.searchsorted(filled[k], c, "right") - 1 for k, c in zip(indexes, slot, strict=True)])
    escaped = rng.random(count) < rng.choice([0, 0.01, 0.3, 1])
    raw = np.exp2(rng.uniform(0, 28, count)).astype(np.int64).clip(1, RAW_LIMIT - 1)
    raw[rng.random(count) < 0.02] = RAW_LIMIT - 1 - rng.integers(2)
    outside = np.where(raw % 2, -(raw + 1) // 2, raw // 2 + widths[indexes] - 1)
    value = np.where(escaped, outside, value)
    return Case(value + offsets[indexes], indexes, cdf, (widths + 1).astype(np.int32), offsets.astype(np.int32))


def safe_for_compressai(case: Case) -> bool:
    if len(case.symbols) != 2:
        return True
    value = case.symbols - case.offsets[case.indexes]
    inside = (value >= 0) & (value < case.lengths[case.indexes] - 2)
    value = np.where(inside, value, 0)
    freq = case.cdf[case.indexes, value + 1] - case.cdf[case.indexes, value]
    return not (inside & (freq == 1)).all()


def dressed(rng, array, smallest):
    """The same numbers in a random shape, integer type and home."""
    count = array.size
    rows = int(rng.choice([d for d in range(1, 13) if count % d == 0]))
    array = array.reshape([(count,), (rows, -1), (1, rows, 1, count // rows)][rng.integers(3)])
    array = array.astype(rng.choice([smallest, np.int32, np.int64]))
    return torch.from_numpy(array) if rng.random() < 0.3 else array


@pytest.mark.parametrize("seed", range(22))
def test_same_bytes_and_symbols(compressai, seed):
    rng = np.random.default_rng(seed)
    encoder, decoder = compressai.ans.RansEncoder(), compressai.ans.RansDecoder()
    tested = 0
    for _ in range(CASES_PER_SEED):
        case = random_case(rng)
        if not safe_for_compressai(case):
            continue
        symbols, indexes, lists = case.symbols.tolist(), case.indexes.tolist(), case.lists()
        table = sc.CdfTable.from_cdf(case.cdf, case.lengths, case.offsets)
        theirs = encoder.encode_with_indexes(symbols, indexes, *lists)
        our_symbols, our_indexes = dressed(rng, case.symbols, np.int32), dressed(rng, case.indexes, np.uint16)
        ours = sc.rans64.encode(our_symbols, our_indexes.reshape(our_symbols.shape), table)
        assert ours == theirs  # before their decoder sees it: it survives only valid streams
        assert decoder.decode_with_indexes(ours, indexes, *lists) == symbols
        decoded = sc.rans64.decode(theirs, our_indexes, table)
        assert decoded.shape == tuple(our_indexes.shape)
        assert decoded.dtype == np.int32
        np.testing.assert_array_equal(decoded.ravel(), case.symbols)
        tested += 1
    assert tested >= CASES_PER_SEED - 5


def random_pmf(rng):
    size = int(np.exp(rng.uniform(0, np.log(4000))))
    kind = rng.integers(7)
    if kind == 0:
        pmf = rng.random(size)
    elif kind == 1:  # steep
        pmf = rng.random(size) ** rng.uniform(2, 40)
    elif kind == 2:  # a bell with tails below float32's normal numbers
        pmf = np.exp(-(((np.arange(size) - size / 2) / rng.uniform(0.1, 1 + size / 4)) ** 2))
    elif kind == 3:  # mostly zeros
        pmf = rng.random(size) * (rng.random(size) < 0.05)
    elif kind == 4:  # one entry has it all
        pmf = np.zeros(size)
    elif kind == 5:  # ties in the search for the smallest frequency above 1
        pmf = rng.choice([0, 1, 2, 3], size) / 65536
    else:  # halves of a quantum: rounding half away from zero
        pmf = (rng.integers(0, 9, size) + 0.5) / 65536
    pmf[rng.integers(size)] += rng.choice([1e-4, 0.5, 1])
    pmf[rng.random(size) < 0.02] = 1e-42  # denormal
    if kind not in (5, 6):
        pmf *= rng.choice([1 / pmf.sum(), 1 / pmf.sum(), 0.3, 2, 10]) if pmf.sum() else 1
    return pmf.astype(np.float32)


@pytest.mark.parametrize("seed", range(22))
def test_same_quantized_cdf(compressai, seed):
    rng = np.random.default_rng(seed)
    for _ in range(CASES_PER_SEED):
        pmf = random_pmf(rng)
        try:
            theirs = compressai._CXX.pmf_to_quantized_cdf(pmf.tolist(), 16)
        except ValueError:  # all of it rounds to nothing
            with pytest.raises(ValueError, match="pmf"):
                sc.pmf_to_quantized_cdf(pmf, 16)
            continue
        ours = sc.pmf_to_quantized_cdf(pmf, 16)
        assert ours.dtype == np.int32
        np.testing.assert_array_equal(ours, theirs)


def test_quantized_cdf_as_their_tests_pin_it():
    assert sc.pmf_to_quantized_cdf([0.1, 0.2, 0, 0], 16).tolist() == [0, 21845, 65534, 65535, 65536]


@pytest.mark.parametrize("bad", [-1, -1e-30, math.inf, -math.inf, math.nan, 1e39])
@pytest.mark.parametrize("tail", [[], [2, 3, 4]])
def test_quantized_cdf_refuses(compressai, bad, tail):
    pmf = [1, 0, bad, *tail]
    with pytest.raises(ValueError, match="pmf"):
        compressai._CXX.pmf_to_quantized_cdf(pmf, 16)
    with pytest.raises(ValueError, match="pmf"):
        sc.pmf_to_quantized_cdf(pmf, 16)


@pytest.mark.parametrize("pmf", [[], [0.0], [0.0, 0.0, 0.0], [1e-9] * 100])
def test_quantized_cdf_refuses_no_mass(compressai, pmf):
    with pytest.raises(ValueError, match="pmf"):
        compressai._CXX.pmf_to_quantized_cdf(pmf, 16)
    with pytest.raises(ValueError, match="pmf"):
        sc.pmf_to_quantized_cdf(pmf, 16)


def scale_tables():
    yield torch.exp(torch.linspace(math.log(0.11), math.log(256), 64))  # CompressAI's own
    generator = torch.Generator().manual_seed(0)
    for size in (1, 2, 3, 17, 63, 65, 256):
        # from CompressAI's lower bound on: what is below it, its build_indexes raises to it
        yield (0.11 + 300 * torch.rand(size, generator=generator) ** 3).sort().values
    yield torch.tensor([0.5, 0.5, 0.5, 2.0, 2.0])


@pytest.mark.parametrize("number", range(9))
def test_same_indexes(compressai, number):
    table = list(scale_tables())[number]
    model = compressai.entropy_models.GaussianConditional(table.tolist())
    infinity = torch.tensor(math.inf)
    special = torch.tensor([math.nan, math.inf, -math.inf, 0.0, -0.0, -1.0, 0.11, 1e-42, 3e38])
    generator = torch.Generator().manual_seed(number)
    spread = torch.exp(torch.rand(20_000, generator=generator) * 12 - 5)
    edges = torch.cat([table, torch.nextafter(table, infinity), torch.nextafter(table, -infinity)])
    scale = torch.cat([special, edges, spread])
    theirs = model.build_indexes(scale)
    ours = sc.quantize.build_indexes(scale, model.scale_table)
    assert ours.dtype == torch.int32
    assert torch.equal(ours, theirs)
    grid = spread.reshape(20, 10, 100).permute(2, 0, 1)  # not contiguous
    assert torch.equal(sc.quantize.build_indexes(grid, table), model.build_indexes(grid))
