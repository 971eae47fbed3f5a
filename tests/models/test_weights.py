"""Weight files: what is saved comes back to the bit, and what would not is not saved."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch

from scalecodec import codec
from scalecodec.integer import round_weights
from scalecodec.models import MeanScaleHyperprior, freeze, load, name_of_id, save_weights, zoo
from scalecodec.models.weights import load_weights, read_metadata
from tests.codec_kit import picture, small_model, weight_file


@pytest.fixture(scope="module")
def model():
    return small_model(channels=4, latent_channels=6)


@pytest.fixture(scope="module")
def stored(model, tmp_path_factory):
    return weight_file(model, tmp_path_factory.mktemp("weights") / "model.safetensors")


def test_what_is_saved_comes_back_to_the_bit(model, tmp_path):
    path = tmp_path / "model.safetensors"
    save_weights(model, path)
    for back in (load(path), load(os.fspath(path)), load_weights(path)):
        assert type(back) is MeanScaleHyperprior
        assert back.config() == {"channels": 4, "latent_channels": 6, "integers": 1}
        assert not back.training
        wanted = model.state_dict()
        assert back.state_dict().keys() == wanted.keys()
        for name, tensor in back.state_dict().items():
            assert tensor.dtype == wanted[name].dtype, name
            assert torch.equal(tensor, wanted[name]), name
        assert (back.model_id(), back.table_id()) == (model.model_id(), model.table_id())
        assert codec.encode(picture(70, 80), back) == codec.encode(picture(70, 80), model)
    save_weights(back, again := tmp_path / "again.safetensors")
    assert again.read_bytes() == path.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["again.safetensors", "model.safetensors"]


def test_the_file_is_small_and_says_what_it_holds(model, stored):
    data, tensors, metadata = stored
    kernels = {name for name, parameter in model.named_parameters() if parameter.dim() == 4}
    assert {name for name, tensor in tensors.items() if tensor.dtype == torch.float16} == kernels
    assert {name for name, tensor in tensors.items() if tensor.dtype == torch.uint16} == {
        "entropy_bottleneck._quantized_cdf",
        "gaussian_conditional._quantized_cdf",
    }
    cdf_length = model.gaussian_conditional._cdf_length
    assert tensors["gaussian_conditional._quantized_cdf"].shape == (int((cdf_length - 2).sum()),)
    assert json.loads(metadata["config"]) == {"channels": 4, "latent_channels": 6, "integers": 1}
    assert {name: value for name, value in metadata.items() if name != "config"} == {
        "format": "scalecodec-weights-1",
        "model": "vbr-mean",
        "model_id": model.model_id().hex(),
        "table_id": model.table_id().hex(),
    }
    assert len(data) < sum(tensor.nbytes for tensor in tensors.values()) + 16_000


def test_freezing_is_what_the_file_does_to_the_kernels():
    torch.manual_seed(0)
    model = MeanScaleHyperprior(4, 6).train()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    freeze(model)
    assert not model.training
    ids = model.model_id(), model.table_id()
    twin = MeanScaleHyperprior(4, 6)
    twin.load_state_dict({name: before[name] for name in before}, strict=False)
    round_weights(twin.h_s, 12)
    for name, parameter in twin.named_parameters():
        if not name.endswith("quantiles"):
            wanted = parameter.half().float() if parameter.dim() == 4 else before[name]
            assert torch.equal(dict(model.named_parameters())[name], wanted), name
    freeze(model)
    assert (model.model_id(), model.table_id()) == ids


def test_memory_format_and_double_precision_make_no_difference(model, stored, tmp_path):
    path = tmp_path / "model.safetensors"
    other = small_model(channels=4, latent_channels=6).to(memory_format=torch.channels_last).double()
    save_weights(other, path)
    assert path.read_bytes() == stored[0]


def spoil(model, name, value):
    with torch.no_grad():
        dict(model.named_parameters())[name].view(-1)[0] = value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda model: spoil(model, "g_a.0.weight", 0.1), "freeze the model first"),
        (lambda model: spoil(model, "g_a.0.weight", 1e6), "g_a.0.weight"),
        (lambda model: spoil(model, "g_s.0.bias", float("nan")), "g_s.0.bias"),
        (lambda model: spoil(model, "g_s.0.bias", float("inf")), "g_s.0.bias"),
        (lambda model: setattr(model, "__class__", type("Other", (MeanScaleHyperprior,), {})), "Other is none of"),
        (lambda model: setattr(model, "channels", 10**6), "sizes from 1 to"),
    ],
)
def test_a_model_that_would_not_come_back_is_not_written(tmp_path, change, words):
    model = small_model(channels=4, latent_channels=6)
    change(model)
    with pytest.raises(ValueError, match=words):
        save_weights(model, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"update\(\)"):
        save_weights(MeanScaleHyperprior(4, 6), tmp_path / "model.safetensors")
    assert os.listdir(tmp_path) == []


def test_the_zoo_is_found_by_name_and_by_id():
    assert "vbr-mean" in zoo()
    for name, path in zoo().items():
        metadata = read_metadata(path)
        assert name_of_id(bytes.fromhex(metadata["model_id"])) == name
        model = load(name)
        assert model.model_id().hex() == metadata["model_id"]
        assert np.isfinite(codec.decode(codec.encode(picture(20, 20), model), model=model)).all()
    assert name_of_id(bytes(8)) is None
