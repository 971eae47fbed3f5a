"""Files that were written once: every later version decodes them to the same latents, and codes the same."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import torch

from scalecodec import backends, models
from scalecodec.container import unpack
from scalecodec.tile_decoder import TileDecoder
from tests.golden.make_files import FOLDERS, GOLDEN, blobs

MANIFEST_SHA256 = {
    "files_v1": "fdce4231b9a9a7174d45cb850f894b101a565e375841bede5e1e8ef1a74663a5",
    "files_v2": "2525e3181cd5d58ff89493c31c96fd572fe8078086a6b8868d2ead9b44040f13",
    "files_v3": "2cd061f906e9f0d68adfc9f31390b62a5a8bb2b3783a5069f49e27e0efc7be1c",
}
FILES = {folder: json.loads((GOLDEN / folder / "manifest.json").read_text()) for folder in FOLDERS}
BLOBS = [(folder, name.removesuffix(".scl")) for folder in FOLDERS for name in FILES[folder] if name.endswith(".scl")]
MODELS = [(folder, name) for folder, made in FOLDERS.items() for name in made]


@pytest.fixture(scope="module")
def latents():
    found = {}
    for folder in FOLDERS:
        with np.load(GOLDEN / folder / "latents.npz", allow_pickle=False) as arrays:
            found[folder] = dict(arrays)
    return found


@pytest.fixture(scope="module")
def loaded():
    return {name: models.load(GOLDEN / folder / f"{name}.safetensors") for folder, name in MODELS}


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folder_is_what_the_manifest_lists(folder):
    assert hashlib.sha256((GOLDEN / folder / "manifest.json").read_bytes()).hexdigest() == MANIFEST_SHA256[folder]
    there = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (GOLDEN / folder).iterdir()}
    assert there == FILES[folder] | {"manifest.json": MANIFEST_SHA256[folder]}


def test_there_is_a_file_of_each_kind():
    assert [sum(folder == one for one, _ in BLOBS) for folder in FOLDERS] == [15, 8, 8]


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize(("folder", "name"), BLOBS)
def test_files_decode_as_they_did(folder, name, backend, latents, loaded):
    model = loaded[name.split("-")[0]]
    container = unpack((GOLDEN / folder / f"{name}.scl").read_bytes())
    for layers in range(1, container.header.num_layers + 1):
        with backends.use(backend):
            tiles = TileDecoder(container, model, layers, strict=True)
            for number in range(container.header.num_tiles):
                found = tiles.latent(*divmod(number, container.header.tiles_x))
                assert torch.equal(found, torch.from_numpy(latents[folder][f"{name}-{layers}-{number}"]))


@pytest.mark.parametrize(("folder", "name"), MODELS)
def test_our_own_files_are_of_their_sizes(folder, name, loaded):
    """Another machine's analysis rounds a few latents otherwise: sizes are near, tables and ids the same."""
    for kind, blob in blobs(loaded[name]).items():
        golden = (GOLDEN / folder / f"{name}-{kind}.scl").read_bytes()
        one, other = unpack(blob).header, unpack(golden).header
        assert (one.model_id, one.table_id, one.num_layers) == (other.model_id, other.table_id, other.num_layers)
        assert len(blob) == pytest.approx(len(golden), rel=0.05, abs=8)
