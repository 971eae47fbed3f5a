"""Memory is bounded by the picture and one tile, whatever a file declares; every case in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MIB = 1024  # KiB
# How a case must end, and what it may take beyond the process and, to encode, the picture. Samples of 4000 x 3000 are
# 34 MiB, their latents in this model 2; one tile of 1024 pixels takes about 100 through 8 channels, of 2048 four times.
CASES = {
    "encode 4000 x 3000": ("encoded", 350),
    "decode 4000 x 3000": ("decoded", 400),
    "decode a pixel of 4000 x 3000": ("decoded", 200),
    "largest picture, empty chunks": ("must hold 4 bytes", 64),
    "largest picture, wrong chunks": ("layer 0 tile 0: stream", 64),
    "largest picture, lenient, limited": ("passes the limit", 16),
    "largest picture in one tile": ("passes the limit", 16),
    "largest tile, lost": ("decoded", 500),
    "alpha bomb": ("alpha plane must hold 4096 bytes", 64),
}

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="measures forked children")


@pytest.fixture(scope="module")
def outcomes():
    script = Path(__file__).parent / "run_codec_memory.py"
    # one thread: a forked child has no other than the one that forked
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line.pop("name"): line for line in lines}


@pytest.mark.parametrize("name", CASES)
def test_memory(outcomes, name):
    words, limit = CASES[name]
    assert words in outcomes[name]["end"]
    assert outcomes[name]["grown_kib"] < limit * MIB


def test_every_case_ran(outcomes):
    assert outcomes.keys() == CASES.keys()
