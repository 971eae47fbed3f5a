"""A host of every name with what stock made of it, and a count of what stock's coders are asked for."""

from __future__ import annotations

import copy
import importlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import pytest
import torch

from . import hosts
from .comparing import CODERS


@dataclass(repr=False)
class Case:
    host: hosts.Host
    coded: dict[str, Any]  # by stock, before anything of scalecodec was near
    decoded: dict[str, Any]

    def copy(self) -> torch.nn.Module:
        return copy.deepcopy(self.host.model)


@pytest.fixture(scope="session", params=hosts.NAMES)
def case(request, compressai):
    host = hosts.build(request.param)
    coded = host.compress()
    return Case(host, coded, host.decompress(coded))


@pytest.fixture
def stock_calls(compressai, monkeypatch):
    """How often CompressAI's own coders were asked for, or used."""
    calls: Counter[str] = Counter()

    def counting(name, called):
        def call(*args, **kwargs):
            calls[name] += 1
            return called(*args, **kwargs)

        return call

    coder = compressai.entropy_models.entropy_models._EntropyCoder
    for owner, name in [
        *((coder, f"{way}_with_indexes") for way in ("encode", "decode")),
        *(
            (module, name)
            for module in map(importlib.import_module, CODERS)
            for name in ("BufferedRansEncoder", "RansDecoder")
        ),
    ]:
        monkeypatch.setattr(owner, name, counting(name, getattr(owner, name)))
    return calls
