"""Activations of a megabyte-sized tensor to bytes and back, beside what people do today; and quantizer design."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from scalecodec.kernels import ecsq_numba, ecsq_ref

from scalecodec import features

SHAPE = (1, 256, 64, 64)


@pytest.fixture(scope="module")
def tensor():
    """Smooth planes through a ReLU, two thirds of them 0."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
    x = torch.nn.functional.avg_pool2d(x, 5, 1, 2)
    return torch.relu(5 * x - 0.5)


@pytest.fixture(scope="module", params=["static", "channel", "context"])
def codec(request, tensor):
    quantizer = features.design(features.Histogram(tensor), 4, target_bits=0.8)
    return features.FeatureCodec(quantizer, request.param).calibrate([tensor])


def report(benchmark, data):
    benchmark.extra_info["bits per element"] = 8 * len(data) / np.prod(SHAPE)
    benchmark.extra_info["elements"] = int(np.prod(SHAPE))


@pytest.mark.benchmark(group="activations to bytes, 1 M elements")
def bench_encode(benchmark, tensor, codec):
    data = benchmark(codec.encode, tensor)
    report(benchmark, data)
    symbols = np.searchsorted(codec.quantizer.thresholds, tensor.numpy(), "left")
    decoded = codec.decode(data).numpy()  # levels, or estimates within the same bins
    assert np.array_equal(np.searchsorted(codec.quantizer.thresholds, decoded, "left"), symbols)


@pytest.mark.benchmark(group="activations to bytes, 1 M elements")
def bench_8_bit_zlib(benchmark, tensor):
    def encode():
        x = tensor.numpy()
        low, high = x.min(), x.max()
        return zlib.compress(np.round((x - low) * (255 / (high - low))).astype(np.uint8).tobytes(), 6)

    data = benchmark(encode)
    report(benchmark, data)
    assert len(zlib.decompress(data)) == tensor.numel()


@pytest.mark.benchmark(group="bytes to activations, 1 M elements")
@pytest.mark.parametrize("reuses", [False, True], ids=["new memory", "out="])
def bench_decode(benchmark, tensor, codec, reuses):
    data = codec.encode(tensor)
    out = torch.empty(SHAPE) if reuses else None
    found = benchmark(codec.decode, data, out=out)
    report(benchmark, data)
    assert torch.equal(found, features.FeatureCodec.from_bytes(codec.to_bytes()).decode(data))


@pytest.mark.benchmark(group="bytes to activations, 1 M elements")
def bench_decode_8_bit_zlib(benchmark, tensor):
    x = tensor.numpy()
    data = zlib.compress(np.round(x * (255 / x.max())).astype(np.uint8).tobytes(), 6)

    def decode():
        return np.frombuffer(zlib.decompress(data), np.uint8).astype(np.float32) * (x.max() / 255)

    found = benchmark(decode)
    report(benchmark, data)
    assert np.abs(found - x.ravel()).max() < x.max() / 500


@pytest.mark.benchmark(group="quantizer design, 1024 bins")
@pytest.mark.parametrize("levels", [4, 8, 16])
@pytest.mark.parametrize("kernel", [ecsq_numba, ecsq_ref], ids=["compiled", "definition"])
def bench_design(benchmark, kernel, levels):
    rng = np.random.default_rng(0)
    samples = np.clip(np.maximum(rng.exponential(2.6, 400_000) - 2, 0), 0, 9.04)
    counts, edges = np.histogram(samples, 1024)
    sums = np.histogram(samples, edges, weights=samples)[0]
    values, weights = sums[counts > 0] / counts[counts > 0], counts[counts > 0] / counts.sum()
    start = np.linspace(0, 9.04, levels)
    kernel.design(values, weights, start, 0.0, 1e-9, 1000)  # compiled before the clock runs
    found = benchmark(kernel.design, values, weights, start, 0.0, 1e-9, 1000)
    expected = ecsq_ref.design(values, weights, start, 0.0, 1e-9, 1000)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-5)
