"""CdfTable: three ways to make one, what it keeps of what it was given, its id, and that nobody can change it."""

from __future__ import annotations

import copy
import math
import pickle  # noqa: TID251 - users send tables to worker processes

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import scalecodec as sc
from scalecodec.cdf import default_scale_table, gaussian_pmf
from scalecodec.errors import TableError

ROWS = [[0, 10, 65536], [0, 65536], [0, 1, 2, 3, 65536]]
OFFSETS = [-1, 0, 7]
COPIES = {
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda table: pickle.loads(pickle.dumps(table)),
    "pickle, oldest protocol": lambda table: pickle.loads(pickle.dumps(table, 0)),
}


def make(rows=ROWS, offsets=OFFSETS, padding=0, fill=0, dtype=np.int32):
    width = max(map(len, rows)) + padding
    cdf = np.array([row + [fill] * (width - len(row)) for row in rows], dtype=dtype)
    return sc.CdfTable.from_cdf(cdf, np.array([len(row) for row in rows]), np.array(offsets))


def code(table):
    """Bytes that depend on every row, and that they decode."""
    indexes = np.arange(60) % table.num_tables
    symbols = np.arange(60) % 5 + table.offset[indexes]
    data = sc.rans64.encode(symbols, indexes, table)
    np.testing.assert_array_equal(sc.rans64.decode(data, indexes, table), symbols)
    return data


def test_attributes_are_what_was_given():
    table = make()
    assert table.num_tables == 3
    assert [row[:n].tolist() for row, n in zip(table.cdf, table.cdf_length, strict=True)] == ROWS
    assert table.cdf_length.tolist() == [3, 2, 5]
    assert table.offset.tolist() == OFFSETS
    assert {array.dtype for array in (table.cdf, table.cdf_length, table.offset)} == {np.dtype(np.int32)}


def test_padding_is_not_part_of_a_table():
    tables = [make(), make(padding=1), make(padding=40, fill=-7), make(padding=3, fill=65536, dtype=np.int64)]
    for table in tables:
        assert table.id == tables[0].id
        assert table == tables[0]
        assert hash(table) == hash(tables[0])
        assert code(table) == code(tables[0])
        beyond = np.arange(table.cdf.shape[1]) >= table.cdf_length[:, None]
        assert not table.cdf[beyond].any()


@pytest.mark.parametrize(
    "other",
    [
        make(rows=[[0, 11, 65536], *ROWS[1:]]),
        make(offsets=[-1, 0, 8]),
        make(offsets=[0, -1, 7]),
        make(rows=ROWS[::-1], offsets=OFFSETS[::-1]),
        make(rows=ROWS[:2], offsets=OFFSETS[:2]),
        make(rows=[*ROWS, ROWS[1]], offsets=[*OFFSETS, 0]),
        make(rows=[[0, 10, 65535, 65536], *ROWS[1:]]),
    ],
)
def test_anything_else_is(other):
    assert other.id != make().id
    assert other != make()


def test_id_is_a_constant_of_the_format():
    """Files name their tables by it: it may never change."""
    assert make().id.hex() == "ff075f51d3768b70"
    assert sc.CdfTable.gaussian().id.hex() == "64e4399864c3a384"


def test_nothing_else_equals_a_table():
    assert make() != make().id
    assert make() != None  # noqa: E711
    assert "num_tables=3" in repr(make())
    assert make().id.hex() in repr(make())


def test_arrays_cannot_be_written_and_are_copies():
    buffers = [np.array([[0, 10, 65536]], np.int32), np.array([3], np.int32), np.array([0], np.int32)]
    table = sc.CdfTable.from_cdf(*buffers)
    before = table.id, code(table)
    for name, buffer in zip(("cdf", "cdf_length", "offset"), buffers, strict=True):
        assert not np.shares_memory(getattr(table, name), buffer)
        buffer[...] = 9
        with pytest.raises(ValueError, match="read-only"):
            getattr(table, name)[...] = 9
    assert (table.id, code(table)) == before
    assert table.cdf.tolist() == [[0, 10, 65536]]


@pytest.mark.parametrize("make_copy", COPIES.values(), ids=COPIES)
def test_copies_are_equal_and_work(make_copy):
    table = make(padding=2)
    other = make_copy(table)
    assert other == table
    assert code(other) == code(table)
    assert not other.cdf.flags.writeable


