"""The core's own driver (driver*.cpp), compiled here and run. Under the sanitizers `.ci/run` runs it."""

from __future__ import annotations

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE = [path for path in (ROOT / "csrc").glob("*.cpp") if not path.name.startswith("module")]
SOURCES = sorted([*(ROOT / "tests" / "core").glob("driver*.cpp"), *CORE])
# without the compiler's 128-bit integers: the multiplication that other compilers get
FLAGS = ["-std=c++17", "-O2", "-U__SIZEOF_INT128__", "-pthread", "-ffp-contract=off", f"-I{ROOT / 'csrc'}"]


@pytest.fixture(scope="module")
def compiler() -> str:
    found = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if not found:
        pytest.skip("needs a C++ compiler")
    return found


def run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return done.stdout


def test_driver(compiler, tmp_path):
    program = tmp_path / "driver"

    def make(source: Path) -> str:
        run([compiler, *FLAGS, "-c", str(source), "-o", f"{tmp_path / source.stem}.o"])
        return f"{tmp_path / source.stem}.o"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(make, SOURCES))
    run([compiler, *FLAGS, *objects, "-o", str(program)])
    assert run([str(program)]).rstrip().endswith(" 0 failed")
