"""The hyper-synthesis of the zoo's model in integers, by kernel set, and in torch; of 768 x 512 pixels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scalecodec.kernels import integer_conv_ref

from scalecodec import backends, models
from scalecodec.integer import assemble, fit

SIZE = (8, 12)  # of the hyper-latent


@pytest.fixture(scope="module")
def network():
    model = models.load("vbr-mean")
    samples = list(model.entropy_bottleneck.samples())
    return model.h_s.eval(), samples


@pytest.mark.benchmark(group="hyper-synthesis, 768x512")
@pytest.mark.parametrize("weight_bits", [16, 12, 8])
@pytest.mark.parametrize("name", backends.available())
def bench_integers(benchmark, network, name, weight_bits):
    h_s, samples = network
    numbers = fit(h_s, samples, weight_bits=weight_bits)
    form = assemble(h_s, numbers)
    x = (samples[0][:1, :, :1, :1].expand(-1, -1, *SIZE) * 2.0**numbers.input_fraction).round().int()
    with backends.use(name):
        found = benchmark(form.run, x, 1)
    few = x[:, :, :1, :1].contiguous()
    wanted = integer_conv_ref.run(form.input_limit, form.layers, few.numpy())
    assert np.array_equal(form.run(few).numpy(), wanted)
    assert found.shape == (1, 256, 32, 48)


@pytest.mark.benchmark(group="hyper-synthesis, 768x512")
def bench_torch_float32(benchmark, network):
    h_s, _ = network
    x = torch.randn(1, 96, *SIZE)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.no_grad():
        found = benchmark(h_s, x)
    torch.set_num_threads(before)
    assert found.shape == (1, 256, 32, 48)
