"""scalecodec.compressai.patch and unpatch: CompressAI's coder classes exchanged in the whole process, and put back."""

from __future__ import annotations

import copy
import importlib
import subprocess
import sys
import types

import pytest

from scalecodec.errors import BitstreamError, ScalecodecError

from . import hosts
from .comparing import CODERS, same

CLASSES = ("RansEncoder", "BufferedRansEncoder", "RansDecoder")
TABLE = [[0, 20000, 50000, 65535, 65536]], [5], [-1]
SYMBOLS = [-1, 0, 1, 2, -2, 5, -100, 100000, -100000]
STREAM = bytes.fromhex("6a13a9e657190f00ffff11ff61ffff0f52fcff5f3c0df3ffd5d33000")


@pytest.fixture
def drop_in(compressai):
    """The module, unpatched before and after."""
    module = importlib.import_module("scalecodec.compressai")
    module.unpatch()
    yield module
    module.unpatch()


@pytest.fixture
def stock(drop_in, compressai):
    return {name: getattr(compressai.ans, name) for name in CLASSES}


@pytest.fixture
def user(stock, monkeypatch):
    """A user's module: one class under its own name, one under another, and the module itself."""
    module = types.ModuleType("a_users_module")
    module.RansDecoder = stock["RansDecoder"]
    module.Coder = stock["BufferedRansEncoder"]
    module.ans = sys.modules["compressai.ans"]
    monkeypatch.setitem(sys.modules, "a_users_module", module)
    return module


def holders(classes):
    """Every (module, name) in the process that is one of the classes; scalecodec may keep the originals."""
    return {
        (module_name, name)
        for module_name, module in list(sys.modules.items())
        if not module_name.startswith("scalecodec")
        for name, value in list(getattr(module, "__dict__", {}).items())
        if any(value is wanted for wanted in classes.values())
    }


def code(encoder_class, decoder_class):
    indexes = [0] * len(SYMBOLS)
    assert encoder_class().encode_with_indexes(SYMBOLS, indexes, *TABLE) == STREAM
    return decoder_class().decode_with_indexes(STREAM, indexes, *TABLE)


def test_every_holder_is_rebound_and_restored(drop_in, stock, user):
    before = holders(stock)
    named = {(module, name) for module in CODERS for name in ("BufferedRansEncoder", "RansDecoder")}
    assert before >= named | {("compressai.ans", name) for name in CLASSES} | {("a_users_module", "Coder")}
    drop_in.patch()
    assert not holders(stock)
    for module, name in before:
        assert getattr(sys.modules[module], name).__module__.startswith("scalecodec"), (module, name)
    assert user.Coder is sys.modules["compressai.ans"].BufferedRansEncoder is drop_in.ans.BufferedRansEncoder
    assert user.ans.RansDecoder is drop_in.ans.RansDecoder
    drop_in.unpatch()
    assert holders(stock) == before
    assert user.ans is sys.modules["compressai.ans"]


def test_both_can_be_called_again(drop_in, stock):
    before = holders(stock)
    drop_in.unpatch()
    assert holders(stock) == before
    drop_in.patch()
    drop_in.patch()
    drop_in.unpatch()
    assert holders(stock) == before
    drop_in.unpatch()
    drop_in.patch()
    assert not holders(stock)


def test_the_patched_classes_code_as_stock(drop_in, stock):
    assert code(stock["RansEncoder"], stock["RansDecoder"]) == SYMBOLS
    drop_in.patch()
    from compressai import ans
    from compressai.ans import RansDecoder, RansEncoder

    assert RansDecoder is ans.RansDecoder is not stock["RansDecoder"]
    assert list(code(RansEncoder, RansDecoder)) == SYMBOLS
    with pytest.raises(BitstreamError):
        RansDecoder().decode_with_indexes(STREAM[:-4], [0] * len(SYMBOLS), *TABLE)


@pytest.mark.parametrize("name", ["bmshj2018-factorized", "mbt2018-mean", "mbt2018", "mbt2018-vbr", "raster-scan"])
def test_models_of_before_and_after(drop_in, name):
    """A coder object that a model made before goes on working; what is looked up later is the new one."""
    before = hosts.build(name, batch=1, size=(64, 64))
    coded = before.compress()
    decoded = before.decompress(coded)
    drop_in.patch()
    after = hosts.build(name, batch=1, size=(64, 64))
    copied = copy.deepcopy(before.model)
    for model in (before.model, after.model, copied):
        assert same(before.compress(model), coded)
        assert same(before.decompress(coded, model), decoded)
    drop_in.unpatch()
    for model in (before.model, after.model, copied):
        assert same(before.compress(model), coded)
        assert same(before.decompress(coded, model), decoded)


@pytest.mark.parametrize("version", ["1.2.9.dev0", "2.0.0"])
def test_an_unknown_version_is_refused_unless_forced(drop_in, compressai, stock, monkeypatch, version):
    before = holders(stock)
    monkeypatch.setattr(compressai, "__version__", version)
    with pytest.raises((ScalecodecError, RuntimeError), match=version.replace(".", r"\.")):
        drop_in.patch()
    assert holders(stock) == before
    drop_in.patch(force=True)
    assert not holders(stock)


IMPORT = """
import sys, warnings
warnings.simplefilter("ignore")
import compressai, compressai.ans
def names():
    return {
        (name, key): id(value)
        for name, module in list(sys.modules.items()) if name.split(".")[0] == "compressai"
        for key, value in list(vars(module).items())
    }
before = names()
import scalecodec.compressai
after = names()
changed = [key for key in before if after.get(key) != before[key]]
assert not changed, changed
"""


def test_nothing_happens_at_import(compressai):
    result = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
