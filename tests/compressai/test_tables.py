"""Tables that come with every call: known again, noticed when changed, kept within bounds."""

from __future__ import annotations

import sys
import threading

import numpy as np
import pytest

import scalecodec as sc
from scalecodec import _core
from scalecodec.compressai import ans, tables
from scalecodec.compressai.tables import TableCache


def make_tables(seed, num_tables=4, width=300):
    rng = np.random.default_rng(seed)
    cut = np.sort(rng.permuted(np.tile(np.arange(1, 65536), (num_tables, 1)), axis=1)[:, : width - 2], axis=1)
    cdf = np.concatenate([np.zeros((num_tables, 1), int), cut, np.full((num_tables, 1), 65536)], axis=1)
    return cdf.astype(np.int32), np.full(num_tables, width, np.int32), np.zeros(num_tables, np.int32)


def find(cache, cdfs, length, offset):
    return cache.find(np.arange(len(length)), cdfs, length, offset)


def lists(seed, **options):
    cdf, length, offset = make_tables(seed, **options)
    return cdf.tolist(), length, offset


@pytest.fixture
def cache(monkeypatch):
    """In the place of the one that all share."""
    fresh = TableCache()
    monkeypatch.setattr(tables, "_CACHE", fresh)
    return fresh


@pytest.fixture
def prepared(monkeypatch):
    """Counts the tables that are prepared."""
    made = []

    class Counting(_core.TableRows):
        def prepare(self):
            made.append(self)
            return super().prepare()

    monkeypatch.setattr(tables._core, "TableRows", Counting)
    return made


@pytest.mark.parametrize("same", ["lists", "tuples", "fresh lists", "arrays", "wider", "other padding"])
def test_prepared_once(cache, prepared, same):
    cdf, length, offset = make_tables(1)
    padded = np.pad(cdf, ((0, 0), (0, 3)))
    rows = padded.tolist()
    if same == "tuples":
        rows = tuple(map(tuple, rows))
    for i in range(4):
        given = {"fresh lists": padded.tolist(), "arrays": padded.copy(), "wider": np.pad(cdf, ((0, 0), (0, i)))}
        given["other padding"] = np.pad(cdf, ((0, 0), (0, 3)), constant_values=i).tolist()
        find(cache, given.get(same, rows), length, offset)
    assert len(prepared) == len(cache) == 1


CHANGES = {
    "an entry": lambda rows, length, offset: rows[2].__setitem__(150, rows[2][149] + 1),
    "two entries": lambda rows, length, offset: rows[3].__setitem__(slice(5, 7), [rows[3][4] + 1, rows[3][4] + 2]),
    "a row": lambda rows, length, offset: rows.__setitem__(1, rows[2]),
    "rows swapped": lambda rows, length, offset: rows.reverse(),
    "a length": lambda rows, length, offset: (rows[0].__setitem__(298, 65536), length.__setitem__(0, 299)),
    "an offset": lambda rows, length, offset: offset.__setitem__(3, 1),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("as_array", [False, True])
def test_changes_in_place_are_noticed(cache, change, as_array):
    rows, length, offset = lists(2)
    indexes, symbols = np.indices((4, 299)).reshape(2, -1).tolist()
    given = np.array(rows) if as_array else rows
    before = ans.RansEncoder().encode_with_indexes(symbols, indexes, given, length, offset)
    CHANGES[change](rows, length, offset)
    if as_array:
        given[...] = rows
    expected = sc.rans64.encode(
        np.array(symbols), np.array(indexes), sc.CdfTable.from_cdf(np.array(rows), length, offset)
    )
    assert ans.RansEncoder().encode_with_indexes(symbols, indexes, given, length, offset) == expected != before


@pytest.mark.parametrize("as_array", [False, True])
def test_rows_not_used_are_noticed_when_they_are(cache, as_array):
    rows, length, offset = lists(5)
    given = np.array(rows, np.int64) if as_array else rows
    table = find(cache, given, length, offset)
    given[3][150] = given[3][149] + 1
    for few in (0, 1, 2), (2,), (), (1, 1, 7, -1):
        assert cache.find(np.array(few, int), given, length, offset) is table
    for many in (3,), (0, 3), [3] * 5000:
        cache._kept = cache._kept[-1:]  # the first table alone
        assert cache.find(np.array(many, np.uint8), given, length, offset) is not table


def test_short_lists_are_noticed(cache):
    rows, length, offset = lists(3)
    find(cache, rows, length, offset)
    rows[1].pop()
    with pytest.raises(sc.errors.TableError):
        find(cache, rows, length, offset)
    rows.pop()
    with pytest.raises(ValueError, match="equally many"):
        find(cache, rows, length, offset)


def test_integers_are_held(cache):
    """Otherwise others could come to lie at their addresses, and pass for them."""
    rows, length, offset = lists(4)
    find(cache, rows, length, offset)
    entry = rows[0][150]
    held = sys.getrefcount(entry)
    cache._kept = ()
    assert sys.getrefcount(entry) == held - 1


class Number:
    """Stands for an integer that changes."""

    def __init__(self, value, then=lambda: None):
        self.value, self.then = value, then

    def __index__(self):
        self.then()
        return self.value


def test_changing_numbers_are_read_anew(cache):
    number = Number(20000)
    given = [[0, number, 65536]], np.array([3], np.int32), np.zeros(1, np.int32)
    first = find(cache, *given)
    assert find(cache, *given) is first
    number.value = 30000
    assert find(cache, *given) is not first


def test_lists_that_shrink_while_being_read(cache):
    symbols = [1, 2, 3, 4]
    symbols[1] = Number(2, symbols.clear)
    with pytest.raises(ValueError, match="shorter"):
        tables.int32(symbols, "symbols")
    row = [0, 20000, 65536]
    row[1] = Number(20000, row.clear)
    rows = [row, [0, 65536]]
    given = rows, np.array([3, 2], np.int32), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="shorter"):
        find(cache, *given)
    row[:] = [0, Number(20000, rows.clear), 65536]
    rows[:] = [row, [0, 65536]]
    with pytest.raises(ValueError, match="shorter"):
        find(cache, *given)


