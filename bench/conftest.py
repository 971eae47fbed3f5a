"""Rivals where they can be imported, one thread for everybody, and what every measurement records."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest
import torch

import scalecodec as sc
from scalecodec.speed.rivals import Coder, make_coder


def pytest_benchmark_update_machine_info(config: Any, machine_info: dict[str, Any]) -> None:
    machine_info["scalecodec_backend"] = sc.backends.active()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def compressai() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations
        compressai = pytest.importorskip("compressai", reason="run `python tests/install_compressai.py`")
        pytest.importorskip("compressai.ans")
        pytest.importorskip("compressai._CXX")
    return compressai


@pytest.fixture(scope="module")
def coder(request: pytest.FixtureRequest) -> Coder:
    """The coder that the parameter names; skips where it is not installed."""
    try:
        return make_coder(request.param)
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def quick(request: pytest.FixtureRequest) -> bool:
    """Under --benchmark-disable everything runs once, to see that it does."""
    return request.config.getoption("benchmark_disable")


@pytest.fixture
def record(benchmark: Any) -> Any:
    """``record(num_symbols, num_bytes)``: what a symbol costs, into the saved results."""

    def put(num_symbols: int, num_bytes: float | None = None) -> None:
        info = benchmark.extra_info
        if num_bytes is not None:
            info["bits_per_symbol"] = round(8 * num_bytes / num_symbols, 4)
        if benchmark.stats:  # not under --benchmark-disable
            info["ns_per_symbol"] = round(benchmark.stats.stats.median / num_symbols * 1e9, 3)

    return put


@pytest.fixture(scope="session")
def hosts(pytestconfig: pytest.Config, compressai: ModuleType) -> ModuleType:
    """The kit of the parity tests: CompressAI's models with latents as of trained ones."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(pytestconfig.rootpath))
        return import_module("tests.compressai.hosts")
