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

FOLDER = Path(__file__).parents[1] / "golden" / "features_v1"
MANIFEST_SHA256 = "06f27f22691dc7f4d899dbedb18eac10256939e5490eae8bdcdceadd02ebda95"
FILES = json.loads((FOLDER / "manifest.json").read_text())
BLOBS = [name for name in FILES if name.endswith(".scf")]


def sha256(name):
    return hashlib.sha256((FOLDER / name).read_bytes()).hexdigest()


def test_the_folder_is_what_the_manifest_lists():
    assert sha256("manifest.json") == MANIFEST_SHA256
    assert {path.name for path in FOLDER.iterdir()} == {*FILES, "manifest.json"}
    assert all(sha256(name) == digest for name, digest in FILES.items())
    assert len(BLOBS) > 50


@pytest.fixture(scope="module")
def decoded():
    with np.load(FOLDER / "decoded.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def codec_of(name):
    return FeatureCodec.from_bytes((FOLDER / name.replace("-calibrated.scf", ".scq")).read_bytes())


@pytest.mark.parametrize("backend", backends.available())
@pytest.mark.parametrize("name", BLOBS)
def test_bytes_decode_as_they_did(name, backend, decoded):
    data = (FOLDER / name).read_bytes()
    with backends.use(backend):
        tensor = codec_of(name).decode(data) if "calibrated" in name else features.decode(data)
    assert torch.equal(tensor, torch.from_numpy(decoded[name]).to(tensor.dtype))
    assert tensor.shape == decoded[name].shape


@pytest.mark.parametrize("name", [name for name in BLOBS if "calibrated" in name])
def test_what_was_decoded_codes_to_the_same_bytes(name, decoded):
    codec = codec_of(name)
    data = (FOLDER / name).read_bytes()
    assert codec.encode(codec.decode(data)) == data
