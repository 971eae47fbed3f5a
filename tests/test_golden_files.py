"""Files that were written once: every later version decodes them to the same latents, and codes the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scalecodec import backends, models
from scalecodec.container import unpack
from scalecodec.tile_decoder import TileDecoder
from tests.golden.make_files import MODELS, blobs

FOLDER = Path(__file__).parent / "golden" / "files_v1"
MANIFEST_SHA256 = "fdce4231b9a9a7174d45cb850f894b101a565e375841bede5e1e8ef1a74663a5"
FILES = json.loads((FOLDER / "manifest.json").read_text())
BLOBS = [name.removesuffix(".scl") for name in FILES if name.endswith(".scl")]


@pytest.fixture(scope="module")
def latents():
    with np.load(FOLDER / "latents.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def loaded():
    return {name: models.load(FOLDER / f"{name}.safetensors") for name in MODELS}


def test_the_folder_is_what_the_manifest_lists():
    assert hashlib.sha256((FOLDER / "manifest.json").read_bytes()).hexdigest() == MANIFEST_SHA256
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in FOLDER.iterdir()}
    assert there == FILES | {"manifest.json": MANIFEST_SHA256}
    assert len(BLOBS) == 15


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("name", BLOBS)
def test_files_decode_as_they_did(name, backend, latents, loaded):
    model = loaded[name.split("-")[0]]
    container = unpack((FOLDER / f"{name}.scl").read_bytes())
    for layers in range(1, container.header.num_layers + 1):
        with backends.use(backend):
            tiles = TileDecoder(container, model, layers, strict=True)
            for number in range(container.header.num_tiles):
                found = tiles.latent(*divmod(number, container.header.tiles_x))
                assert torch.equal(found, torch.from_numpy(latents[f"{name}-{layers}-{number}"]))


@pytest.mark.parametrize("name", MODELS)
def test_our_own_files_are_of_their_sizes(name, loaded):
    """Another machine's analysis rounds a few latents otherwise: sizes are near, tables and ids the same."""
    for kind, blob in blobs(
        loaded[name],
    ).items():
        golden = (FOLDER / f"{name}-{kind}.scl").read_bytes()
        one, other = unpack(blob).header, unpack(golden).header
        assert (one.model_id, one.table_id, one.num_layers) == (other.model_id, other.table_id, other.num_layers)
        assert len(blob) == pytest.approx(len(golden), rel=0.05, abs=8)
