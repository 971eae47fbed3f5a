"""Writes golden folders: small models, the .scl files that they made of a picture, the latents that these decode to.

    python -m tests.golden.make_files FOLDER

Run once; golden files are never written again. Latents, not pixels: floats of synthesis differ from machine to machine.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from scalecodec import codec
from scalecodec.container import unpack
from scalecodec.models import CompressionModel, save_weights
from scalecodec.tile_decoder import TileDecoder
from tests.codec_kit import picture, small_model
from tests.models.layered_kit import awake

GOLDEN = Path(__file__).parent
_THREE = {"channels": 4, "layer0": 4, "layer1": 2, "layer2": 2, "features0": 3, "features1": 2, "unpacked": 0}
# Models by folder.
FOLDERS = {
    "files_v1": {
        "plain": lambda: small_model(channels=4, latent_channels=6),
        "apart": lambda: awake("frequency", channels=4, layer0=4, layer1=4, stages=3),
        "shared": lambda: awake("denoise", channels=4, layer0=4, layer1=2),
        "three": lambda: awake(
            "scalable", channels=4, layer0=4, layer1=2, layer2=2, features0=3, features1=2, unpacked=0
        ),
    },
    "files_v2": {
        "finer": lambda: awake("denoise-fine", channels=4, layer0=4),
        "stages": lambda: awake("frequency", channels=4, layer0=4, layer1=4),
    },
    "files_v3": {
        "unpacked": lambda: awake("scalable", channels=4, layer0=4, layer1=2, layer2=2, features0=3, features1=2),
        "blind": lambda: awake("disentangled", channels=4, layer0=4, layer1=4, features0=3, blind=1),
    },
}
GAINS = (0.1, 1.0)


def blobs(model: CompressionModel) -> dict[str, bytes]:
    """Files of one picture: at two rates, in tiles, and a part of it."""
    samples = picture(150, 100)
    found = {f"gain{gain:g}": codec.encode(samples, model, gain=gain) for gain in GAINS}
    found["tiles"] = codec.encode(samples, model, gain=0.5, tile=64)
    if model.num_layers > 1:
        found["region"] = codec.keep(found["tiles"], roi=(70, 10, 5, 5))
    return found


def main(folder_name: str) -> None:
    folder = GOLDEN / folder_name
    if folder.exists():
        sys.exit(f"{folder} exists: golden files are never written again, a new format gets a new folder")
    folder.mkdir()
    arrays = {}
    for name, make in FOLDERS[folder_name].items():
        model = make()
        save_weights(model, folder / f"{name}.safetensors")
        for kind, blob in blobs(model).items():
            (folder / f"{name}-{kind}.scl").write_bytes(blob)
            for layers in range(1, model.num_layers + 1):
                tiles = TileDecoder(unpack(blob), model, layers, strict=True)
                places = [(r, c) for r in range(len(tiles.grid.rows)) for c in range(len(tiles.grid.columns))]
                for number, place in enumerate(places):
                    arrays[f"{name}-{kind}-{layers}-{number}"] = tiles.latent(*place).numpy()
    np.savez_compressed(folder / "latents.npz", allow_pickle=False, **arrays)
    files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    (folder / "manifest.json").write_text(json.dumps(files, indent=1) + "\n")
    sys.stdout.write(f"{len(files)} files, {sum(path.stat().st_size for path in folder.iterdir())} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])
