"""Run every case in a forked child and print, as one line of JSON each, how far its peak memory rose."""

from __future__ import annotations

import json
import os
import resource
import sys
import tempfile
import zlib
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import numpy as np
import torch

from scalecodec import codec
from scalecodec.container import ALPHA, Limits, pack, unpack
from scalecodec.errors import BitstreamError

kit = module_from_spec(spec := spec_from_file_location("codec_kit", Path(__file__).parent / "codec_kit.py"))
spec.loader.exec_module(kit)
MODEL = kit.small_model()
SMALL = unpack(codec.encode(kit.picture(64, 64), MODEL))
CHUNK, HEADER = SMALL.layers[0][0], SMALL.header


def large_picture():
    """4000 x 3000 RGB."""
    y, x, c = np.ogrid[:3000, :4000, :3]
    return (((x // 5 + y // 3) % 251) ^ (40 * c)).astype(np.uint8)


def declared(width, height, chunk, **fields):
    header = replace(HEADER, width=width, height=height, **{"tile_log2": 10, **fields})
    extra = {ALPHA: zlib.compress(bytes(200 << 20))} if header.channels == 4 else None
    return pack(header, [[chunk] * header.num_tiles], extra)


def decode(blob, **options):
    try:
        codec.decode_all(blob, model=MODEL, **options)
    except BitstreamError as error:
        return str(error)
    return "decoded"


def encode(samples, path):
    path.write_bytes(codec.encode(samples, MODEL))
    return "encoded"


def cases(folder):
    """(name, what to run) of every case."""
    large, path = large_picture(), folder / "large.scl"
    yield "encode 4000 x 3000", lambda: encode(large, path)
    yield "decode 4000 x 3000", lambda: decode(path.read_bytes())
    yield "decode a pixel of 4000 x 3000", lambda: decode(path.read_bytes(), roi=(2000, 1500, 1, 1))
    full = {"width": 16384, "height": 16384}
    yield "largest picture, empty chunks", lambda: decode(declared(**full, chunk=b""))
    yield "largest picture, wrong chunks", lambda: decode(declared(**full, chunk=CHUNK))
    yield (
        "largest picture, lenient, limited",
        lambda: decode(declared(**full, chunk=b""), strict=False, limits=Limits(max_memory_bytes=1 << 28)),
    )
    yield "largest picture in one tile", lambda: decode(declared(**full, chunk=b"", tile_log2=14), strict=False)
    yield "largest tile, lost", lambda: decode(declared(2048, 2048, b"", tile_log2=11), strict=False)
    yield "alpha bomb", lambda: decode(declared(64, 64, CHUNK, channels=4))


def measured(run):
    """Outcome and growth of the peak in KiB, in this process."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    end = run()
    growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"end": end, "grown_kib": growth // (1024 if sys.platform == "darwin" else 1)}


def in_a_child(name, run, path):
    """The case's line, written by a child that may die of it."""
    child = os.fork()
    if child == 0:
        path.write_text(json.dumps({"name": name} | measured(run)))
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return path.read_text() if path.exists() else json.dumps({"name": name, "end": f"died: wait status {status}"})


def main():
    torch.set_num_threads(1)  # a forked child has no other than the one that forked
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, run) in enumerate(cases(Path(folder))):
            sys.stdout.write(in_a_child(name, run, Path(folder) / f"{number}.json") + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
