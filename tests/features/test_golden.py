"""Coded activations that were written once: every later version decodes them to the same bits, and codes the same."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from scalecodec import backends, features
from scalecodec.features import FeatureCodec

GOLDEN = Path(__file__).parents[1] / "golden"
MANIFEST_SHA256 = {
    "features_v1": "06f27f22691dc7f4d899dbedb18eac10256939e5490eae8bdcdceadd02ebda95",
    "features_estimates_v1": "51b5b651003ee4ec853d8060d2a2c2d25c863816397657232c23d1fcfbe8b765",
}
FILES = {folder: json.loads((GOLDEN / folder / "manifest.json").read_text()) for folder in MANIFEST_SHA256}
BLOBS = [f"{folder}/{name}" for folder, names in FILES.items() for name in names if name.endswith(".scf")]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(("folder", "count"), [("features_v1", 63), ("features_estimates_v1", 13)])
def test_the_folder_is_what_the_manifest_lists(folder, count):
    names = FILES[folder]
    assert sha256(GOLDEN / folder / "manifest.json") == MANIFEST_SHA256[folder]
    assert {path.name for path in (GOLDEN / folder).iterdir()} == {*names, "manifest.json"}
    assert all(sha256(GOLDEN / folder / name) == digest for name, digest in names.items())
    assert sum(name.endswith(".scf") for name in names) == count


@pytest.fixture(scope="module")
def decoded():
    found = {}
    for folder in FILES:
        with np.load(GOLDEN / folder / "decoded.npz", allow_pickle=False) as arrays:
            found |= {f"{folder}/{name}": arrays[name] for name in arrays}
    return found


def codec_of(name):
    return FeatureCodec.from_bytes((GOLDEN / name.replace("-calibrated.scf", ".scq")).read_bytes())


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("name", BLOBS)
def test_bytes_decode_as_they_did(name, backend, decoded):
    data = (GOLDEN / name).read_bytes()
    with backends.use(backend):
        tensor = codec_of(name).decode(data) if "calibrated" in name else features.decode(data)
    assert torch.equal(tensor, torch.from_numpy(decoded[name]).to(tensor.dtype))
    assert tensor.shape == decoded[name].shape


@pytest.mark.parametrize("name", [name for name in BLOBS if "calibrated" in name])
def test_what_was_decoded_codes_to_the_same_bytes(name, decoded):
    codec = codec_of(name)
    data = (GOLDEN / name).read_bytes()
    assert codec.encode(codec.decode(data)) == data