@pytest.mark.parametrize("home", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
@pytest.mark.parametrize("dtype", [np.int32, np.int64, np.uint32, ">i4"])
def test_buffers_of_any_integer_type(home, dtype):
    cdf = np.array([[0, 10, 65536], [0, 65536, 0]])
    buffers = [cdf, np.array([3, 2]), np.array([0, 5])]
    if home is torch.from_numpy:
        dtype = np.dtype(dtype).newbyteorder("=")  # torch has no other
        buffers = [home(np.asfortranarray(buffer.astype(dtype))) for buffer in buffers]
    else:
        buffers = [np.asfortranarray(buffer.astype(dtype)) for buffer in buffers]
    assert sc.CdfTable.from_cdf(*buffers) == make([[0, 10, 65536], [0, 65536]], [0, 5])


@given(st.lists(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=30), min_size=1, max_size=5))
def test_from_pmf_is_row_by_row(pmfs):
    pmfs = [[*pmf, 0.5] for pmf in pmfs]
    table = sc.CdfTable.from_pmf(pmfs, np.arange(len(pmfs)))
    assert table.offset.tolist() == list(range(len(pmfs)))
    for pmf, row, length in zip(pmfs, table.cdf, table.cdf_length, strict=True):
        assert length == len(pmf) + 1
        assert row[:length].tolist() == sc.pmf_to_quantized_cdf(pmf).tolist()


def test_from_pmf_refuses():
    with pytest.raises(TableError, match="at least one"):
        sc.CdfTable.from_pmf([], [])
    with pytest.raises(ValueError, match="offset"):
        sc.CdfTable.from_pmf([[0.5, 0.5]], [0, 1])
    with pytest.raises(ValueError, match="pmf"):
        sc.CdfTable.from_pmf([[0.5, 0.5], [0.5, math.nan]], [0, 1])
    with pytest.raises(TypeError, match="offset"):
        sc.CdfTable.from_pmf([[0.5, 0.5]], [0.5])


@pytest.mark.parametrize("precision", range(1, 17))
def test_quantized_cdf_keeps_its_contract_at_every_precision(precision):
    rng = np.random.default_rng(precision)
    for count in {1, 2, 1 << (precision // 2), 1 << precision}:
        pmf = rng.random(count) ** 8
        pmf[rng.integers(count)] += 1
        cdf = sc.pmf_to_quantized_cdf(pmf, precision)
        assert cdf[0] == 0
        assert cdf[-1] == 1 << precision
        assert (np.diff(cdf) > 0).all()
        assert len(cdf) == count + 1


def their_table(compressai, scales):
    model = compressai.entropy_models.GaussianConditional(None)
    model.update_scale_table(scales)
    return model


@pytest.mark.parametrize("number", range(6))
def test_gaussian_is_compressais(compressai, number):
    rng = np.random.default_rng(number)
    scales = default_scale_table() if number == 0 else torch.from_numpy(0.11 + 80 * rng.random(5 * number) ** 3).float()
    scales = scales.sort().values
    theirs = their_table(compressai, scales)
    ours = sc.CdfTable.gaussian() if number == 0 else sc.CdfTable.gaussian(scales)
    np.testing.assert_array_equal(ours.offset, theirs.offset)
    np.testing.assert_array_equal(ours.cdf_length, theirs.cdf_length)
    np.testing.assert_array_equal(ours.cdf, theirs.quantized_cdf)
    assert ours == sc.CdfTable.from_cdf(theirs.quantized_cdf, theirs.cdf_length, theirs.offset)


def test_gaussian_pmf_sums_to_one_and_is_even():
    rows, offset = gaussian_pmf(torch.tensor([0.11, 1.0, 50.0]))
    for row, first in zip(rows, offset.tolist(), strict=True):
        assert len(row) == 2 - 2 * first
        assert abs(float(row.double().sum()) - 1) < 1e-5
        assert torch.equal(row[:-1], row[:-1].flip(0))


@pytest.mark.parametrize("scales", [[], [[1.0]], [0.0, 1.0], [-1.0], [2.0, 1.0], [math.nan], [math.inf], [10001.0]])
def test_gaussian_refuses(scales):
    with pytest.raises(ValueError, match="scale_table"):
        sc.CdfTable.gaussian(scales)


def test_gaussian_takes_very_narrow_and_very_wide_scales():
    table = sc.CdfTable.gaussian([1e-6, 5000])
    code(table)
    assert table.cdf_length.tolist() == [5, 61099]  # 6.1 scales to each side, the escape, and the entry at the end


def test_the_widest_gaussian_fits_and_a_wider_one_is_refused():
    assert sc.CdfTable.gaussian([5000]).cdf_length[0] > 60_000
    with pytest.raises(ValueError, match=r"\(0, 5000\]"):
        sc.CdfTable.gaussian([5001])


def test_of_several_bad_rows_the_first_is_named():
    rows = np.array([[1, 500, 65536], [0, 500, 65536], [0, 500, 65536]], np.int32)
    for lengths, named in (([3, 99, 3], 0), ([3, 3, 99], 0), ([1, 3, 99], 0)):
        with pytest.raises(TableError, match=rf"\(table {named}\)"):
            sc.CdfTable.from_cdf(rows, np.array(lengths, np.int32), np.zeros(3, np.int32))
    rows[0, 0] = 0
    with pytest.raises(TableError, match=r"\(table 1\)"):
        sc.CdfTable.from_cdf(rows, np.array([3, 99, 1], np.int32), np.zeros(3, np.int32))
