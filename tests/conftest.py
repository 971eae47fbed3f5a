"""Shared fixtures and Hypothesis profiles."""

from __future__ import annotations

import os
import warnings
from types import ModuleType

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    # Triton's kernels then run in its interpreter. It looks at this when it is imported, which inductor does too.
    os.environ["TRITON_INTERPRET"] = "1"

settings.register_profile("default", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "default")

INSTALL = "python tests/install_compressai.py"


def _import_compressai() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own deprecations are not ours to fix
        import compressai
        import compressai._CXX
        import compressai.ans
    return compressai


@pytest.fixture(scope="session")
def compressai() -> ModuleType:
    """The package with ``compressai.ans`` and ``compressai._CXX`` loaded; skips without it, or fails if the
    environment variable SCALECODEC_REQUIRE_COMPRESSAI is set."""
    try:
        module = _import_compressai()
    except ImportError as error:
        reason = f"needs CompressAI ({error}): run `{INSTALL}`"
        if os.environ.get("SCALECODEC_REQUIRE_COMPRESSAI"):
            pytest.fail(reason)
        pytest.skip(reason)
    if not getattr(module.ans, "__file__", "").endswith((".so", ".pyd")):
        pytest.fail("compressai.ans is not its own compiled module: a drop-in would be compared with itself")
    return module
