"""What only the rans64 doors have: streaming, the strict end, queues; and their rate."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import scalecodec as sc
from scalecodec.errors import BitstreamError
from tests.oracle import rans64 as oracle

from .stream_kit import SCALES, cases, gaussian, make_case


@given(parts=st.lists(cases(max_count=700), min_size=1, max_size=4), data=st.data())
def test_streaming_equals_one_shot(parts, data):
    """Calls with tables of their own make the stream of one call with all tables one after another."""
    first_table = np.cumsum([0, *[part.table.num_tables for part in parts]])
    all_rows = [row for part in parts for row in part.lists.cdf]
    offsets = [offset for part in parts for offset in part.lists.offset]
    together = make_case(np.random.default_rng(0), all_rows, offsets, 0, 0).table
    symbols = np.concatenate([part.symbols for part in parts])
    indexes = np.concatenate([part.indexes + first for part, first in zip(parts, first_table, strict=False)])
    encoder = sc.rans64.Encoder()
    for part in parts:
        encoder.append(part.symbols, part.indexes, part.table)
    stream = encoder.flush()
    assert stream == sc.rans64.encode(symbols, indexes, together)
    assert encoder.flush() == sc.rans64.encode(symbols[:0], indexes[:0], together)

    decoder = sc.rans64.Decoder(stream)
    for part in parts:
        cut = data.draw(st.integers(0, len(part.symbols)))
        pieces = [decoder.decode(piece, part.table) for piece in (part.indexes[:cut], part.indexes[cut:])]
        np.testing.assert_array_equal(np.concatenate(pieces), part.symbols)
    decoder.finish()


@given(case=cases(), tail=st.binary(min_size=1, max_size=12))
def test_strict_wants_the_end(case, tail):
    data = sc.rans64.encode(case.symbols, case.indexes, case.table)
    with pytest.raises(BitstreamError, match="multiple of 4" if len(tail) % 4 else "goes on"):
        sc.rans64.decode(data + tail, case.indexes, case.table)
    if len(tail) % 4 == 0:
        lenient = sc.rans64.decode(data + tail, case.indexes, case.table, strict=False)
        np.testing.assert_array_equal(lenient, case.symbols)


def test_queued_symbols_are_the_encoders_own():
    case = make_case(np.random.default_rng(5), [[0, 1, 300, 65536]], [0], 1000, 0.1)
    expected = sc.rans64.encode(case.symbols, case.indexes, case.table)
    encoder = sc.rans64.Encoder()
    encoder.append(case.symbols, case.indexes, case.table)
    case.symbols[:] = 0
    assert encoder.flush() == expected


def gaussian_case(seed, count):
    rng = np.random.default_rng(seed)
    indexes = rng.integers(64, size=count)
    return np.rint(SCALES[indexes] * rng.standard_normal(count)).astype(np.int64), indexes


@pytest.mark.parametrize("count", [1, 10, 100, 1000, 30_000])
@pytest.mark.parametrize("seed", range(3))
def test_rate_is_near_the_entropy(seed, count):
    table = gaussian()
    symbols, indexes = gaussian_case(seed, count)
    symbols[:: max(count // 3, 1)] += 10_000  # escapes, at their own price
    lists = oracle.Tables(table.cdf.tolist(), table.cdf_length.tolist(), table.offset.tolist())
    ideal = oracle.ideal_bits(symbols.tolist(), indexes.tolist(), lists)
    num_bits = 8 * len(sc.rans64.encode(symbols, indexes, table))
    assert num_bits <= ideal * 1.001 + 64
    assert num_bits >= ideal
