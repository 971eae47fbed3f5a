"""Streams that CompressAI 1.2.8 wrote once: they decode to the same symbols and encode to the same bytes for ever."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import scalecodec as sc

FOLDER = Path(__file__).parents[1] / "golden" / "rans64_v1"
# of manifest.json, which holds those of all other files: golden files are added in new folders, never edited
MANIFEST_SHA256 = "658edb87a11acabf0ebc597fdc000c081aaa1ba73e6cfdd1cadbbbf28d1cbb04"
MANIFEST = json.loads((FOLDER / "manifest.json").read_text())
STREAMS = {stream["name"]: stream for stream in MANIFEST["streams"]}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@cache
def array(name: str) -> np.ndarray:
    return np.load(FOLDER / f"{name}.npy", allow_pickle=False)


@cache
def table(name: str) -> sc.CdfTable:
    num_tables, *_ = flat = array(f"tables_{name}")
    lengths, offsets, entries = np.split(flat[1:], [num_tables, 2 * num_tables])
    cdf = np.zeros((num_tables, lengths.max()), np.int32)
    for row, part in zip(cdf, np.split(entries, np.cumsum(lengths)[:-1]), strict=True):
        row[: len(part)] = part
    return sc.CdfTable.from_cdf(cdf, lengths, offsets)


def test_folder_is_what_the_manifest_lists():
    assert sha256((FOLDER / "manifest.json").read_bytes()) == MANIFEST_SHA256
    there = {path.name: sha256(path.read_bytes()) for path in FOLDER.iterdir() if path.name != "manifest.json"}
    assert there == MANIFEST["files"]
    assert {f"{name}.rans64" for name in STREAMS} <= there.keys()
    assert len(STREAMS) == 52


@pytest.mark.parametrize("name", STREAMS)
def test_stream(name):
    stream = STREAMS[name]
    cut = slice(stream["first"], stream["first"] + stream["count"])
    symbols, indexes = array("symbols")[cut], array("indexes")[cut].astype(np.int32)
    data = (FOLDER / f"{name}.rans64").read_bytes()
    decoded = sc.rans64.decode(data, indexes, table(stream["table"]))
    assert decoded.dtype == np.int32
    np.testing.assert_array_equal(decoded, symbols)
    assert sha256(decoded.astype("<i4").tobytes()) == stream["symbols_sha256"]
    assert sc.rans64.encode(symbols, indexes, table(stream["table"])) == data