def test_last_used_stay():
    cache = TableCache(max_kept=3)
    sets = [lists(seed) for seed in range(5)]
    first = find(cache, *sets[0])
    for each in sets[1:]:
        find(cache, *each)
        assert find(cache, *sets[0]) is first
        assert len(cache) <= 3
    assert [cache._kept[place][0].matches(*sets[i], np.arange(4)) for place, i in enumerate((0, 4, 3))] == [True] * 3


def test_bytes_are_bounded():
    some, large = lists(1), lists(2, num_tables=30)
    bytes_of = [_core.TableRows(*each, keep_objects=True).num_bytes for each in (some, large)]
    assert bytes_of[0] >= 4 * 300 * 4
    cache = TableCache(max_bytes=3 * bytes_of[0])
    for seed in range(6):
        find(cache, *lists(seed))
        assert sum(rows.num_bytes for rows, _ in cache._kept) <= 3 * bytes_of[0]
    assert len(cache) == 3
    table = find(cache, *large)  # too large to stay
    assert table.num_tables == 30
    assert len(cache) == 3


def test_tables_of_one_use_are_not_kept(cache):
    count = tables.MIN_SINGLE_USE
    rows, length, offset = [[0, 100 + i, 65536] for i in range(count)], [3] * count, [0] * count
    stream = ans.RansEncoder().encode_with_indexes([0] * count, list(range(count)), rows, length, offset)
    assert ans.RansDecoder().decode_with_indexes(stream, list(range(count)), rows, length, offset) == [0] * count
    assert len(cache) == 0
    ans.RansEncoder().encode_with_indexes([0] * count, [*range(count - 1), 0], rows, length, offset)
    assert len(cache) == 1


def test_threads():
    """Many threads, sets that push each other out, lists that change: every answer is that of its own tables."""
    sets = [tuple(part.tolist() for part in make_tables(seed, width=60)) for seed in range(tables.MAX_KEPT + 4)]
    rng = np.random.default_rng(0)
    symbols, indexes = rng.integers(0, 60, 300).tolist(), rng.integers(0, 4, 300).tolist()
    expected = [
        sc.rans64.encode(np.array(symbols), np.array(indexes), sc.CdfTable.from_cdf(*map(np.array, each)))
        for each in sets
    ]
    wrong = []

    def work(seed):
        rng = np.random.default_rng(seed)
        for i in rng.integers(len(sets), size=150):
            stream = ans.RansEncoder().encode_with_indexes(symbols, indexes, *sets[i])
            if stream != expected[i] or ans.RansDecoder().decode_with_indexes(stream, indexes, *sets[i]) != symbols:
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(tables._CACHE) <= tables.MAX_KEPT
