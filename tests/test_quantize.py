"""Latents to symbols and back, scales to indexes: gradients, dtypes, layouts, bad values; core/ has the very bits."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from scalecodec import backends
from scalecodec.quantize import build_indexes, dequantize, dequantize_, quantize_and_index, round_ste, to_symbols

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


def test_round_ste_rounds_half_to_even_and_passes_the_gradient_on():
    x = torch.tensor([-1.5, -0.5, 0.5, 1.5, 2.5, 0.49, -3.51], requires_grad=True)
    rounded = round_ste(x)
    assert rounded.tolist() == [-2, 0, 0, 2, 2, 0, -4]
    weight = torch.arange(7.0) - 3
    (rounded * weight).sum().backward()
    assert torch.equal(x.grad, weight)


@pytest.mark.parametrize("dtype", FLOATS)
def test_to_symbols_rounds_half_to_even_in_any_layout(dtype):
    x = torch.tensor([[-1.5, -0.5, 0.5], [1.5, 2.5, -100.0]], dtype=dtype)
    for same in (x, x.T.contiguous().T, x.requires_grad_()):
        symbols = to_symbols(same)
        assert symbols.dtype == torch.int32
        assert symbols.tolist() == [[-2, 0, 0], [2, 2, -100]]
    assert to_symbols(x[:0]).shape == (0, 3)
    assert to_symbols(x[0, 0]).item() == -2


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_to_symbols_refuses_what_is_not_finite(dtype, bad):
    x = torch.zeros(2, 3, dtype=dtype)
    x[1, 2] = bad
    with pytest.raises(ValueError, match=rf"finite .* got {bad} \(element 5\)"):
        to_symbols(x)


@pytest.mark.parametrize(
    ("dtype", "largest", "beyond"),
    [
        (torch.float64, 2**31 - 1, [2.0**31 - 0.5, 2.0**31, -(2.0**31) - 1, -(2.0**31) - 0.6, 1e300]),
        (torch.float32, 2**31 - 2**7, [2.0**31, -(2.0**31) - 2**8, 3e38]),
        (torch.bfloat16, 2**31 - 2**23, [2.0**31, -(2.0**31) - 2**24, 3e38]),
    ],
)
def test_to_symbols_goes_to_the_edges_of_int32_and_no_further(dtype, largest, beyond):
    edges = torch.tensor([largest, -(2**31)], dtype=dtype)
    assert to_symbols(edges).tolist() == [largest, -(2**31)]
    for value in beyond:
        x = torch.tensor([0, value], dtype=dtype)
        assert abs(x[1].item()) >= 2**31 - 0.5, "the dtype cannot hold the value meant"
        with pytest.raises(ValueError, match=r"2\*\*31"):
            to_symbols(x)


def test_to_symbols_takes_all_of_float16():
    assert to_symbols(torch.tensor([65504.0, -65504.0], dtype=torch.float16)).tolist() == [65504, -65504]


def test_indexes_select_the_first_scale_that_is_not_below():
    table = torch.tensor([0.5, 1.0, 1.0, 4.0])
    scale = torch.tensor([[-1.0, 0.0, 0.5, 0.5000001], [1.0, 1.1, 4.0, 5.0], [math.inf, -math.inf, math.nan, 1e-45]])
    expected = [[0, 0, 0, 1], [1, 3, 3, 3], [3, 0, 3, 0]]
    for same in (scale, scale.T.contiguous().T, scale.double(), scale.clone().requires_grad_()):
        indexes = build_indexes(same, table)
        assert indexes.dtype == torch.int32
        assert indexes.tolist() == expected
    strided = torch.stack([table, -table], dim=1)[:, 0]
    assert build_indexes(scale, strided).tolist() == expected


def test_indexes_of_awkward_shapes_and_tables():
    table = torch.tensor([0.5, 1.0])
    assert build_indexes(torch.tensor(0.7), table).shape == ()
    assert build_indexes(torch.empty(0, 3), table).shape == (0, 3)
    one = build_indexes(torch.tensor([0.1, 1e9, math.nan]), torch.tensor([1.0]))
    assert one.tolist() == [0, 0, 0]
    for bad in (torch.empty(0), torch.ones(2, 2), torch.tensor(1.0)):
        with pytest.raises(ValueError, match="scale_table must be 1-D"):
            build_indexes(torch.ones(3), bad)


TABLE = torch.linspace(0.2, 8, 64)


def layouts(x):
    """The same values at other strides; the last two share memory that belongs to others as well."""
    yield x
    yield x.to(memory_format=torch.channels_last)
    yield x.transpose(1, 3).contiguous().transpose(1, 3)
    yield torch.stack([x, x + 1], dim=-1)[..., 0]
    yield torch.cat([x, x], dim=1)[:, : x.shape[1]]


def same(one, other):
    return one.dtype is other.dtype and torch.equal(one, other)


def test_any_layout_gives_the_same_and_is_left_as_it_was():
    torch.manual_seed(0)
    latent, scale, mean = (torch.randn(2, 6, 5, 7) * size for size in (20, 5, 3))
    expected = torch.round((latent - mean) * 0.7).int(), torch.bucketize(scale * 0.7, TABLE[:-1], out_int32=True)
    for given in zip(layouts(latent), layouts(scale), layouts(mean), strict=True):
        copies = [tensor.clone() for tensor in given]
        symbols, indexes = quantize_and_index(given[0], given[1], TABLE, mean=given[2], gain=0.7)
        assert same(symbols, expected[0])
        assert same(indexes, expected[1])
        assert same(to_symbols(given[0], given[2], gain=0.7), symbols)
        assert same(build_indexes(given[1], TABLE, gain=0.7), indexes)
        assert same(dequantize(symbols, given[2], gain=0.7), symbols.float() / 0.7 + mean)
        assert all(map(torch.equal, given, copies))
        assert all(out.is_contiguous() and not out.requires_grad for out in (symbols, indexes))


@pytest.mark.parametrize("shape", [(), (1,), (6, 1, 1), (1, 6, 1, 1), (2, 1, 5, 7), (7,)])
def test_a_mean_is_spread_as_torch_does(shape):
    latent, mean = torch.randn(2, 6, 5, 7) * 20, torch.randn(shape) * 5
    symbols = to_symbols(latent, mean, gain=0.3)
    assert same(symbols, torch.round((latent - mean) * 0.3).int())
    assert same(quantize_and_index(latent, latent, TABLE, mean=mean, gain=0.3)[0], symbols)
    assert same(dequantize(symbols, mean, gain=0.3), symbols.float() / 0.3 + mean)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mean_dtype", [None, *FLOATS])
def test_other_floats_are_computed_as_torch_promotes_them(dtype, mean_dtype):
    torch.manual_seed(0)
    latent, scale = (torch.randn(3, 40, dtype=dtype) * 9 for _ in range(2))
    mean = None if mean_dtype is None else torch.randn(3, 40, dtype=mean_dtype)
    for gain in (1.0, 0.7):
        centred = (latent if mean is None else latent - mean) * gain
        symbols, indexes = quantize_and_index(latent, scale, TABLE, mean=mean, gain=gain, scale_bound=0.5)
        assert same(symbols, torch.round(centred.float()).int())
        lifted = torch.max(scale * gain, torch.tensor([0.5]))
        assert same(indexes, torch.bucketize(lifted, TABLE[:-1], out_int32=True))
        back = symbols.to(mean_dtype or torch.float32) / gain
        assert same(dequantize(symbols, mean, gain=gain), back if mean is None else back + mean)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_dequantize_takes_every_integer(dtype):
    symbols = torch.arange(100).to(dtype)
    mean = torch.randn(100, requires_grad=True)
    plain = dequantize(symbols, mean.detach(), gain=0.3)
    assert same(plain, symbols.float() / 0.3 + mean.detach())
    assert same(dequantize(symbols[::3], mean.detach()[::3]), symbols[::3].float() + mean.detach()[::3])
    with_gradient = dequantize(symbols, mean, gain=0.3)
    assert torch.equal(with_gradient, plain)
    with_gradient.sum().backward()
    assert torch.equal(mean.grad, torch.ones(100))
    with torch.no_grad():
        assert not dequantize(symbols, mean).requires_grad


@pytest.mark.parametrize("has_mean", [False, True])
@pytest.mark.parametrize("gain", [1.0, 0.3])
@pytest.mark.parametrize("size", [0, 1, 511, 512, 513, 100_000])
def test_dequantize_in_the_symbols_memory(size, gain, has_mean):
    symbols = torch.randint(-(2**31), 2**31, (size,)).int()
    mean = torch.randn(size) if has_mean else None
    expected = dequantize(symbols, mean, gain=gain, threads=1)
    for threads in (1, 3):
        lost = symbols.clone()
        latent = dequantize_(lost, mean, gain=gain, threads=threads)
        assert same(latent, expected)
        assert latent.data_ptr() == lost.data_ptr()


def test_dequantize_in_place_leaves_alone_what_it_cannot_use():
    whole = torch.arange(200, dtype=torch.int32).reshape(20, 10)
    for symbols in (whole[:, ::2], whole.T, whole.short(), whole.long()):
        before = symbols.clone()
        assert same(dequantize_(symbols, gain=0.3), before.float() / 0.3)
        assert torch.equal(symbols, before)


def test_empty_and_single():
    empty = torch.empty(2, 0, 3)
    symbols, indexes = quantize_and_index(empty, empty, TABLE, mean=empty)
    assert symbols.shape == indexes.shape == dequantize(symbols, empty).shape == (2, 0, 3)
    symbols, indexes = quantize_and_index(torch.tensor(2.5), torch.tensor(1.0), TABLE, mean=torch.tensor(1.0))
    assert (symbols.item(), indexes.item(), symbols.shape) == (2, 7, ())
    assert dequantize(symbols, torch.tensor(0.5)).item() == 2.5


def test_a_misaligned_tensor_is_read_right():
    values = torch.randn(100)
    misaligned = torch.frombuffer(bytearray(b"\0" + values.numpy().tobytes()), dtype=torch.float32, offset=1)
    assert torch.equal(to_symbols(misaligned, misaligned), torch.zeros(100))
    assert torch.equal(build_indexes(misaligned, TABLE), build_indexes(values, TABLE))


@pytest.mark.parametrize("by_torch", [False, True])
def test_errors_are_the_same_in_the_core_and_in_torch(by_torch):
    dtype = torch.float64 if by_torch else torch.float32
    x, table = torch.zeros(4, 5, dtype=dtype), TABLE.to(dtype)
    x[2, 3] = 40000
    text = r"latents must be finite and round to int16, in \[-2\*\*15, 2\*\*15\), got 40000.0 \(element 13\)"
    for call in (to_symbols, lambda x, **kinds: quantize_and_index(x, x, table, symbol_dtype=kinds["dtype"])):
        with pytest.raises(ValueError, match=text):
            call(x, dtype=torch.int16)
    for dtype, kind in ((torch.int64, "symbols"), (torch.uint8, "symbols"), (torch.float32, "symbols")):
        with pytest.raises(TypeError, match=f"{kind} must be int8, int16 or int32"):
            to_symbols(x, dtype=dtype)
    for dtype in (torch.int64, torch.int8, torch.int16, torch.float32):
        with pytest.raises(TypeError, match="indexes must be uint8, uint16 or int32"):
            build_indexes(x, table, dtype=dtype)
    with pytest.raises(ValueError, match="at most 256 tables, got 257"):
        build_indexes(x, torch.linspace(1, 2, 257, dtype=x.dtype), dtype=torch.uint8)
    assert build_indexes(x + 9, torch.linspace(1, 2, 256, dtype=x.dtype), dtype=torch.uint8).unique().tolist() == [255]
    for mean in (torch.zeros(4), torch.zeros(1, 1, 4, 5), torch.zeros(3, 4, 5)):
        with pytest.raises(ValueError, match=r"mean of shape .* does not fit latents of \(4, 5\)"):
            to_symbols(x, mean.to(x.dtype))
    with pytest.raises(ValueError, match="one shape"):
        quantize_and_index(x, x[0], table)
    with pytest.raises(ValueError, match="scale_bound must be one number"):
        build_indexes(x, table, scale_bound=torch.ones(2))


def test_bad_numbers_are_refused():
    x = torch.zeros(3)
    calls = (
        lambda **given: to_symbols(x, **given),
        lambda **given: build_indexes(x, TABLE, **given),
        lambda **given: quantize_and_index(x, x, TABLE, **given),
        lambda **given: dequantize(x.int(), **given),
    )
    for call in calls:
        for gain in (0.0, -1.0, math.inf, math.nan, 1e-40, 3e38, True, "1", None, torch.ones(1)):
            with pytest.raises(ValueError, match="gain must be a number"):
                call(gain=gain)
        for threads in (0, -1, 257, True, 1.0, None):
            with pytest.raises(ValueError, match="threads must be an int"):
                call(threads=threads)
        call(gain=np.float64(0.5), threads=256)
        call(gain=np.float32(0.5))
        call(gain=2)


def test_a_table_must_ascend_and_a_bound_be_a_number():
    x = torch.ones(3)
    for count in (2, 64, 65, 300):
        for place in {1, count // 2, count - 1}:
            for bad in (0.5, -math.inf, math.nan):
                table = torch.ones(count)
                table[place] = bad
                with pytest.raises(ValueError, match=rf"scale_table must ascend.*element {place}\)"):
                    build_indexes(x, table)
                with pytest.raises(ValueError, match="scale_table must ascend"):
                    quantize_and_index(x, x, table)
    with pytest.raises(ValueError, match="scale_bound must not be NaN"):
        build_indexes(x, TABLE, scale_bound=math.nan)


def test_dequantize_refuses_what_is_not_integer():
    for bad in (torch.ones(3), torch.ones(3, dtype=torch.bool), torch.ones(3, dtype=torch.complex64)):
        with pytest.raises(TypeError, match="symbols must have an integer dtype"):
            dequantize(bad)


@pytest.mark.parametrize("name", backends.available())
def test_indexes_and_symbols_are_those_of_compressai(compressai, name):
    torch.manual_seed(0)
    theirs = compressai.entropy_models.GaussianConditional(TABLE.tolist())
    theirs.update()
    edges = torch.cat([TABLE, torch.tensor([0.0, -1.0, math.inf, -math.inf, math.nan, 0.11])])
    around = [torch.nextafter(edges, torch.tensor(end)) for end in (math.inf, -math.inf)]
    scale = torch.cat([edges, *around, torch.randn(20_000).exp()])
    latent, mean = torch.randn(2, len(scale)) * 9
    latent[:5000] = mean[:5000] + torch.arange(5000) - 2499.5
    with backends.use(name):
        symbols, indexes = quantize_and_index(
            latent, scale, theirs.scale_table, mean=mean, scale_bound=theirs.lower_bound_scale.bound
        )
        assert same(indexes, theirs.build_indexes(scale))
        assert same(symbols, theirs.quantize(latent, "symbols", mean))
        assert same(dequantize(symbols, mean), theirs.dequantize(symbols, mean))
