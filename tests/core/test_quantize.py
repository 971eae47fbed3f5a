"""Quantization by every kernel set, bit for bit against the definitions where comparing and rounding are awkward."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scalecodec import backends
from scalecodec.cdf import default_scale_table
from scalecodec.gains import GAIN_TABLE
from scalecodec.quantize import build_indexes, dequantize, quantize_and_index, to_symbols

INF = torch.tensor(math.inf)
INDEX_DTYPES = [torch.uint8, torch.uint16, torch.int32]
SYMBOL_DTYPES = [torch.int8, torch.int16, torch.int32]
LONG = 100_003  # enough for three threads, and no multiple of anything


@pytest.fixture(params=backends.available(), autouse=True)
def kernel_set(request):
    with backends.use(request.param):
        yield request.param


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def counted(scale, table):
    """CompressAI's definition: the last index, less one for every other scale of the table that is not exceeded."""
    return len(table) - 1 - (scale[..., None] <= table[:-1]).sum(-1, dtype=torch.int32)


def bucketed(scale, table):
    """What these doors did by torch before there were kernels."""
    return torch.bucketize(scale, table[:-1], out_int32=True)


def rounded(latent, mean, gain):
    """Likewise, in the order of operations of a variable-rate model."""
    return torch.round((latent - mean) * gain).to(torch.int32)


def same_bits(one, other):
    return torch.equal(one.view(torch.int32), other.view(torch.int32))


def neighbours(values):
    """The values, and the floats right below and above each."""
    return torch.cat([values, torch.nextafter(values, -INF), torch.nextafter(values, INF)])


def awkward_scales(table):
    smallest = 2.0**-149
    special = [
        0.0,
        -0.0,
        math.inf,
        -math.inf,
        math.nan,
        -math.nan,
        smallest,
        -smallest,
        2.0**-126,
        2.0**127,
        3.4028235e38,
    ]
    return torch.cat([neighbours(table), torch.tensor(special), torch.randn(500).exp(), torch.randn(100)])


def tables():
    yield torch.as_tensor(default_scale_table(), dtype=torch.float32)
    for count in (1, 2, 3, 31, 32, 33, 62, 63, 64, 65, 66, 127, 128, 255, 256, 257, 1000):
        yield torch.linspace(0.11, 60, count)
    yield torch.tensor([0.0, 0.0, 2.0**-149, 2.0**-126, 1.0, 1.0, 1.0, math.inf, math.inf])
    yield torch.tensor([-math.inf, -3.0, -0.0, 0.0, 5.0])
    yield torch.full((64,), 2.0)
    yield torch.full((300,), 2.0)
    yield torch.randn(64).exp().sort().values
    yield torch.arange(65536.0)


