"""Install CompressAI 1.2.8 into this interpreter for the parity tests: `python tests/install_compressai.py`.

It cannot be an ordinary dependency: it asks for numpy<2 and for torchvision, whose public wheel brings CUDA. So it goes
in without its dependencies; the few that entropy coding needs are added, torch and numpy stay as they are, and
`compressai_hook.py` stands in for the rest. Running it again changes nothing.
"""

import os
import subprocess
import sys
import sysconfig
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

VERSION = "1.2.8"
HOOK = Path(__file__).with_name("compressai_hook.py")
# module name -> requirement; what `import compressai` uses for real
NEEDED = {"scipy": "scipy", "tqdm": "tqdm", "PIL": "pillow", "typing_extensions": "typing-extensions"}
NEEDED_ALONE = {"pytorch_msssim": "pytorch-msssim"}  # depends on torch: must not be allowed to fetch one

CHECK = """
import warnings
warnings.simplefilter("ignore")
import compressai, compressai.ans, compressai._CXX
table = [[0, 20000, 50000, 65535, 65536]], [5], [-1]
symbols = [-1, 0, 1, 2, -2, 5, -100, 100000, -100000]
data = compressai.ans.RansEncoder().encode_with_indexes(symbols, [0] * 9, *table)
assert data.hex() == "6a13a9e657190f00ffff11ff61ffff0f52fcff5f3c0df3ffd5d33000", data.hex()
assert compressai.ans.RansDecoder().decode_with_indexes(data, [0] * 9, *table) == symbols
"""


def say(text):
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def stop(reason):
    sys.stdout.flush()
    python = f"Python {sys.version_info.major}.{sys.version_info.minor}"
    sys.exit(f"compressai {VERSION} is not usable in this {python}, the parity tests will be skipped: {reason}")


def installed(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def pip_install(*arguments):
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = [line for line in result.stderr.splitlines() if line.strip()]
        # the reason of a failed build stands above pip's own summary
        say("\n".join(lines[-40:]))
        stop(f"`pip install {' '.join(arguments)}` failed with status {result.returncode}, output above")


def install_needed():
    """Add what is missing, with numpy pinned to the one that is here."""
    missing = [requirement for module, requirement in NEEDED.items() if find_spec(module) is None]
    if missing:
        with tempfile.TemporaryDirectory() as folder:
            pins = Path(folder, "pins.txt")
            pins.write_text(f"numpy=={installed('numpy')}\n")
            pip_install("--constraint", str(pins), *missing)
    alone = [requirement for module, requirement in NEEDED_ALONE.items() if find_spec(module) is None]
    if alone:
        pip_install("--no-deps", *alone)
    added = missing + alone
    say(f"needed packages: {'installed ' + ', '.join(added) if added else 'all here'}")


def install_compressai():
    """Take the wheel where there is one, else let pip build the source (needs a C++17 compiler)."""
    if installed("compressai") == VERSION:
        say(f"compressai {VERSION}: here already")
        return
    pip_install("--no-deps", f"compressai=={VERSION}")
    say(f"compressai {VERSION}: installed without its dependencies")


def install_hook():
    """Copy the hook and the .pth line that loads it at interpreter start."""
    site = Path(sysconfig.get_paths()["purelib"])
    wanted = {
        site / "_compressai_hook.py": HOOK.read_text(),
        site / "_compressai_hook.pth": "import _compressai_hook; _compressai_hook.install()\n",
    }
    stale = [path for path, text in wanted.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        scratch = path.with_suffix(".tmp")
        scratch.write_text(wanted[path])
        os.replace(scratch, path)  # a half-written .pth would break every later start of this interpreter
    say(f"import hook: {'written' if stale else 'here already'}")


def check():
    start = time.perf_counter()
    result = subprocess.run([sys.executable, "-c", CHECK], capture_output=True, text=True, timeout=120, check=False)
    if result.returncode:
        say(result.stderr.strip())
        stop(f"it does not import or codes wrongly (status {result.returncode}), output above")
    say(f"check: imports and codes the worked example, {time.perf_counter() - start:.1f} s")


def main():
    start = time.perf_counter()
    before = {name: installed(name) for name in ("torch", "numpy")}
    missing = [name for name, found in before.items() if found is None]
    if missing:
        stop(f"{' and '.join(missing)} must be installed first, as for the project itself")
    if find_spec("pip") is None:
        stop(f"{sys.executable} has no pip")
    try:
        install_needed()
        install_compressai()
        install_hook()
        check()
    except (OSError, subprocess.TimeoutExpired) as error:
        stop(str(error))
    after = {name: installed(name) for name in before}
    if after != before:
        stop(f"torch or numpy changed, from {before} to {after}")
    say(f"done in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
