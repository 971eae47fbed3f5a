"""Lane streams that the reference wrote once: every kernel set decodes them for ever, and writes those of ours."""

from __future__ import annotations

import numpy as np
import pytest

import scalecodec as sc
from scalecodec import backends
from tests.golden.folder import Folder

GOLDEN = Folder("lanes_v1", "lanes")
# of manifest.json, which holds those of all other files: golden files are added in new folders, never edited
MANIFEST_SHA256 = "e69a8c925ccf2256eb60f20c4ffff231914df664e6c1ce71770e81a0a2b3b7b3"


def test_folder_is_what_the_manifest_lists():
    GOLDEN.check(MANIFEST_SHA256)
    assert len(GOLDEN.records) == 51
    assert sum(record["ours"] for record in GOLDEN.records.values()) == 34
    first = [GOLDEN.stream(name).data[0] for name in GOLDEN.records]
    assert {0x7C, *range(4)} == {
        byte if byte == 0x7C else byte & 3 for byte in first
    }  # chunks, and each number of lanes


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("name", GOLDEN.records)
def test_stream(name, backend):
    symbols, indexes, tables, data, record = GOLDEN.stream(name)
    table = sc.CdfTable.from_cdf(*tables.padded())
    with backends.use(backend):
        decoded = sc.rans.decode(data, indexes, table)
        assert decoded.dtype == np.int32
        np.testing.assert_array_equal(decoded, symbols)
        assert not record["ours"] or sc.rans.encode(symbols, indexes, table) == data
