"""An installed scalecodec, seen from outside of the tree: run against an editable install and a wheel alike."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from scalecodec import _core

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

LOOK = """
import importlib, importlib.metadata, importlib.util, json, sys
modules = [importlib.import_module(name) for name in sys.argv[1:]]
json.dump({
    "files": {module.__name__: module.__file__ for module in modules},
    "kernels": importlib.util.find_spec("kernels") is not None,
    "version": modules[0].__version__,
    "metadata": importlib.metadata.version("scalecodec-core"),
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict:
    """The packages as a program finds them that runs in a folder of its own."""
    # -P and no PYTHONPATH: only what is installed, neither this folder nor the tree
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-P", "-c", LOOK, "scalecodec", "scalecodec.kernels", "scalecodec._core"]
    folder = tmp_path_factory.mktemp("elsewhere")
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_kernels_are_a_package_inside(seen):
    # None for a namespace: the __init__.py was left out, or a stray folder shadows it
    assert str(seen["files"]["scalecodec.kernels"]).endswith("__init__.py")
    assert not seen["kernels"], "`import kernels` works: a second copy of every kernel"


def test_core_is_compiled(seen):
    assert seen["files"]["scalecodec._core"].endswith((".so", ".pyd"))


def test_one_version(seen):
    assert seen["version"] == seen["metadata"] == PROJECT["project"]["version"]


def test_no_folder_shadows_the_kernels():
    assert not (ROOT / "scalecodec" / "kernels").exists()


def test_every_package_is_listed():
    folders = {path.parent for top in ("scalecodec", "kernels") for path in (ROOT / top).rglob("*.py")}
    names = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    there = {name if name.startswith("scalecodec") else f"scalecodec.{name}" for name in names}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == there
    assert all((folder / "__init__.py").is_file() for folder in folders)


def test_data_files_are_installed(seen):
    installed, tree = Path(seen["files"]["scalecodec"]).parent, ROOT / "scalecodec"
    code = {".py", ".pyc", ".so", ".pyd"}
    data = [path for path in tree.rglob("*") if path.is_file() and path.suffix not in code and path.name[0] != "."]
    assert tree / "py.typed" in data
    missing = [path.name for path in data if not (installed / path.relative_to(tree)).is_file()]
    assert not missing, "not in package-data"


def public(names) -> set[str]:
    return {name for name in names if not name.startswith("_") or name == "__init__"}


def test_stub_names_what_the_core_exports():
    stub = ast.parse((ROOT / "scalecodec" / "_core.pyi").read_text())
    declared = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    constants = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert public(declared) | public(constants) == public(vars(_core))
    for name, node in declared.items():
        if isinstance(node, ast.ClassDef):
            methods = {item.name for item in node.body if isinstance(item, ast.FunctionDef)}
            assert inspect.isclass(getattr(_core, name))
            assert methods == public(vars(getattr(_core, name))), name
