"""Bad inputs end in a typed error or in the right answer; never in a signal, a hang, or a wrong answer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
try:  # importlib mode does not put a test's folder on the path
    import bad_arrays  # noqa: F401  registers its cases
    import bad_lanes  # noqa: F401
    from bad_inputs import CASES
finally:
    sys.path.remove(str(HERE))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork to outlive a crash")


@pytest.fixture(scope="module")
def outcomes():
    # one thread: a forked child has no other than the one that forked
    env = os.environ | dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))  # the scalecodec that is tested here, no other
    command = [sys.executable, "-W", "error", str(HERE / "run_bad_inputs.py")]
    done = subprocess.run(
        command, env=env, cwd=HERE.parents[1], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return {line.pop("name"): line for line in lines}


@pytest.mark.parametrize("name", CASES)
def test_bad_input(outcomes, name):
    case, outcome = CASES[name], outcomes[name]
    assert outcome["end"] in ("returned", "raised"), outcome["end"]
    assert outcome["grown_kib"] < case.growth_kib
    if not case.raises:
        assert outcome["end"] == "returned", outcome
        return
    assert outcome["end"] == "raised", "accepted what it had to refuse"
    types, message = outcome["types"], outcome["message"]
    wanted = [kind.__name__ for kind in case.raises]
    assert set(types) & set(wanted), (types, message)
    # the type says whose fault it was: a caller's is never called a bad stream or a bad table
    assert "ScalecodecError" not in types or {"BitstreamError", "TableError"} & set(wanted), (types, message)
    assert "incompatible function arguments" not in message  # pybind11's own words help nobody
    missing = [word for word in case.words if word.lower() not in message.lower()]
    assert not missing, f"no {missing} in: {message}"


def test_there_are_enough():
    assert len(CASES) >= 53 + 25
