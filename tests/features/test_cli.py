"""scalecodec features: files in, files out, one line on bad input; two processes that talk to each other."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from scalecodec import features
from scalecodec.cli import main


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(1)
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.maximum(rng.standard_normal((1, 8, 20, 20)), 0).astype(np.float32))
    return tmp_path


def run(capsys, *arguments):
    assert main([str(one) for one in arguments]) == 0
    return json.loads(capsys.readouterr().out) if "--json" in arguments else capsys.readouterr().out


def design(capsys, folder, *options):
    return run(capsys, "features", "design", folder / "a.npy", folder / "b.npy", "-o", folder / "codec.scq", *options)


def test_fit_prints_the_range(capsys, folder):
    found = run(capsys, "features", "fit", folder / "a.npy", folder / "b.npy", "--levels", 4, "--json")
    x = np.concatenate([np.load(folder / f"{n}.npy") for n in "ab"])
    assert found["count"] == x.size
    assert found["mean"] == pytest.approx(x.mean(dtype=float), rel=1e-9)
    assert found["model"]["right_rate"] == pytest.approx(features.fit(x).right_rate)
    assert "by the" in run(capsys, "features", "fit", folder / "a.npy", "--activation", "none")


def test_an_end_that_is_searched_for(capsys, folder):
    np.save(folder / "a.npy", np.random.default_rng(2).standard_normal((1, 8, 20, 20)).astype(np.float32))
    assert design(capsys, folder, "--json")["levels"][0] == 0
    assert design(capsys, folder, "--c-min", "search", "--c-max", "search", "--json")["levels"][0] < -0.5
    with pytest.raises(SystemExit):
        main(["features", "design", "a.npy", "-o", "codec.scq", "--c-min", "low"])


@pytest.mark.parametrize(
    "options", [[], ["--target-bits", "0.7"], ["--lagrangian", "0.1", "--coding", "static"]], ids=str
)
@pytest.mark.parametrize("alone", [[], ["--alone"]], ids=str)
def test_a_tensor_goes_through_files(capsys, folder, options, alone):
    made = design(capsys, folder, *options, "--json")
    sent = run(capsys, "features", "encode", folder / "a.npy", "-c", folder / "codec.scq", *alone, "--json")
    assert sent["bytes"] == os.path.getsize(folder / "a.scf")
    codec = [] if alone else ["-c", folder / "codec.scq"]
    run(capsys, "features", "decode", folder / "a.scf", *codec, "-o", folder / "out.npy")
    levels = np.array(made["levels"], np.float32)
    symbols = np.searchsorted(np.array(made["thresholds"], np.float32), np.load(folder / "a.npy"), "left")
    out = np.load(folder / "out.npy")
    np.testing.assert_array_equal(np.searchsorted(np.array(made["thresholds"], np.float32), out, "left"), symbols)
    if alone or "static" in options:
        np.testing.assert_array_equal(out, levels[symbols])


def test_bfloat16_goes_through_safetensors(capsys, folder):
    design(capsys, folder)
    tensor = torch.from_numpy(np.load(folder / "a.npy")).bfloat16()
    save_file({"x": tensor}, folder / "x.safetensors")
    run(capsys, "features", "encode", folder / "x.safetensors", "-c", folder / "codec.scq", "-o", folder / "x.scf")
    run(capsys, "features", "decode", folder / "x.scf", "-c", folder / "codec.scq", "-o", folder / "y.safetensors")
    assert load_file(folder / "y.safetensors")["tensor"].dtype is torch.bfloat16


def test_faults_are_one_line(capsys, folder):
    design(capsys, folder)
    (folder / "noise.scf").write_bytes(bytes(100))
    (folder / "noise.npy").write_bytes(bytes(100))
    (folder / "text.txt").write_text("1 2 3")
    capsys.readouterr()
    cases = {
        ("decode", "noise.scf", "-o", "y.npy"): "not a coded tensor",
        ("decode", "noise.scf", "-c", "noise.scf", "-o", "y.npy"): "not a feature codec",
        ("encode", "a.npy", "-c", "a.npy"): "not a feature codec",
        ("fit", "noise.npy"): "noise.npy",
        ("fit", "text.txt"): "wanted tensors in .npy or .safetensors",
        ("fit", "nowhere.npy"): "nowhere.npy",
        ("send", "localhost", "a.npy", "-c", "codec.scq"): "wanted HOST:PORT",
        ("serve", "codec.scq", "--network", "squeezenet"): "go together",
    }
    for arguments, words in cases.items():
        known = [str(folder / one) if "." in one and not one.startswith("-") else one for one in arguments]
        assert main(["features", *known]) == 2
        error = capsys.readouterr().err
        assert words in error
        assert error.count("\n") == 1


def test_two_processes(capsys, folder):
    design(capsys, folder)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "scalecodec", "features", "serve", folder / "codec.scq", "--store", folder / "got"]
    with subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) as server:
        try:
            port = server.stdout.readline().split(":")[1].split(",")[0]
            address = f"127.0.0.1:{port}"
            names = [folder / "a.npy", folder / "b.npy"]
            sent = run(capsys, "features", "send", address, *names, "-c", folder / "codec.scq", "--rate", 10, "--json")
        finally:
            server.terminate()
    assert len(sent["messages"]) == 2
    codec = features.FeatureCodec.from_bytes((folder / "codec.scq").read_bytes())
    for number, name in enumerate("ab", 1):
        expected = codec.decode(codec.encode(np.load(folder / f"{name}.npy")))
        assert torch.equal(load_file(folder / "got" / f"{number:06d}-0.safetensors")["tensor"], expected)
