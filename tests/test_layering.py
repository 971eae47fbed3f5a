"""The floors of the house: who may import whom, what the first import loads, and what product code never calls."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Rooms (modules and packages of scalecodec) by floor, lowest first. A room may import its own floor and those below it.
# A new room is put here, on the lowest floor that it can do with.
FLOORS = (
    {"errors"},
    {"_core", "atomic", "fields", "figures", "gains", "kernels", "text"},
    {
        "arrays",
        "backends",
        "batches",
        "cdf",
        "context",
        "context_rate",
        "dense",
        "integer",
        "quantize",
        "rans",
        "rans64",
        "streams",
        "sums",
    },
    {"entropy_models", "layers", "speed"},
    {"alpha", "container", "container_header", "features", "models", "regions", "tiles"},
    {
        "codec",
        "datasets",
        "decoding",
        "eval",
        "image",
        "image_depth",
        "image_formats",
        "metrics",
        "png16",
        "png_filters",
    }
    | {"coders", "rate_search", "tile_decoder", "train", "transform", "verify", "zoo"},
    {"__init__", "__main__", "cli", "compressai"},
)
FLOOR = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
HEAVY = {"PIL", "compressai", "matplotlib", "numba", "torch", "triton"}
SPEAKING = {"cli", "__main__"}  # the rooms whose job is to print
FILES = sorted(path for folder in ("scalecodec", "kernels") for path in (ROOT / folder).rglob("*.py") if path.is_file())


def dotted(path: Path) -> list[str]:
    """The module's name in parts; a package's ends with `__init__`."""
    parts = list(path.relative_to(ROOT).with_suffix("").parts)
    return ["scalecodec", *parts] if parts[0] == "kernels" else parts


def room_of(parts: list[str]) -> str:
    """`__init__` for the top package itself, and for what is imported from it but is no room."""
    return parts[1] if len(parts) > 1 and parts[1] in FLOOR else "__init__"


def imported(tree: ast.AST, module: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Line and full name of everything imported, at any depth: lazy imports count, those for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = module[: len(module) - node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from ((node.lineno, [*base, alias.name]) for alias in node.names)


def climbs(tree: ast.AST, module: list[str]) -> list[str]:
    """Imports of `module` from a higher floor, or from outside of the kernels for a kernel."""
    room = room_of(module)
    found = []
    for line, name in imported(tree, module):
        if name[0] == "kernels":
            found.append(f"{line}: the bare name kernels")
        if name[0] != "scalecodec":
            continue
        above = FLOOR[room_of(name)] > FLOOR[room]
        if above or (room == "kernels" and room_of(name) != "kernels"):
            found.append(f"{line}: {'.'.join(name)}")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_import_from_a_higher_floor(path):
    module = dotted(path)
    assert module[1] in FLOOR, f"give {module[1]} a floor in FLOORS"
    assert climbs(ast.parse(path.read_text()), module) == []


@pytest.mark.parametrize(
    ("module", "line", "wrong"),
    [
        ("scalecodec.cdf", "from .models import create", True),
        ("scalecodec.cdf", "from . import _core, models", True),
        ("scalecodec.cdf", "import scalecodec", True),
        ("scalecodec.cdf", "from scalecodec import __version__", True),
        ("scalecodec.cdf", "import scalecodec.models.base", True),
        ("scalecodec.cdf", "def f():\n    from .train import loop", True),
        ("scalecodec.layers.gdn", "from ..models import create", True),
        ("scalecodec.layers.gdn", "from scalecodec.entropy_models import EntropyModel", False),
        ("scalecodec.layers.gdn", "from ..quantize import round_ste\nfrom .conv import conv", False),
        ("scalecodec.models.base", "import kernels", True),
        ("scalecodec.kernels.ecsq_ref", "from scalecodec.errors import TableError", True),
        ("scalecodec.kernels.ecsq_ref", "from .. import errors", True),
        ("scalecodec.kernels.ecsq_ref", "import numpy\nfrom . import offset_quant_ref", False),
        ("scalecodec.cli.main", "from scalecodec import __version__, codec", False),
        ("scalecodec.__init__", "from . import models\nfrom .cdf import CdfTable", False),
    ],
)
def test_the_rule_itself(module, line, wrong):
    assert bool(climbs(ast.parse(line), module.split("."))) == wrong


def forbidden(tree: ast.AST, room: str) -> list[str]:
    """What -O strips, what belongs to the command line, and what runs a file's or a stranger's code."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert")
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [
                f"{node.lineno}: {n}" for n in names if n.split(".")[0] in {"dill", "marshal", "pickle", "shelve"}
            ]
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        if call in {"eval", "exec", "torch.load", "yaml.load"} or (call == "print" and room not in SPEAKING):
            found.append(f"{node.lineno}: {call}")
        if any(
            k.arg == "allow_pickle" and not (isinstance(k.value, ast.Constant) and k.value.value is False)
            for k in node.keywords
        ):
            found.append(f"{node.lineno}: allow_pickle")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_product_code_never_calls(path):
    assert forbidden(ast.parse(path.read_text()), room_of(dotted(path))) == []


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("assert x", True),
        ("print(x)", True),
        ("eval(x)", True),
        ("import pickle", True),
        ("from pickle import loads", True),
        ("torch.load(x, weights_only=True)", True),
        ("np.load(x, allow_pickle=True)", True),
        ("np.load(x, allow_pickle=False)\nmodel.eval()\nsafetensors.torch.load(x)", False),
    ],
)
def test_the_ban_itself(line, wrong):
    assert bool(forbidden(ast.parse(line), "cdf")) == wrong


def first_import() -> tuple[float, set[str]]:
    """Processor seconds of `import scalecodec` in a new process, and the top names of all that it loads."""
    program = """
import sys, time
start = time.process_time()
import scalecodec
print(time.process_time() - start, *{name.split(".")[0] for name in sys.modules})
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds, *names = done.stdout.split()
    return float(seconds), set(names)


def test_first_import_is_light():
    """Processor time, NumPy's own 0.1 s included: what else the machine does meanwhile is not ours."""
    runs = [first_import() for _ in range(5)]
    loaded = runs[0][1]
    assert {"numpy", "scalecodec"} <= loaded
    assert loaded & HEAVY == set()
    assert min(seconds for seconds, _ in runs) < 0.2
