"""The long commands (demo, eval, train) from end to end; what only a real process shows: signals, pipes, imports."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scalecodec import __version__, codec, image
from scalecodec.cli import main
from scalecodec.models import MeanScaleHyperprior, freeze, save_weights

from .codec_kit import picture, small_model
from .models.vbr_kit import awake

COMMANDS = ("demo", "encode", "decode", "keep", "info", "verify", "train", "eval", "bench")
ENV = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}
SMALL = ("-m", "small.safetensors")
TINY = ["--channels", "4", "--latent-channels", "4", "--steps", "3", "--batch", "2", "--crop", "64", "--log-every", "1"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_weights(small_model(), "small.safetensors")
    (tmp_path / "pictures").mkdir()
    for seed in range(2):
        image.write(tmp_path / "pictures" / f"{seed}.png", image.Picture(picture(96, 80, seed=seed)))
    return tmp_path


def process(*arguments, **options):
    command = [sys.executable, "-m", "scalecodec", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=ENV, **options)


# The long commands


def test_demo_writes_files_and_pictures(folder, capsys):
    assert main(["demo", "pictures/0.png", "-o", "out", *SMALL, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["folder"] == "out"
    out = folder / "out"
    for row in result["rows"]:
        blob = (out / f"quality_{row['quality']}.scl").read_bytes()
        assert row["bytes"] == len(blob)
        decoded = codec.decode(blob, model="small.safetensors")
        assert np.array_equal(image.read(out / f"quality_{row['quality']}.png").samples, decoded)
        assert row.keys() >= {"bits_per_pixel", "psnr_db", "jpeg_psnr_db", "encode_seconds", "decode_seconds"}
    assert [row["quality"] for row in result["rows"]] == [10, 30, 50, 70, 90]
    middle = image.read(out / "quality_50.png").samples
    assert np.array_equal(image.read(out / "region.png").samples, middle[:48, 20:60])
    assert np.array_equal(image.read(out / "original.png").samples, picture(96, 80))
    assert image.read(out / "demo.png").samples.shape == (692, 1296, 3)
    assert [row["what"] for row in result["layers"]] == ["base", "enhanced", "full", "denoised", "as_given"]
    for row in result["layers"]:
        blob = (out / f"{row['what']}.scl").read_bytes()
        assert row["bytes"] == len(blob)
        assert np.array_equal(image.read(out / f"{row['what']}.png").samples, codec.decode(blob))
    sizes = {row["what"]: row["bytes"] for row in result["layers"]}
    assert sizes["base"] < sizes["enhanced"] <= sizes["full"]
    assert sizes["denoised"] < sizes["as_given"]
    assert image.read(out / "layers.png").samples.shape == (692, 972, 3)
    assert main(["demo", "pictures/0.png", "-o", "out", *SMALL]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[-1] == "pictures and files: out (demo.png and layers.png show all)"
    assert len(text.splitlines()) == 2 + 5 + 1 + 5 + 1


def test_demo_of_a_picture_that_is_coded_without_loss(folder, capsys):
    Image.new("RGB", (256, 256)).save("black.png")  # JPEG of black is black: an infinite PSNR
    assert main(["demo", "black.png", *SMALL, "--json"]) == 0
    json.loads(capsys.readouterr().out, parse_constant=pytest.fail)


def test_eval_measures_a_folder_beside_the_anchors(folder, capsys):
    options = ["--gains", "0.1,0.3,1.0", "--anchors", "jpeg,webp", "--no-ms-ssim", "-o", "out", "--json"]
    assert main(["eval", "pictures", *SMALL, *options]) == 0
    printed, err = capsys.readouterr()
    assert err == ""
    result = json.loads(printed, parse_constant=pytest.fail)
    assert json.loads((folder / "out" / "results.json").read_text()) == result
    assert result.keys() == {"rows", "points", "comparisons"}
    ours = [row for row in result["rows"] if row["label"] == "small.safetensors"]
    assert len(ours) == 2 * 3
    for row in ours:
        blob = codec.encode(f"pictures/{row['image']}", "small.safetensors", gain=row["setting"])
        assert row["num_bytes"] == len(blob)
    assert {row["label"] for row in result["rows"]} == {"small.safetensors", "jpeg", "webp"}
    assert {one["anchor"] for one in result["comparisons"]} == {"jpeg", "webp"}
    assert sorted(path.name for path in (folder / "out").iterdir()) == [
        "means.csv",
        "psnr.png",
        "results.json",
        "rows.csv",
    ]
    assert len((folder / "out" / "rows.csv").read_text().splitlines()) == 1 + len(result["rows"])


def test_train_makes_weights_that_code_and_a_curve(folder, capsys):
    assert main(["train", "pictures", "run", *TINY, "--precision", "float32", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["weights"] == "run/vbr-mean.safetensors"
    assert len(result["points"]) == 8
    assert all(point["bpp"] > 0 and point["psnr_db"] > 0 for point in result["points"])
    rows = [json.loads(line) for line in (folder / "run" / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3]
    assert image.read(folder / "run" / "rate_distortion.png").samples.shape[0] > 100
    blob = codec.encode("pictures/0.png", result["weights"])
    assert codec.decode(blob, model=result["weights"]).shape == (96, 80, 3)
    weights = (folder / "run" / "vbr-mean.safetensors").read_bytes()
    assert main(["train", "pictures", "run", *TINY, "--precision", "float32"]) == 0, "a finished run is finished again"
    assert (folder / "run" / "vbr-mean.safetensors").read_bytes() == weights
    assert capsys.readouterr().out.splitlines()[-1] == result["weights"]


# Real processes


def test_the_whole_way_through_processes(folder):
    for arguments in (
        ("encode", "pictures/0.png", "-o", "0.scl", *SMALL),
        ("decode", "0.scl", "-o", "0.png", *SMALL),
    ):
        done = process(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
    assert image.read("0.png").samples.shape == (96, 80, 3)
    done = process("info", "pictures/0.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("scalecodec: pictures/0.png: not a .scl file")
    assert done.stderr.count("\n") == 1


HELP = """
import sys
from scalecodec.cli import main
for arguments in [["--help"], ["--version"], *([command, "--help"] for command in sys.argv[1:])]:
    try:
        main(arguments)
    except SystemExit as end:
        assert end.code == 0, arguments
    heavy = {"torch", "PIL", "numba", "matplotlib", "safetensors", "skimage"} & sys.modules.keys()
    assert not heavy, (arguments, heavy)
