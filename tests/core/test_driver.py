"""The core's own driver (driver*.cpp), compiled here and run: as it is, and under the sanitizers where they link."""

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
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
BUILDS = {
    # without the compiler's 128-bit integers: the multiplication that other compilers get
    "plain": ["-O2", "-U__SIZEOF_INT128__"],
    "sanitized": ["-O1", "-g1", "-D_GLIBCXX_ASSERTIONS", *SANITIZE],
}


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


def sanitizers_link(compiler: str, folder: Path) -> bool:
    source = folder / "empty.cpp"
    source.write_text("int main() {}\n")
    made = subprocess.run(
        [compiler, *SANITIZE, str(source), "-o", str(folder / "empty")], capture_output=True, check=False
    )
    return made.returncode == 0


@pytest.mark.parametrize("build", BUILDS)
def test_driver(compiler, tmp_path, build):
    if build == "sanitized" and not sanitizers_link(compiler, tmp_path):
        pytest.skip(f"{compiler} does not link -fsanitize=address,undefined")
    program = tmp_path / "driver"
    flags = ["-std=c++17", "-pthread", "-ffp-contract=off", *BUILDS[build], f"-I{ROOT / 'csrc'}"]

    def make(source: Path) -> str:
        run([compiler, *flags, "-c", str(source), "-o", f"{tmp_path / source.stem}.o"])
        return f"{tmp_path / source.stem}.o"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        objects = list(pool.map(make, SOURCES))
    run([compiler, *flags, *objects, "-o", str(program)])
    assert run([str(program)]).rstrip().endswith(" 0 failed")
