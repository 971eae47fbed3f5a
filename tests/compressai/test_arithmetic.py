"""What changes how torch adds up, after a network was packed: seen, and strings stay stock's."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import threading
import warnings

import pytest
import torch

from . import hosts
from .comparing import accelerate, same

torch_sums = pytest.importorskip("scalecodec.compressai.torch_sums")


def moved(model):
    """The same values elsewhere in a cache line."""
    for name, parameter in model.named_parameters():
        if name.startswith(("context_prediction", "entropy_parameters", "QuantABCD")):
            memory = torch.zeros(parameter.numel() + 64)
            parameter.data = memory[5 : 5 + parameter.numel()].view_as(parameter).copy_(parameter.data)


def channels_last(model):
    model.to(memory_format=torch.channels_last)


@pytest.fixture
def settings():
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_float32_matmul_precision()
    yield
    torch.set_num_threads(before[0])
    torch.set_default_dtype(before[1])
    torch.set_float32_matmul_precision(before[2])


@pytest.mark.parametrize(
    "change",
    [
        moved,
        channels_last,
        lambda model: torch.set_num_threads(3 - torch.get_num_threads()),
        lambda model: torch.set_default_dtype(torch.float64),
        lambda model: torch.set_float32_matmul_precision("medium"),
    ],
    ids=["moved", "channels_last", "threads", "default_dtype", "precision"],
)
@pytest.mark.parametrize("name", ["mbt2018", "mbt2018-vbr"])
def test_what_changes_the_sums_is_seen(compressai, settings, name, change):
    torch.set_num_threads(1)
    host = hosts.build(name, batch=1, size=(64, 128))
    model, stock = copy.deepcopy(host.model), copy.deepcopy(host.model)
    accelerate(model)
    assert same(host.compress(model), host.compress(stock))
    change(model)
    if change in (moved, channels_last):  # the others are torch's own settings
        change(stock)
    wanted = host.compress(stock)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its own loop may have to encode
        assert same(host.compress(model)["strings"], wanted["strings"])
        if torch.get_default_dtype() is torch.float32:  # stock's decoder refuses others
            assert same(host.decompress(wanted, model), host.decompress(wanted, stock), 1e-5)


@pytest.mark.parametrize("name", ["mbt2018", "cheng2020-anchor", "mbt2018-vbr", "raster-scan"])
def test_infinite_latents_do_not_hang_where_the_loop_steps_aside(compressai, name):
    host = hosts.build(name, batch=1, size=(64, 64))
    model = host.model
    codec = model.latent_codec.y if hasattr(model, "latent_codec") else model

    def spoil(layer, args, y):
        y[0, 0, 0, 0] = math.inf
        return y

    model.g_a.register_forward_hook(spoil)
    accelerate(model)
    codec.entropy_parameters.register_forward_hook(lambda layer, args, output: output * 1.0)
    with contextlib.suppress(ValueError):  # or an escape of 2^31
        host.compress()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_child_measures_though_the_parent_was_at_it(compressai):
    held, done = threading.Event(), threading.Event()

    def measure():
        with torch_sums._lock:
            held.set()
            done.wait(60)

    thread = threading.Thread(target=measure)
    thread.start()
    held.wait(60)
    child = os.fork()
    if child == 0:
        os._exit(0 if torch_sums._lock.acquire(timeout=5) else 1)
    done.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