@pytest.mark.parametrize("table", list(tables()), ids=lambda table: str(len(table)))
def test_indexes_count_the_scales_that_are_exceeded(table):
    for gain in (1.0, GAIN_TABLE[100], 3.0):
        scale = awkward_scales(table[:: max(1, len(table) // 512)])
        scale = torch.cat([scale, scale / gain])
        expected = bucketed(scale * gain, table)
        if len(table) <= 1000:
            assert torch.equal(expected, counted(scale * gain, table))
        for dtype in INDEX_DTYPES:
            if len(table) <= torch.iinfo(dtype).max + 1:
                indexes = build_indexes(scale, table, gain=gain, dtype=dtype)
                assert indexes.dtype is dtype
                assert torch.equal(indexes.int(), expected)


@pytest.mark.parametrize("bound", [0.11, 0.0, -1.0, 3.0, 1e9, math.inf, -math.inf])
@pytest.mark.parametrize("count", [64, 200])
def test_a_bound_lifts_scales_but_no_nan(count, bound):
    table = torch.linspace(0.05, 60, count)
    scale = torch.cat([awkward_scales(table), neighbours(torch.tensor([bound]))])
    for gain in (1.0, GAIN_TABLE[3]):
        lifted = torch.max(scale * gain, torch.tensor([bound]))
        for same in (bound, torch.tensor([bound]), torch.tensor(bound)):
            assert torch.equal(build_indexes(scale, table, gain=gain, scale_bound=same), bucketed(lifted, table))


@pytest.mark.parametrize("count", [64, 100])
def test_every_size_at_every_alignment(count):
    table = torch.linspace(0.05, 3, count)
    scale, mean = torch.rand(200) * 4, torch.randn(200)
    latent = torch.randn(200) * 20
    for size in range(71):
        for shift in (0, 1, 2, 3, 15):
            part = slice(shift, shift + size)
            for dtype, symbol_dtype in zip(INDEX_DTYPES, SYMBOL_DTYPES, strict=True):
                symbols, indexes = quantize_and_index(
                    latent[part], scale[part], table, mean=mean[part], symbol_dtype=symbol_dtype, index_dtype=dtype
                )
                assert torch.equal(indexes.int(), bucketed(scale[part], table))
                assert torch.equal(symbols.int(), rounded(latent[part], mean[part], 1.0))
                assert same_bits(dequantize(symbols, mean[part]), symbols.float() + mean[part])


@pytest.mark.parametrize("gain", [1.0, *GAIN_TABLE[::50], 1 / 3, 1.7, 2.0**-126, 2.0**20])
@pytest.mark.parametrize("has_mean", [False, True])
def test_symbols_and_latents_are_those_of_torch(has_mean, gain):
    mean = torch.randn(LONG) * 30 if has_mean else None
    halves = torch.randint(-2000, 2000, (LONG,)) + 0.5
    halfway = (halves / gain + (mean if has_mean else 0)).nan_to_num(0, 0, 0)
    for latent in (halfway, torch.nextafter(halfway, INF), torch.nextafter(halfway, -INF)):
        symbols = to_symbols(latent, mean, gain=gain)
        assert torch.equal(symbols, rounded(latent, mean if has_mean else 0, gain))
        assert gain == 2.0**-126 or len(symbols.unique()) > 100
        back = symbols.float() / gain
        assert same_bits(dequantize(symbols, mean, gain=gain), back + mean if has_mean else back)


def test_halves_go_to_the_even_neighbour():
    odd_halves = torch.arange(-5000, 5001) + 0.5
    large = torch.tensor([2.0**22 + 0.5, 2.0**22 + 1.5, 2.0**23 - 0.5, 2.0**23, 2.0**23 + 1, 2.0**24 + 2, 2.0**30])
    latent = neighbours(torch.cat([odd_halves, large, -large, torch.tensor([0.0, -0.0, 2.0**-149])]))
    symbols = to_symbols(latent)
    assert torch.equal(symbols, torch.round(latent).int())
    assert symbols.tolist() == np.rint(latent.numpy()).astype(np.int32).tolist()


@pytest.mark.parametrize("dtype", SYMBOL_DTYPES)
def test_large_symbols_become_floats_as_torch_has_them(dtype):
    info = torch.iinfo(dtype)
    symbols = torch.randint(info.min, info.max, (5000,)).to(dtype)
    symbols[:4] = torch.tensor([info.min, info.min + 1, info.max, info.max - 1])
    mean = torch.randn(5000) * 1e6
    for gain in (1.0, GAIN_TABLE[1]):
        assert same_bits(dequantize(symbols, mean, gain=gain), symbols.to(torch.float32) / gain + mean)
        assert same_bits(dequantize(symbols, gain=gain), symbols.to(torch.float32) / gain)


EDGES = [
    (torch.int8, [127.0, 127.49999, -128.0, -128.5], [127.5, 128.0, -128.50002, -129.0, 200.0]),
    (torch.int16, [32767.0, 32767.498, -32768.0, -32768.5], [32767.5, -32768.504, -40000.0, 1e6]),
    (torch.int32, [2147483520.0, -2147483648.0], [2147483648.0, -2147483904.0, 1e30, -1e30]),
]


@pytest.mark.parametrize(
    ("dtype", "good", "bad"), EDGES, ids=lambda value: str(value) if value in SYMBOL_DTYPES else ""
)
def test_the_first_latent_that_does_not_fit_is_named(dtype, good, bad):
    latent = torch.zeros(LONG)
    places = [0, 1, 15, 16, 4095, 4096, 33333, 33344, 70_000, LONG - 1]
    latent[places] = torch.tensor(good).repeat(len(places))[: len(places)]
    assert torch.equal(to_symbols(latent, dtype=dtype).int(), torch.round(latent).int())
    for place in places:
        for value in (*bad, math.nan, math.inf, -math.inf):
            damaged = latent.clone()
            damaged[place] = value
            damaged[torch.arange(place + 1, LONG, 9973)] = math.inf
            for threads in (1, 3):
                limit = rf"2\*\*{torch.iinfo(dtype).bits - 1}"
                text = rf"finite .* {str(dtype)[6:]}, in \[-{limit}, {limit}\), got .* \(element {place}\)"
                with pytest.raises(ValueError, match=text) as caught:
                    to_symbols(damaged, dtype=dtype, threads=threads)
                assert f"got {float(damaged[place])} (" in str(caught.value)


def test_threads_change_nothing():
    table = torch.linspace(0.05, 60, 64)
    latent, scale, mean = torch.randn(3, LONG) * 10
    for size in (0, 1, 32767, 32768, 65535, 65536, 98304, LONG):
        one, other = (
            quantize_and_index(latent[:size], scale[:size], table, mean=mean[:size], gain=0.3, threads=threads)
            for threads in (1, 256)
        )
        assert torch.equal(one[0], other[0])
        assert torch.equal(one[1], other[1])
        assert same_bits(*(dequantize(one[0], mean[:size], gain=0.3, threads=threads) for threads in (1, 5)))
    assert torch.equal(one[0], rounded(latent, mean, 0.3))
    assert torch.equal(one[1], bucketed(scale * 0.3, table))
