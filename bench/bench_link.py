"""Activations to a server and a reply back, over loopback that sends at 1, 10 and 100 Mbit/s."""

from __future__ import annotations

import socket
import threading

import pytest
import torch

from scalecodec import features
from scalecodec.features import frames, messages

SHAPE = (1, 48, 14, 14)  # SqueezeNet 1.1 behind its ninth module's squeeze
REPLY = torch.zeros(1, 1000)
RATES = [1e6, 1e7, 1e8]


@pytest.fixture(scope="module")
def tensor():
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    return torch.relu(5 * torch.nn.functional.avg_pool2d(x, 3, 1, 1))


@pytest.fixture(scope="module")
def codecs(tensor):
    counted = features.Histogram(tensor)
    eight_bits = features.FeatureCodec(features.Quantizer.uniform(0.0, counted.highest, 256), "static")
    coarse = features.FeatureCodec(features.design(counted, 4, target_bits=1.0))
    return {"8 bits, entropy-coded": eight_bits.calibrate([tensor]), "4 levels, context": coarse.calibrate([tensor])}


@pytest.mark.benchmark(group="activations there, 1000 scores back")
@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate / 1e6:g} Mbit/s")
@pytest.mark.parametrize("name", ["8 bits, entropy-coded", "4 levels, context"])
def bench_coded(benchmark, tensor, codecs, name, rate):
    codec = codecs[name]
    with (
        features.Server(lambda tensors: [REPLY], [codec]) as server,
        features.Client([codec], "127.0.0.1", server.port, bits_per_second=rate) as client,
    ):
        (reply,) = benchmark.pedantic(client.run, ([tensor],), rounds=15, warmup_rounds=1)
        benchmark.extra_info["bytes"] = client.num_bytes
    assert torch.equal(reply, REPLY)


@pytest.mark.benchmark(group="activations there, 1000 scores back")
@pytest.mark.parametrize("rate", RATES, ids=lambda rate: f"{rate / 1e6:g} Mbit/s")
def bench_float32(benchmark, tensor, rate):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = frames.Link(socket.create_connection(listener.getsockname()), frames.Limits(), rate)
        far = frames.Link(listener.accept()[0], frames.Limits())

    def answer():
        try:
            while True:
                messages.read_raw(far.receive()[1])
                far.send(frames.REPLY, messages.raw(REPLY))
        except frames.Closed:
            far.close()

    def run():
        near.send(frames.TENSORS, messages.raw(tensor))
        return messages.read_raw(near.receive()[1])

    thread = threading.Thread(target=answer)
    thread.start()
    reply = benchmark.pedantic(run, rounds=15, warmup_rounds=1)
    near.close()
    thread.join(10)
    assert torch.equal(reply, REPLY)
