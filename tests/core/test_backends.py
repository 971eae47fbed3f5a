"""The registry of kernel sets: what there is, what runs, and that a forced choice is obeyed or refused."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import scalecodec as sc
from scalecodec import backends
from scalecodec.errors import BackendError, ScalecodecError

NAMES = backends.available()


def test_scalar_is_always_there_and_the_best_is_in_use():
    assert NAMES[-1] == "scalar"
    assert len(set(NAMES)) == len(NAMES)
    assert backends.active() == os.environ.get(backends.ENVIRONMENT_VARIABLE, NAMES[0])


@pytest.mark.parametrize("name", NAMES)
def test_use_forces_and_gives_back(name):
    before = backends.active()
    with backends.use(name):
        assert backends.active() == name
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(backends.active).result() == name
        with backends.use("scalar"):
            assert backends.active() == "scalar"
        assert backends.active() == name
    assert backends.active() == before


def test_use_gives_back_after_an_error():
    before = backends.active()
    with pytest.raises(KeyError), backends.use("scalar"):
        raise KeyError
    assert backends.active() == before


def test_use_undoes_what_it_did(monkeypatch):
    """With one kernel set, as on a plain machine, only the calls show it."""
    calls = []
    monkeypatch.setattr(backends._core, "force_backend", lambda name: calls.append(name) or True)
    with backends.use("best"), backends.use("second"):
        assert calls == ["best", "second"]
    assert calls == ["best", "second", "best", os.environ.get(backends.ENVIRONMENT_VARIABLE, "")]


@pytest.mark.parametrize("name", ["", "Scalar", "scala", "scalar ", "avx1024"])
def test_use_refuses_what_cannot_run(name):
    before = backends.active()
    with pytest.raises(BackendError, match="scalar") as caught, backends.use(name):
        pass
    assert repr(name) in str(caught.value) or "empty" in str(caught.value)
    assert isinstance(caught.value, ScalecodecError)
    assert isinstance(caught.value, RuntimeError)
    assert backends.active() == before


def in_a_new_process(environment: str) -> subprocess.CompletedProcess[str]:
    program = """
import scalecodec as sc
print(sc.backends.active())
for name in sc.backends.available():
    with sc.backends.use(name):
        assert sc.backends.active() == name
    print(sc.backends.active())
"""
    env = os.environ | {backends.ENVIRONMENT_VARIABLE: environment}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", NAMES)
def test_environment_forces_for_good(name):
    done = in_a_new_process(name)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [name] * (1 + len(NAMES))


def test_empty_environment_means_the_best():
    assert in_a_new_process("").stdout.split() == [NAMES[0]] * (1 + len(NAMES))


def test_environment_that_cannot_run_is_an_error():
    done = in_a_new_process("avx1024")
    assert done.returncode != 0
    last = done.stderr.splitlines()[-1]
    assert "BackendError" in last
    assert "SCALECODEC_BACKEND" in last
    assert "'avx1024'" in last


def test_every_backend_makes_the_same_bytes():
    rng = np.random.default_rng(3)
    symbols, indexes = rng.integers(-50, 50, 3000), rng.integers(0, 64, 3000)
    table = sc.CdfTable.gaussian()
    expected = sc.rans64.encode(symbols, indexes, table)
    for name in NAMES:
        with backends.use(name):
            assert sc.rans64.encode(symbols, indexes, table) == expected
            np.testing.assert_array_equal(sc.rans64.decode(expected, indexes, table), symbols)
