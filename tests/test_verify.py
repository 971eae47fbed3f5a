"""Files under every arithmetic of this machine: those of integer models agree, and where one does not it is told."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from scalecodec import backends, codec, models
from scalecodec.cli.main import main
from scalecodec.container import pack, unpack
from scalecodec.errors import BitstreamError
from scalecodec.verify import arithmetics, verify

from .codec_kit import picture
from .models.vbr_kit import CLASSES, awake


@pytest.mark.parametrize("cls", CLASSES)
def test_every_arithmetic_decodes_an_integer_models_file(cls):
    models.freeze(model := awake(cls))
    before = torch.get_num_threads()
    verdicts = verify(codec.encode(picture(70, 150), model, quality=30), model)
    assert len(verdicts) == len(arithmetics()) == 8 * len(backends.available())
    assert all(verdict.same for verdict in verdicts), verdicts
    assert all(verdict.largest <= 1 for verdict in verdicts if "bfloat16" not in verdict.arithmetic)
    assert torch.get_num_threads() == before
    assert torch._C._get_mkldnn_enabled()


def test_a_float_model_that_decodes_otherwise_is_told():
    model = awake(CLASSES[0])
    verdicts = verify(codec.encode(picture(130, 150), model, quality=80), model)
    floats = [verdict for verdict in verdicts if not verdict.same]
    assert all("computes other scales" in verdict.error or verdict.latents_differ for verdict in floats)
    assert floats, "another library gave the very floats: this test sees nothing"


def test_tiles_beyond_the_limit_are_refused_before_they_are_decoded():
    models.freeze(model := awake(CLASSES[0]))
    content = unpack(codec.encode(picture(70, 80), model))
    header = replace(content.header, width=4096, height=4096, tile_log2=12)
    with pytest.raises(BitstreamError, match="passes the limit of 4194304"):
        verify(pack(header, content.layers, {}), model)


def test_the_command_prints_and_judges(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    models.freeze(model := awake(CLASSES[0]))
    models.save_weights(model, "weights.safetensors")
    (tmp_path / "a.scl").write_bytes(codec.encode(picture(70, 80), model))
    assert main(["verify", "a.scl", "-m", "weights.safetensors", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert [verdict["same"] for verdict in result["a.scl"]] == [True] * len(arithmetics())
    (tmp_path / "b.scl").write_bytes(codec.encode(picture(130, 150), awake(CLASSES[0]), quality=80))
    with pytest.raises(BitstreamError, match="this file needs model"):
        verify((tmp_path / "b.scl").read_bytes(), "weights.safetensors")
    assert main(["verify", "b.scl", "-m", "weights.safetensors"]) == 2
    assert capsys.readouterr().err.startswith("scalecodec: b.scl: this file needs model")