"""


def test_help_loads_nothing_heavy():
    command = [sys.executable, "-W", "error", "-c", HELP, *COMMANDS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for name in COMMANDS:
        assert f"usage: scalecodec {name} " in done.stdout


def test_help_is_there_at_once():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for arguments, words in (
        (["--help"], COMMANDS),
        (["--version"], [__version__]),
        (["train", "--help"], ["--steps"]),
    ):
        done = process(*arguments)
        assert (done.returncode, done.stderr) == (0, "")
        assert all(word in done.stdout for word in words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    # processor time: the wall clock would measure the other processes
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 3 * 1.0


def test_the_installed_script_runs():
    script = Path(sys.executable).parent / "scalecodec"
    if not script.exists():
        pytest.skip("scalecodec is not installed beside this Python")
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, f"scalecodec {__version__}\n")


@pytest.mark.skipif(os.name != "posix", reason="needs a closed pipe")
def test_a_reader_that_goes_away_is_no_fault(folder):
    (folder / "0.scl").write_bytes(codec.encode("pictures/0.png", "small.safetensors"))
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "scalecodec", "info", "0.scl", "--json"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False, env=ENV)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_ends_a_training_run_quietly_and_keeps_its_checkpoint(folder):
    options = ["pictures", "run", *TINY, "--steps", "1000000", "--checkpoint-every", "1", "--precision", "float32"]
    command = [sys.executable, "-m", "scalecodec", "train", *options]
    log = folder / "run" / "log.jsonl"
    # A shell that runs us in the background may have had SIGINT ignored, and children inherit that.
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes, env=ENV, preexec_fn=heed) as running:
        try:
            deadline = time.monotonic() + 60
            while not (log.exists() and log.read_text().count("\n") > 2) and time.monotonic() < deadline:
                time.sleep(0.05)
            running.send_signal(signal.SIGINT)
            out, err = running.communicate(timeout=60)
        finally:
            running.kill()
    assert (running.returncode, out, err) == (130, "", "")
    steps = [json.loads(line)["step"] for line in log.read_text().splitlines()]
    assert len(steps) > 2
    assert (folder / "run" / "checkpoint.safetensors").stat().st_size > 10_000
    assert not list((folder / "run").glob("*.tmp"))


def test_eval_vbr_measures_what_each_part_is_worth(folder, capsys):
    freeze(model := awake(MeanScaleHyperprior))
    save_weights(model, "whole.safetensors")
    single = [f"--single=whole.safetensors={gain}" for gain in (0.1, 0.9)]
    options = ["-m", "whole.safetensors", "--gains", "0.1,0.3,1.0", "--no-ms-ssim", "-o", "out", "--json"]
    beside = ["--beside", "itself=whole.safetensors", "--published"]
    assert main(["eval", "vbr", "pictures", *single, *beside, *options]) == 0
    result = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    size = {(row["label"], row["setting"], row["image"]): row["num_bytes"] for row in result["rows"]}
    labels = {label for label, _, _ in size}
    assert labels == {"whole", "without offsets", "without hyper_step", "itself", "single rates"}
    assert result["above_published_db"].keys() <= {"0.14", "0.5", "1"}
    assert "mbt2018-mean-vbr, published" in (folder / "out" / "means.csv").read_text()
    for (label, gain, name), num_bytes in size.items():
        if label in ("without offsets", "itself"):
            assert num_bytes == size["whole", gain, name], "offsets changed the stream"
    hyper = result["parts"]["hyper_bytes"]
    assert hyper["whole"] == hyper["without offsets"]
    assert hyper["whole"]["0.1"] < 0.8 * hyper["without hyper_step"]["0.1"]
    assert set(result["parts"]["thirds"]) <= labels
    assert (folder / "out" / "psnr.png").exists()
    assert main(["eval", "all", "pictures"]) == 2
    assert "wanted FOLDER or vbr FOLDER" in capsys.readouterr().err
