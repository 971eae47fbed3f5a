"""The feature codec: every tensor comes back as it was quantized, by the package and by a decoder of the page alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from scalecodec import _core, backends, features
from scalecodec.errors import BitstreamError
from scalecodec.features import FeatureCodec, Histogram, Quantizer, blob
from scalecodec.features.quantizer import entropy
from scalecodec.features.tables import codes_of, table_of
from tests.features import page, unary

SHAPES = [
    (1, 8, 24, 20),
    (2, 5, 13, 9),
    (3, 1, 1),
    (6, 7),
    (5,),
    (),
    (0, 3, 4),
    (2, 3, 1, 17),
    (2, 3, 17, 1),
    (1, 1, 2, 2),
]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
CODINGS = pytest.mark.parametrize("coding", ["static", "channel", "context"])


def maps(shape, seed=0):
    """Smooth planes through a ReLU, some channels busier than others: like those of a network."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator)
    if len(shape) == 4:
        x = torch.nn.functional.avg_pool2d(x, 3, 1, 1) * 3 * torch.linspace(0.5, 1.5, shape[1])[:, None, None]
    return torch.relu(x - 0.5)


QUANTIZERS = {
    "designed": features.design(Histogram(maps((1, 16, 64, 64))), 4, target_bits=0.8),
    "uniform": Quantizer.uniform(0.0, 2.5, 8),
    "negative": Quantizer.uniform(-1.0, 2.0, 3),
    "256 levels": Quantizer.uniform(0.0, 3.0, 256),
    "one level": Quantizer(np.array([0.3]), np.array([])),
}


def quantized(quantizer, tensor):
    """By NumPy's search: what every decoder must give."""
    symbols = np.searchsorted(quantizer.thresholds, tensor.float().numpy(), "left")
    return torch.from_numpy(np.asarray(quantizer.levels[symbols])).to(tensor.dtype)


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and torch.equal(one, other)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("quantizer", QUANTIZERS.values(), ids=QUANTIZERS)
@CODINGS
def test_a_tensor_comes_back_quantized(shape, dtype, quantizer, coding):
    tensor = maps(shape).to(dtype)
    codec = FeatureCodec(quantizer, coding)
    data = codec.encode(tensor)
    expected = quantized(quantizer, tensor)
    assert same(codec.decode(data), expected)
    assert same(features.decode(data), expected)
    assert page.decode(data)[:2] == (shape, str(dtype).removeprefix("torch."))
    assert torch.equal(torch.from_numpy(page.decode(data)[2]).to(dtype), expected)
    assert codec.encode(tensor, threads=3) == data
    assert same(codec.decode(data, threads=3), expected)


@pytest.mark.parametrize("shape", [(1, 8, 24, 20), (2, 5, 13, 9), (9, 4, 4), (6, 7), (4,)], ids=str)
@CODINGS
def test_a_calibrated_codec_sends_no_tables(shape, coding):
    quantizer = QUANTIZERS["designed"]
    codec = FeatureCodec(quantizer, coding).calibrate([maps(shape, seed) for seed in range(3)])
    again = FeatureCodec.from_bytes(codec.to_bytes())
    assert again.id == codec.id
    for seed in (0, 99):
        tensor = maps(shape, seed)
        data = codec.encode(tensor)
        assert again.encode(tensor) == data
        decoded = again.decode(data)
        assert torch.equal(decoded, torch.from_numpy(page.decode(data, codec.to_bytes())[2]))
        assert again.encode(decoded) == data  # estimates stay in their bins
        assert coding == "context" or same(decoded, quantized(quantizer, tensor))
        if tensor.numel() > 500:
            assert len(data) < len(FeatureCodec(quantizer, coding).encode(tensor))


def test_every_kernel_set_writes_and_reads_the_same():
    codec, tensor = FeatureCodec(QUANTIZERS["designed"]), maps((1, 16, 70, 66))
    data = codec.encode(tensor)
    for backend in backends.available():
        with backends.use(backend):
            assert codec.encode(tensor) == data
            assert same(codec.decode(data), quantized(codec.quantizer, tensor))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_strides_and_arrays(dtype):
    codec, tensor = FeatureCodec(QUANTIZERS["designed"]), maps((2, 6, 12, 10)).to(dtype)
    data = codec.encode(tensor)
    assert codec.encode(tensor.contiguous(memory_format=torch.channels_last)) == data
    assert codec.encode(tensor.transpose(0, 1).contiguous().transpose(0, 1)) == data
    assert codec.encode(tensor.clone().requires_grad_()) == data
    if dtype is not torch.bfloat16:
        assert codec.encode(tensor.numpy()) == data
        assert codec.encode(np.asfortranarray(tensor.numpy())) == data
        assert codec.encode(tensor.numpy()[::-1].copy()[::-1]) == data
    assert codec.encode_batch([tensor, tensor[:1]], threads=2) == [data, codec.encode(tensor[:1])]
    both = codec.decode_batch([data, data], threads=2)
    assert same(both[0], both[1])


