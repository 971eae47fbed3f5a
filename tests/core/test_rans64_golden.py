"""Streams that CompressAI 1.2.8 wrote once: they decode to the same symbols and encode to the same bytes for ever."""

from __future__ import annotations

import numpy as np
import pytest

import scalecodec as sc
from tests.golden.folder import Folder

GOLDEN = Folder("rans64_v1", "rans64")
# of manifest.json, which holds those of all other files: golden files are added in new folders, never edited
MANIFEST_SHA256 = "658edb87a11acabf0ebc597fdc000c081aaa1ba73e6cfdd1cadbbbf28d1cbb04"


def test_folder_is_what_the_manifest_lists():
    GOLDEN.check(MANIFEST_SHA256)
    assert len(GOLDEN.records) == 52


@pytest.mark.parametrize("name", GOLDEN.records)
def test_stream(name):
    symbols, indexes, tables, data, _ = GOLDEN.stream(name)
    table = sc.CdfTable.from_cdf(*tables.padded())
    decoded = sc.rans64.decode(data, indexes, table)
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)
    assert sc.rans64.encode(symbols, indexes, table) == data
