"""Rounding to symbols and scales to indexes: gradients, int32 edges, bad values."""

from __future__ import annotations

import math

import pytest
import torch

from scalecodec.quantize import build_indexes, round_ste, to_symbols

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
    with pytest.raises(ValueError, match="finite"):
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
