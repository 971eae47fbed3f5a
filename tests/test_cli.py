"""Every command, in process: what it writes, what it prints, and how it ends. Real processes: test_cli_processes.py."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from scalecodec import __version__, codec, image, speed
from scalecodec.cli import main, terminal
from scalecodec.eval.networks import SqueezeNet
from scalecodec.eval.task_networks import named
from scalecodec.gains import GAIN_TABLE
from scalecodec.models import load, save_weights

from .codec_kit import picture, small_model
from .models.layered_kit import awake


@pytest.fixture
def run(capsys):
    """Run a command: its exit status, and the text on both streams."""

    def run_command(*arguments):
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as end:
            status = end.code
        return SimpleNamespace(status=status, **capsys.readouterr()._asdict())

    return run_command


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures, a small model's weights and a .scl file, in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, channels in (("rgb", 3), ("alpha", 4)):
        image.write(f"{name}.png", image.Picture(picture(70, 90, channels)))
    save_weights(small_model(), "small.safetensors")
    (tmp_path / "coded.scl").write_bytes(codec.encode("alpha.png", "small.safetensors"))
    return tmp_path


SMALL = ("-m", "small.safetensors")


def test_a_picture_goes_in_and_comes_out(run, folder):
    done = run("encode", "rgb.png", *SMALL)
    blob = (folder / "rgb.scl").read_bytes()
    assert (done.status, done.err) == (0, "")
    assert done.out == f"rgb.scl: {len(blob)} bytes, {8 * len(blob) / 6300:.3f} bits per pixel\n"
    assert blob == codec.encode(picture(70, 90), "small.safetensors")

    done = run("info", "rgb.scl")
    assert (done.status, done.err) == (0, "")
    assert "90" in done.out
    assert "not in the zoo" in done.out

    done = run("decode", "rgb.scl", *SMALL, "-o", "out.png")
    assert (done.status, done.err) == (0, "")
    assert done.out == "out.png: 90 x 70, 3 channels of 8 bits\n"
    assert np.array_equal(image.read("out.png").samples, codec.decode(blob, model="small.safetensors"))
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["rgb.png", "alpha.png", "small.safetensors", "coded.scl", "rgb.scl", "out.png"]
    )


def test_json_is_what_scripts_get(run, folder):
    done = run("encode", "alpha.png", *SMALL, "--gain", GAIN_TABLE[100], "--json")
    result = json.loads(done.out)
    assert result["output"] == "alpha.scl"
    assert (result["width"], result["height"], result["gain_index"]) == (90, 70, 100)
    assert result["bytes"] == (folder / "alpha.scl").stat().st_size
    assert result["bits_per_pixel"] == pytest.approx(8 * result["bytes"] / 6300)

    model = load("small.safetensors")
    info = json.loads(run("info", "alpha.scl", "--json").out)
    assert info["bytes"] == result["bytes"]
    assert (info["width"], info["height"], info["channels"], info["bit_depth"]) == (90, 70, 4, 8)
    assert (info["gain_index"], info["gain"]) == (100, GAIN_TABLE[100])
    assert (info["model_id"], info["table_id"]) == (model.model_id().hex(), model.table_id().hex())
    assert info["model"] == "not in the zoo"
    assert (info["tile"], info["damaged"]) == (1024, [])
    assert [len(layer) for layer in info["layers"]] == [1]
    assert info["ancillary"].keys() == {"alpha"}
    assert info["layers"][0][0] + info["ancillary"]["alpha"] < info["bytes"]

    result = json.loads(run("decode", "alpha.scl", *SMALL, "-o", "o.png", "--json").out)
    assert result == {"output": "o.png", "width": 90, "height": 70, "channels": 4, "bit_depth": 8, "damaged": []}


@pytest.mark.parametrize(
    ("option", "same"),
    [
        (("-q", "20"), {"quality": 20}),
        (("-g", "0.5"), {"gain": 0.5}),
        (("-b", "1500"), {"target_bytes": 1500}),
        ((), {}),
    ],
)
def test_rates_reach_the_codec(run, folder, option, same):
    assert run("encode", "rgb.png", "-o", "o.scl", *SMALL, *option).status == 0
    assert (folder / "o.scl").read_bytes() == codec.encode("rgb.png", "small.safetensors", **same)


def test_regions_and_layers_reach_the_codec(run, folder):
    whole = codec.decode((folder / "coded.scl").read_bytes(), model="small.safetensors")
    for layers in ("all", "base", "1"):
        assert run("decode", "coded.scl", *SMALL, "-o", "o.png", "--roi", "10,20,30,40", "--layers", layers).status == 0
        assert np.array_equal(image.read("o.png").samples, whole[20:60, 10:40])


def test_the_shipped_model_needs_no_name(run, folder):
    assert run("encode", "rgb.png").status == 0
    assert json.loads(run("info", "rgb.scl", "--json").out)["model"] == "vbr-mean"
    assert run("decode", "rgb.scl", "-o", "out.png").status == 0


def test_part_of_a_file_is_kept(run, folder):
    save_weights(awake("frequency"), "layered.safetensors")
    assert run("encode", "rgb.png", "-m", "layered.safetensors", "--tile", "64", "-o", "two.scl").status == 0
    done = run("keep", "two.scl", "--layers", "base", "-o", "base.scl")
    sizes = [(folder / name).stat().st_size for name in ("base.scl", "two.scl")]
    assert (done.status, done.out) == (0, f"base.scl: {sizes[0]} of {sizes[1]} bytes\n")
    done = run("keep", "two.scl", "--roi", "70,10,9,9", "-o", "region.scl", "--json")
    assert json.loads(done.out) == {"output": "region.scl", "bytes": (folder / "region.scl").stat().st_size} | {
        "of_bytes": sizes[1]
    }
    assert (folder / "region.scl").read_bytes() == codec.keep((folder / "two.scl").read_bytes(), roi=(70, 10, 9, 9))
    done = run("keep", "two.scl", "--layers", "3", "-o", "three.scl")
    assert (done.status, done.err[:11]) == (2, "scalecodec:")
    assert "from 1 to 2" in done.err


def test_a_network_gets_its_features(run, folder):
    model = awake("scalable")
    save_weights(model, "layered.safetensors")
    assert run("encode", "rgb.png", "-m", "layered.safetensors").status == 0
    blob = (folder / "rgb.scl").read_bytes()
    for task in (0, 1):
        done = run("decode", "rgb.scl", "-m", "layered.safetensors", "--features", task, "--json", "-o", f"{task}.npy")
        found = np.load(f"{task}.npy", allow_pickle=False)
        assert json.loads(done.out) == {"output": f"{task}.npy", "shape": list(found.shape)}
        np.testing.assert_array_equal(found, codec.features(blob, task, model=model).numpy())
    assert run("decode", "rgb.scl", "-m", "layered.safetensors", "--features", 0).out.startswith(
        "rgb.npy: float32 [1, "
    )


def test_an_encoder_gets_the_network_it_sees(run, folder):
    save_weights(awake("disentangled", features0=256), "layered.safetensors")
    assert "name the network with --task" in run("encode", "rgb.png", "-m", "layered.safetensors").err
    save_file(SqueezeNet().state_dict(), "network.safetensors")
    task = "squeezenet:network.safetensors:features.7"
    assert run("encode", "rgb.png", "-m", "layered.safetensors", "--task", task, "-q", 60).status == 0
    model = load("layered.safetensors")
    model.attach([named(task)])
    assert (folder / "rgb.scl").read_bytes() == codec.encode("rgb.png", model, quality=60)


def test_a_damaged_file_is_decoded_only_when_asked_to(run, folder):
    blob = (folder / "coded.scl").read_bytes()
    (folder / "cut.scl").write_bytes(blob[:-5])
    done = run("decode", "cut.scl", *SMALL)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("scalecodec: cut.scl: ancillary kind 1: cut off")
    assert not (folder / "cut.png").exists()
    done = run("decode", "cut.scl", *SMALL, "--lenient", "--json")
    assert done.status == 0
    assert json.loads(done.out)["damaged"]
    assert done.err.splitlines()[0].startswith("scalecodec: cut.scl: ancillary kind 1: cut off")
    assert image.read("cut.png").samples.shape == (70, 90, 4)
    info = json.loads(run("info", "cut.scl", "--json").out)
    assert len(info["damaged"]) == 1
    assert info["ancillary"] == {"alpha": None}


# How it fails

FAILURES = {
    "no picture": (["encode", "absent.png"], "absent.png"),
    "a folder as picture": (["encode", "."], "directory"),
    "text as picture": (["encode", "text.txt"], "text.txt: the file is damaged"),
    "unknown model": (["encode", "rgb.png", "-m", "vbr"], "no weights named 'vbr'; the zoo has"),
    "picture as model": (["encode", "rgb.png", "-m", "rgb.png"], "rgb.png: not a safetensors file"),
    "output in no folder": (["encode", "rgb.png", "-o", "absent/o.scl", *SMALL], "absent"),
    "output is a folder": (["encode", "rgb.png", "-o", ".", *SMALL], "directory"),
    "output is the input": (["encode", "rgb.png", "-o", "./rgb.png"], "rgb.png is the picture itself"),
    "quality of 101": (["encode", "rgb.png", "-q", "101", *SMALL], "quality must lie in [0, 100]"),
    "quality of nothing": (["encode", "rgb.png", "-q", "high"], "invalid int value: 'high'"),
    "two rates": (["encode", "rgb.png", "-q", "5", "-b", "5"], "not allowed with"),
    "too few bytes": (["encode", "rgb.png", "-b", "60", *SMALL], "target_bytes is 60, but this picture takes"),
    "no file": (["decode", "absent.scl"], "absent.scl"),
    "picture as file": (["decode", "rgb.png", "-o", "o.png"], "rgb.png: not a .scl file"),
    "a folder as file": (["decode", "."], "directory"),
    "foreign model": (["decode", "coded.scl"], "coded.scl: this file needs model"),
    "wrong model": (["decode", "coded.scl", "-m", "vbr-mean"], "the model given has"),
    "roi of words": (["decode", "coded.scl", "--roi", "a,b,c,d"], "wanted X,Y,W,H in pixels, got 'a,b,c,d'"),
    "roi of three": (["decode", "coded.scl", "--roi", "1,2,3"], "wanted X,Y,W,H in pixels, got '1,2,3'"),
    "roi outside": (["decode", "coded.scl", *SMALL, "--roi", "0,0,91,1"], "roi must lie inside 90 x 70"),
    "layers of the file": (["decode", "coded.scl", *SMALL, "--layers", "2"], "layers must be"),
    "unknown format": (["decode", "coded.scl", *SMALL, "-o", "o.xyz"], "the suffix must be one of"),
    "format without alpha": (["decode", "coded.scl", *SMALL, "-o", "o.jpg"], "alpha"),
    "info of a picture": (["info", "rgb.png"], "rgb.png: not a .scl file"),
    "demo of grey": (["demo", "grey.png"], "grey.png: the demo takes an 8-bit RGB picture"),
    "eval of nothing": (["eval", "empty"], "no picture in this folder"),
    "eval scalable of nothing": (["eval", "scalable"], "eval scalable wants a FOLDER behind it"),
    "an option of another eval": (["eval", ".", "--every", "0"], "--every is for eval scalable"),
    "no MS-SSIM where there is none": (
        ["eval", "scalable", ".", "--no-ms-ssim"],
        "is for eval vbr or eval\n",
    ),
    "features of a picture": (["decode", "coded.scl", *SMALL, "--features", "0"], "has no task 0"),
    "features into a picture": (
        ["decode", "coded.scl", "--features", "0", "-o", "o.png"],
        "a .npy file, got o.png",
    ),
    "features of a ruin": (["decode", "coded.scl", "--features", "0", "--lenient"], "no --layers, --roi, --lenient"),
    "codecs beside parts": (["eval", "vbr", ".", "--anchors", "jpeg"], "--anchors is for eval scalable or eval\n"),
    "a gain of 2": (["eval", ".", "--gains", "0.5,2"], "2.0"),
    "features of a region": (["decode", "coded.scl", "--features", "0", "--roi", "0,0,1,1"], "of the whole picture"),
    "a task for a picture": (
        ["encode", "rgb.png", *SMALL, "--task", "a:b:c"],
        "small.safetensors sees no network",
    ),
    "keep in place": (["keep", "coded.scl", "-o", "./coded.scl"], "coded.scl is the file itself"),
    "train to be judged by nothing": (["train", ".", "out", "--validate", "empty"], "empty: no image files"),
    "unknown anchor": (["eval", ".", "--anchors", "bpg"], "bpg"),
    "gains of words": (["eval", ".", "--gains", "1,x"], "wanted numbers with commas between them, got '1,x'"),
    "train on nothing": (["train", "empty", "out"], "no image files"),
    "train with a bad crop": (["train", ".", "out", "--crop", "100"], "crop must be a multiple of 64"),
    "bench of too few": (["bench", "--symbols", "9"], "symbols must lie in [10, 10000000], got 9"),
    "bench of too many": (["bench", "--symbols", "10000001"], "got 10000001"),
    "bench of words": (["bench", "--symbols", "many"], "invalid int value: 'many'"),
    "bench into a file": (["bench", "-o", "rgb.png"], "rgb.png"),
    "no command": ([], "arguments are required: COMMAND"),
    "unknown command": (["transcode"], "invalid choice: 'transcode'"),
}


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_is_one_line_and_status_2(run, folder, name):
    (folder / "text.txt").write_text("no picture")
    (folder / "empty").mkdir()
    image.write("grey.png", image.Picture(picture(70, 90, 1)))
    arguments, words = FAILURES[name]
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("scalecodec")
    assert done.err.count("\n") == 1
    assert done.err.endswith("\n")
    assert words in done.err
    assert not [path for path in folder.rglob("*") if path.suffix == ".tmp"]


def test_decode_does_not_overwrite_the_original_unasked(run, folder):
    original = (folder / "rgb.png").read_bytes()
    assert run("encode", "rgb.png", *SMALL).status == 0
    done = run("decode", "rgb.scl", *SMALL)
    assert done.status == 2
    assert done.err == "scalecodec: rgb.png exists: name the output with -o to replace it\n"
    assert (folder / "rgb.png").read_bytes() == original
    assert run("decode", "rgb.scl", *SMALL, "-o", "rgb.png").status == 0
    assert (folder / "rgb.png").read_bytes() != original


@pytest.mark.parametrize(
    ("error", "status", "text"),
    [
        (KeyboardInterrupt(), 130, ""),
        (MemoryError(), 2, "scalecodec: MemoryError\n"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 2, "scalecodec: not enough memory: "),
        (RuntimeError("CUDA out of memory"), 2, "scalecodec: not enough memory: "),
        (OSError(28, "No space left\non device"), 2, "scalecodec: [Errno 28] No space left on device\n"),
    ],
)
def test_interruption_and_shortage(run, folder, monkeypatch, error, status, text):
    def fail(*arguments, **options):
        raise error

    monkeypatch.setattr(codec, "encode", fail)
    done = run("encode", "rgb.png")
    assert (done.status, done.out) == (status, "")
    assert done.err.startswith(text)
    assert done.err.count("\n") == bool(text)


def test_our_own_faults_keep_their_traceback(folder, monkeypatch):
    def fail(*arguments, **options):
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(codec, "encode", fail)
    with pytest.raises(RuntimeError, match="a fault of ours"):
        main(["encode", "rgb.png"])


# The bench


@pytest.fixture
def brief(monkeypatch):
    """`--quick` that takes a second: what is measured, tests/test_speed.py looks at."""
    monkeypatch.setattr(speed, "QUICK", speed.Plan(1000, 20_000, 0, 0))


def test_bench_prints_a_table_or_json_and_writes_both(run, folder, brief):
    done = run("bench", "--quick")
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("1,000 symbols, a table each of 64 Gaussians; nanoseconds a symbol")
    assert "scalecodec lanes, scalar" in done.out

    done = run("bench", "--quick", "--symbols", "500", "--json", "-o", "new/folder")
    assert (done.status, done.err) == (0, "")
    result = json.loads(done.out, parse_constant=pytest.fail)
    assert result.keys() == {"machine", "load", "rows", "thread_rows", "missing"}
    assert {row["symbols"] for row in result["rows"]} == {500}
    assert {row["latents"] for row in result["rows"]} == {"low", "mid", "mix"}
    assert json.loads((folder / "new/folder/bench.json").read_text()) == result
    assert image.read("new/folder/bench.png").samples.shape[0] > 100
    assert len(list((folder / "new/folder").iterdir())) == 2


def test_bench_asks_for_matplotlib_only_to_draw_and_before_it_measures(run, folder, brief, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert run("bench", "--quick", "--json").status == 0
    monkeypatch.setattr(speed, "measure", pytest.fail)
    done = run("bench", "--quick", "-o", "new")
    assert (done.status, done.out) == (2, "")
    assert done.err == "scalecodec: a plot needs matplotlib: pip install 'scalecodec-core[demo]' (or [eval])\n"
    assert not (folder / "new").exists()


def test_bench_prints_no_number_beside_a_wrong_result(run, folder, brief, monkeypatch):
    monkeypatch.setattr(speed.rivals.Rans64, "decode", lambda self, data, prepared: prepared.symbols[::-1])
    done = run("bench", "--quick", "-o", "new")
    assert (done.status, done.out) == (2, "")
    assert done.err == "scalecodec: scalecodec rans64: what it decodes is not what it encoded\n"
    assert list((folder / "new").iterdir()) == []


def test_version(run):
    assert run("--version").out == f"scalecodec {__version__}\n"


# What is printed


def test_json_has_no_infinity(capsys):
    result = {"psnr": float("inf"), "rows": [{"x": float("nan"), "y": 1.5}], "n": 3}
    terminal.show(SimpleNamespace(json=True), result, "text")
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {
        "psnr": None,
        "rows": [{"x": None, "y": 1.5}],
        "n": 3,
    }
    terminal.show(SimpleNamespace(json=False), result, "text")
    assert capsys.readouterr().out == "text\n"


def test_progress_is_drawn_on_a_terminal_only(capsys, monkeypatch):
    terminal.progress(0.5, "half")
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    terminal.progress(0.5, "half")
    assert capsys.readouterr().err == "\r\x1b[K[############............]  50 %  half"
    terminal.progress(1.2, "all")
    assert capsys.readouterr().err.endswith("all\n")


def test_the_clock_counts_beyond_a_day():
    assert [terminal.clock(seconds) for seconds in (0, 59.9, 3661, 100 * 3600, -5)] == [
        "00:00:00",
        "00:00:59",
        "01:01:01",
        "100:00:00",
        "00:00:00",
    ]


# Pictures of all kinds, as they come from a camera or the web


def test_odd_pictures(run, folder):
    samples = picture(33, 47)
    photograph = Image.fromarray(samples)
    photograph.convert("CMYK").save("cmyk.jpg")
    photograph.quantize(16).save("palette.png", transparency=3)
    photograph.convert("1").save("bits.png")
    image.write("deep.png", image.Picture(picture(33, 47, 3, np.uint16)))
    image.write("pixel.png", image.Picture(picture(1, 1)))
    image.write("strip.png", image.Picture(picture(2, 700)))
    for name, shape in {
        "cmyk.jpg": (33, 47, 3),
        "palette.png": (33, 47, 4),
        "bits.png": (33, 47, 1),
        "deep.png": (33, 47, 3),
        "pixel.png": (1, 1, 3),
        "strip.png": (2, 700, 3),
    }.items():
        assert run("encode", name, "-o", "o.scl", *SMALL).status == 0
        assert run("decode", "o.scl", "-o", "o.png", *SMALL).status == 0
        out = image.read("o.png").samples
        assert out.shape == shape
        assert out.dtype == image.read(name).samples.dtype
    photograph.save("moving.gif", save_all=True, append_images=[Image.fromarray(samples[::-1])])
    done = run("encode", "moving.gif", *SMALL)
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "several pictures" in done.err