def test_every_half_is_quantized_as_its_value():
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    for dtype in (torch.float16, torch.bfloat16):
        values = bits.view(dtype)
        values = values[values.isfinite()]
        codec = FeatureCodec(Quantizer.uniform(-3.0, 4.0, 31), "static")
        assert same(codec.decode(codec.encode(values)), quantized(codec.quantizer, values))


def test_levels_beyond_a_half_stay_finite():
    codec = FeatureCodec(Quantizer.uniform(0.0, 1e38, 3), "static")
    tensor = torch.tensor([0.0, 60000.0], dtype=torch.float16)
    assert codec.decode(codec.encode(tensor)).isfinite().all()
    brain = FeatureCodec(Quantizer(np.array([0.0, 3.4e38]), np.array([1.0])), "static")
    decoded = brain.decode(brain.encode(torch.tensor([2.0], dtype=torch.bfloat16)))
    assert decoded.item() == torch.finfo(torch.bfloat16).max


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [*DTYPES, torch.float64], ids=str)
@pytest.mark.parametrize("size", [1, 5000, 100_000])
def test_what_is_not_finite_is_refused_and_named(value, dtype, size):
    tensor = torch.zeros(size, dtype=dtype)
    tensor[size // 2] = value
    with pytest.raises(ValueError, match=f"finite, element {size // 2} is not"):
        FeatureCodec(QUANTIZERS["uniform"]).encode(tensor, threads=2)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (np.arange(3), "floats, got int64"),
        (torch.arange(3), "floats, got torch.int64"),
        ([1.0], "got list"),
        (torch.zeros(3).to_sparse(), "dense"),
        (np.zeros(3, np.complex64), "floats, got complex64"),
    ],
)
def test_what_is_no_tensor_of_floats(tensor, words):
    with pytest.raises(TypeError, match=words):
        FeatureCodec(QUANTIZERS["uniform"]).encode(tensor)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_memory_of_the_callers(dtype):
    codec, tensor = FeatureCodec(QUANTIZERS["designed"]), maps((1, 4, 9, 9)).to(dtype)
    data, out = codec.encode(tensor), torch.empty(1, 4, 9, 9, dtype=dtype)
    assert codec.decode(data, out=out) is out
    assert same(out, quantized(codec.quantizer, tensor))
    for wrong in (out[:, :2], out.double(), out.transpose(2, 3), out.numpy() if dtype is torch.float32 else None):
        if wrong is not None:
            with pytest.raises(ValueError, match=r"out must be a contiguous CPU tensor of .* and shape \(1, 4, 9, 9\)"):
                codec.decode(data, out=wrong)


def test_callers_faults():
    codec = FeatureCodec(QUANTIZERS["uniform"])
    with pytest.raises(ValueError, match="16 axes, got 17"):
        codec.encode(torch.zeros([1] * 17))
    with pytest.raises(ValueError, match="static, channel, context, got 'spatial'"):
        FeatureCodec(QUANTIZERS["uniform"], "spatial")
    with pytest.raises(TypeError, match="Quantizer, got int"):
        FeatureCodec(4)
    with pytest.raises(ValueError, match="not calibrated"):
        codec.to_bytes()
    with pytest.raises(ValueError, match=r"one number of channels, got \[3, 4\]"):
        codec.calibrate([torch.zeros(1, 3, 2, 2), torch.zeros(1, 4, 2, 2)])
    calibrated = codec.calibrate([torch.zeros(1, 3, 2, 2)])
    with pytest.raises(ValueError, match="calibrated for 3 channels, got 4"):
        calibrated.encode(torch.zeros(1, 4, 2, 2))


def test_known_must_be_of_the_codec():
    known = FeatureCodec(QUANTIZERS["designed"]).calibrate([maps((1, 8, 9, 9))]).known
    for arguments in ((QUANTIZERS["uniform"], "context"), (QUANTIZERS["designed"], "static")):
        with pytest.raises(ValueError, match="other levels, or another coding"):
            FeatureCodec(*arguments, known)


@pytest.mark.parametrize("coding", ["static", "context"])
def test_bytes_that_name_a_codec_and_are_of_another_kind(coding):
    codec = FeatureCodec(QUANTIZERS["designed"], coding).calibrate([maps((1, 8, 9, 9))])
    good = blob.read_blob(codec.encode(maps((1, 8, 9, 9))), 1 << 20)
    streams = [*good.streams, *[b"\0\0"] * 4][: 1 if coding == "context" else 5]
    with pytest.raises(BitstreamError, match="in another way"):
        codec.decode(replace(good, has_context=coding != "context", streams=streams).to_bytes())


