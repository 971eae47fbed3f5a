"""`kill -9` at any moment of an encoding leaves no file, the old one or the new one: never a part of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from scalecodec import codec, image
from scalecodec.models import save_weights

from .codec_kit import picture, small_model

TRIES = 100
# Loads everything once; each child then encodes to one path, at two rates in turn, until it is killed.
ENCODE_FOREVER = """
import collections, io, json, os, random, signal, sys, time
import torch
from scalecodec.cli import main

folder, tries = sys.argv[1], int(sys.argv[2])
torch.set_num_threads(1)
os.chdir(folder)
sys.stdout = io.StringIO()

def encode(quality, output):
    if main(["encode", "picture.png", "-o", output, "-m", "small.safetensors", "-q", quality]) != 0:
        os._exit(1)

def content(name):
    try:
        with open(name, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None

encode("20", "low.scl")
start = time.perf_counter()
if (child := os.fork()) == 0:
    encode("90", "high.scl")
    os._exit(0)
os.waitpid(child, 0)
seconds = time.perf_counter() - start
names = {content("low.scl"): "low", content("high.scl"): "high", None: "absent"}
pick, seen = random.Random(1), collections.Counter()
for attempt in range(tries):
    if attempt % 2 and os.path.exists("target.scl"):
        os.unlink("target.scl")
    before = names[content("target.scl")]
    child = os.fork()
    while child == 0:
        for quality in ("20", "90"):
            encode(quality, "target.scl")
    time.sleep(pick.uniform(0, 2.5 * seconds))
    os.kill(child, signal.SIGKILL)
    if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
        sys.exit("the encoder ended by itself")
    after = names.get(content("target.scl"), "torn")
    seen["torn" if after == "torn" else "same" if after == before else "new"] += 1
    for name in os.listdir("."):
        if name.endswith(".tmp"):
            os.unlink(name)
            seen["left over"] += 1
sys.__stdout__.write(json.dumps(seen))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked encoders")
def test_an_encoder_killed_at_any_moment_leaves_nothing_or_a_whole_file(tmp_path):
    samples, model = picture(96, 128), small_model()
    image.write(tmp_path / "picture.png", image.Picture(samples))
    save_weights(model, tmp_path / "small.safetensors")
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-W", "error", "-c", ENCODE_FOREVER, str(tmp_path), str(TRIES)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    seen = json.loads(done.stdout)
    assert seen.get("torn", 0) == 0
    assert seen["same"] + seen["new"] == TRIES
    assert min(seen["same"], seen["new"]) > 2, "the kills fell all before, or all after, the writing"
    for name, quality in (("low.scl", 20), ("high.scl", 90)):
        assert (tmp_path / name).read_bytes() == codec.encode(samples, model, quality=quality)
