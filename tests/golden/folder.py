"""A folder of golden streams: how it is written, once, and how it is read.

- `manifest.json`: who wrote it, SHA-256 of every other file, and of each stream its table set, its part of the symbols
  (`first`, `count`), their SHA-256 and what else is to know of it
- `NAME.npy`, or all of them in one compressed `arrays.npz`:
  `tables_SET` int32: number of tables T, T cdf lengths, T offsets, then the rows without padding (in `arrays.npz` the
  differences of that, of which most are alike);
  `symbols` int32 and `indexes` uint16 of all streams one after another
- `NAME.SUFFIX`: the streams
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Tables:
    """Rows of a table set, in the three lists that CompressAI takes."""

    def __init__(self, rows: Iterable[Iterable[int]], offsets: Iterable[int]) -> None:
        self.rows = [[int(c) for c in row] for row in rows]
        self.lengths = [len(row) for row in self.rows]
        self.offsets = [int(offset) for offset in offsets]

    def lists(self) -> tuple[list[list[int]], list[int], list[int]]:
        return self.rows, self.lengths, self.offsets

    def array(self) -> NDArray[np.int32]:
        flat = [entry for row in self.rows for entry in row]
        return np.array([len(self.rows), *self.lengths, *self.offsets, *flat], dtype="<i4")

    @classmethod
    def of_array(cls, flat: NDArray[np.int32]) -> Tables:
        lengths, offsets, entries = np.split(flat[1:], [flat[0], 2 * flat[0]])
        return cls(np.split(entries, np.cumsum(lengths)[:-1]), offsets)

    def padded(self) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
        """CompressAI's three buffers."""
        cdf = np.zeros((len(self.rows), max(self.lengths)), np.int32)
        for padded, row in zip(cdf, self.rows, strict=True):
            padded[: len(row)] = row
        return cdf, np.array(self.lengths, np.int32), np.array(self.offsets, np.int32)


class Written(NamedTuple):
    """A stream to be stored; `facts` go into the manifest."""

    name: str
    table: str
    symbols: NDArray[np.integer]
    indexes: NDArray[np.integer]
    data: bytes
    facts: Mapping[str, Any] = {}


def write(
    folder: Path, writer: str, suffix: str, tables: Mapping[str, Tables], streams: Iterable[Written], *, packed: bool
) -> None:
    if folder.exists():
        sys.exit(f"{folder} exists: golden files are never written again, a new format gets a new folder")
    folder.mkdir()
    records, symbols_all, indexes_all, first = [], [], [], 0
    for stream in streams:
        symbols, indexes = stream.symbols.astype("<i4"), stream.indexes.astype("<u2")
        (folder / f"{stream.name}.{suffix}").write_bytes(stream.data)
        record = {"name": stream.name, "table": stream.table, "first": first, "count": len(symbols)}
        records.append(record | {"symbols_sha256": sha256(symbols.tobytes())} | dict(stream.facts))
        symbols_all.append(symbols)
        indexes_all.append(indexes)
        first += len(symbols)
    arrays = {"symbols": np.concatenate(symbols_all), "indexes": np.concatenate(indexes_all)}
    flat = {f"tables_{name}": table.array() for name, table in tables.items()}
    if packed:
        arrays |= {name: np.diff(array, prepend=np.int32(0)) for name, array in flat.items()}
        np.savez_compressed(folder / "arrays.npz", allow_pickle=False, **arrays)
    else:
        for name, array in (arrays | flat).items():
            np.save(folder / f"{name}.npy", array, allow_pickle=False)
    files = {path.name: sha256(path.read_bytes()) for path in sorted(folder.iterdir())}
    manifest = {"writer": writer, "precision": 16, "files": files, "streams": records}
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=1) + "\n")
    sys.stdout.write(f"{len(records)} streams, {sum(p.stat().st_size for p in folder.iterdir())} bytes in {folder}\n")


class Stored(NamedTuple):
    """A stream as it was stored; `record` is the manifest's."""

    symbols: NDArray[np.int32]
    indexes: NDArray[np.int32]
    tables: Tables
    data: bytes
    record: Mapping[str, Any]


class Folder:
    """Golden streams, read."""

    def __init__(self, name: str, suffix: str) -> None:
        self.path, self.suffix = Path(__file__).parent / name, suffix
        self.manifest = json.loads((self.path / "manifest.json").read_text())
        self.records = {record["name"]: record for record in self.manifest["streams"]}

    def check(self, manifest_sha256: str) -> None:
        """The folder holds what the manifest lists, the manifest is the one whose SHA-256 a test has."""
        assert sha256((self.path / "manifest.json").read_bytes()) == manifest_sha256
        there = {path.name: sha256(path.read_bytes()) for path in self.path.iterdir() if path.name != "manifest.json"}
        assert there == self.manifest["files"]
        assert {f"{name}.{self.suffix}" for name in self.records} <= there.keys()

    @cached_property
    def arrays(self) -> dict[str, NDArray[Any]]:
        packed = self.path / "arrays.npz"
        if packed.exists():
            with np.load(packed, allow_pickle=False) as file:
                differences = [name for name in file if name.startswith("tables_")]
                return dict(file) | {name: np.cumsum(file[name], dtype=np.int32) for name in differences}
        return {path.stem: np.load(path, allow_pickle=False) for path in self.path.glob("*.npy")}

    def stream(self, name: str) -> Stored:
        record = self.records[name]
        cut = slice(record["first"], record["first"] + record["count"])
        symbols, indexes = self.arrays["symbols"][cut], self.arrays["indexes"][cut].astype(np.int32)
        assert sha256(symbols.astype("<i4").tobytes()) == record["symbols_sha256"]
        data = (self.path / f"{name}.{self.suffix}").read_bytes()
        return Stored(symbols, indexes, Tables.of_array(self.arrays[f"tables_{record['table']}"]), data, record)