def test_channels_of_a_named_tensor():
    codec = FeatureCodec(QUANTIZERS["designed"], "channel").calibrate([maps((1, 8, 9, 9))])
    good = blob.read_blob(codec.encode(maps((1, 8, 9, 9))), 1 << 20)
    with pytest.raises(BitstreamError, match="calibrated for 8 channels, got 4"):
        codec.decode(replace(good, shape=(1, 4, 18, 9)).to_bytes())


def test_bytes_of_another_codec_name_both():
    one, other = (FeatureCodec(QUANTIZERS[k]).calibrate([maps((1, 8, 9, 9))]) for k in ("designed", "uniform"))
    data = one.encode(maps((1, 8, 9, 9)))
    with pytest.raises(BitstreamError, match=f"of codec {one.id.hex()}, this one is {other.id.hex()}"):
        other.decode(data)
    with pytest.raises(BitstreamError, match=f"{one.id.hex()}: it must decode"):
        features.decode(data)
    with pytest.raises(BitstreamError, match="this one is not calibrated"):
        FeatureCodec(QUANTIZERS["designed"]).decode(data)


def test_a_large_tensor_is_refused_before_it_is_made():
    data = FeatureCodec(QUANTIZERS["one level"], "static").encode(torch.zeros(1000, 1000))
    assert len(data) < 64
    with pytest.raises(BitstreamError, match=r"\(1000, 1000\), of which at most 999999"):
        features.decode(data, max_elements=999_999)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("quantizer", ["designed", "uniform", "256 levels", "one level"])
def test_estimates_are_nearer_and_cost_nothing(dtype, quantizer):
    codec = FeatureCodec(QUANTIZERS[quantizer]).calibrate([maps((2, 16, 40, 44), seed) for seed in range(4)])
    plain = FeatureCodec(codec.quantizer, "context", replace(codec.known, estimates=None))
    tensor = maps((1, 16, 40, 44), 99).to(dtype)
    data = codec.encode(tensor)
    assert len(data) == len(plain.encode(tensor))
    assert codec.id != plain.id
    errors = [(one.decode(one.encode(tensor)) - tensor).float().square().mean() for one in (codec, plain)]
    assert errors[0] < (1.0 if quantizer == "256 levels" else 0.93) * errors[1]
    decoded = codec.decode(data)
    assert same(codec.decode(data, threads=3), decoded)
    for backend in backends.available():
        with backends.use(backend):
            assert same(codec.decode(data), decoded)
    assert torch.equal(torch.from_numpy(page.decode(data, codec.to_bytes())[2]).to(dtype), decoded)


@pytest.mark.parametrize("levels", [2, 3, 4, 8])
def test_static_rate_is_the_entropys(levels):
    """Within 1 % of the zero-order entropy of the symbols, all bytes counted; the paper's yardstick beside it."""
    tensor = maps((1, 32, 64, 64))
    quantizer = features.design(Histogram(tensor), levels, 0.01)
    symbols = np.searchsorted(quantizer.thresholds, tensor.numpy().ravel(), "left")
    bits = entropy(np.bincount(symbols) / symbols.size) * symbols.size
    spent = 8 * len(FeatureCodec(quantizer, "static").encode(tensor))
    assert spent < 1.01 * bits
    assert spent < 1.005 * unary.adaptive_bits(symbols, len(quantizer.levels)) + 8 * 60


def test_neighbours_save_a_fifth():
    tensor = maps((1, 32, 64, 64))
    sizes = [
        len(FeatureCodec(QUANTIZERS["designed"], coding).encode(tensor)) for coding in ("static", "channel", "context")
    ]
    assert sizes[1] < sizes[0]
    assert sizes[2] < 0.8 * sizes[0]


def test_codes_keep_frequencies():
    rng = np.random.default_rng(4)
    counts = rng.integers(0, 5, (300, 9)) ** rng.integers(0, 9, (300, 9))
    counts[:, 0] += 1
    codes = codes_of(counts)
    cdf = table_of(codes).cdf
    share = np.diff(cdf, axis=1)[:, :9] / 65536
    truth = counts / counts.sum(1, keepdims=True)
    excess = np.where(truth > 0, truth * np.log2(np.where(truth > 0, truth, 1) / share), 0).sum(1)
    assert excess.max() < 0.003  # bits an element
    assert ((codes == 255) == (counts == 0)).all()


def test_counting_refuses_what_it_would_write_beyond():
    counts = np.zeros((2, 3), np.int64)
    with pytest.raises(ValueError, match="beyond the counts"):
        _core.count_symbols(np.array([3], np.uint8), None, counts)
    with pytest.raises(ValueError, match="beyond the counts"):
        _core.count_symbols(np.array([0], np.uint8), np.array([2], np.uint8), counts)
