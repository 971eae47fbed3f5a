"""Offset quantization's doors: the compiled core against the definition bit for bit, gradients, operators, refusals."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from scalecodec.kernels import offset_quant_ref as ref

from scalecodec import backends
from scalecodec.quantize import (
    build_indexes,
    dequantize,
    offset_dequantize,
    offset_quantize,
    offset_simulate,
    to_symbols,
)
from scalecodec.quantize.offset_ops import dequantize_op, quantize_op, simulate_backward_op, simulate_op

from .kernels.offset_cases import BOUND, cases, laid_out, make, same_bits, scales_of

CASES = list(cases())
IDS = [name for name, _ in CASES]
EVERY_CASE = pytest.mark.parametrize("case", [case for _, case in CASES], ids=IDS)


def doors(case):
    """Positional and keyword arguments of the doors."""
    positional = case.latent, case.mean, case.scale, case.gain, case.offsets
    return positional, {"scale_table": case.scale_table, "scale_bound": BOUND}


@EVERY_CASE
@pytest.mark.parametrize("name", backends.available())
def test_every_kernel_set_gives_the_definitions_bits(case, name):
    given, tables = doors(case)
    for symbol_dtype in (torch.int8, torch.int16, torch.int32):
        *defined, fits = ref.quantize(*case.arguments(), symbol_dtype)
        with backends.use(name):
            if not fits:
                with pytest.raises(ValueError, match="round to"):
                    offset_quantize(*given, **tables, symbol_dtype=symbol_dtype)
                continue
            coded = offset_quantize(*given, **tables, symbol_dtype=symbol_dtype, threads=2)
            assert all(map(same_bits, coded, defined))
            rest = coded.symbols, coded.indexes, case.mean, case.gain, case.offsets
            decoded = offset_dequantize(*rest)
        if case.mean is not None or case.latent.dtype is torch.float32:
            assert same_bits(decoded, coded.latent_hat)
    with backends.use(name):
        simulated = simulate_op(*given, case.scale_table, BOUND, case.noise, 2)
    assert all(map(same_bits, simulated, ref.simulate(*case.arguments(), case.noise)))


@EVERY_CASE
@pytest.mark.parametrize("name", backends.available())
def test_gradients_are_the_definitions(case, name):
    torch.manual_seed(1)
    *_, indexes = ref.simulate(*case.arguments(), case.noise)
    grads = [laid_out(torch.randn(case.latent.shape), "channels_last") for _ in range(3)]
    rest = case.latent, case.mean, case.scale, case.gain, case.offsets, indexes, BOUND
    defined = ref.simulate_backward(*grads, *rest)
    with backends.use(name):
        ours = simulate_backward_op(*grads, *rest, 2)
        again = simulate_backward_op(*grads, *rest, 1)
    for one, other in zip(ours[:3], defined[:3], strict=True):
        assert one.numel() == 0 if other is None else same_bits(one, other)
    if case.offsets is not None:
        torch.testing.assert_close(ours[3], defined[3], rtol=1e-4, atol=1e-4)
    assert all(map(same_bits, ours, again)), "a sum depends on the number of threads"


def test_without_offsets_it_is_what_the_plain_doors_give():
    case = make((2, 6, 9, 7))
    for gain in (1.0, 0.3):
        coded = offset_quantize(
            case.latent, case.mean, case.scale, gain, scale_table=case.scale_table, scale_bound=BOUND
        )
        assert torch.equal(coded.symbols, to_symbols(case.latent, case.mean, gain=gain))
        assert torch.equal(
            coded.indexes.int(), build_indexes(case.scale, case.scale_table, gain=gain, scale_bound=BOUND)
        )
        assert torch.equal(coded.latent_hat, dequantize(coded.symbols, case.mean, gain=gain))


def test_offsets_lower_the_error_and_leave_symbols_as_they_were():
    """By the best offset of a Gaussian of 0.4 steps: 26 % less (Lloyd 1982)."""
    torch.manual_seed(0)
    latent = torch.randn(1, 200_000) * 0.4
    table = torch.tensor([0.4, 1.0])
    plain = offset_quantize(latent, None, torch.full_like(latent, 0.4), 1.0, scale_table=table)
    moved = offset_quantize(
        latent, None, torch.full_like(latent, 0.4), 1.0, torch.tensor([0.309, 0.1]), scale_table=table
    )
    assert torch.equal(plain.symbols, moved.symbols)
    before, after = ((latent - coded.latent_hat).square().mean() for coded in (plain, moved))
    assert 1 - after / before == pytest.approx(0.26, abs=0.02)


def test_a_training_step_sends_gradients_to_all_but_gains():
    case = make((3, 4, 8, 8), offset_rows=0)
    leaves = [tensor.requires_grad_() for tensor in (case.latent, case.mean, case.scale, case.offsets)]
    given, tables = doors(case)
    simulated = offset_simulate(*given, **tables, noise=case.noise)
    weights = [torch.randn(case.latent.shape) for _ in range(3)]
    sum((out * weight).sum() for out, weight in zip(simulated, weights, strict=True)).backward()
    *_, indexes = ref.simulate(
        *(t.detach() if isinstance(t, torch.Tensor) else t for t in case.arguments()), case.noise
    )
    wanted = ref.simulate_backward(
        *weights, *(leaf.detach() for leaf in leaves[:3]), case.gain, leaves[3].detach(), indexes, BOUND
    )
    for leaf, grad in zip(leaves, wanted, strict=True):
        torch.testing.assert_close(leaf.grad, grad)


def test_noise_is_uniform_and_new_each_time():
    case = make((1, 1, 256, 256), with_mean=False)
    given, tables = doors(case)
    one, other = (offset_simulate(*given, **tables).noisy - case.latent * case.gain for _ in range(2))
    assert not torch.equal(one, other)
    assert one.abs().max() <= 0.5001
    assert one.var().item() == pytest.approx(1 / 12, rel=0.02)


@pytest.mark.parametrize(
    ("with_mean", "rows", "layout", "dtype"),
    [
        *itertools.product([True, False], [None, 0, 1], ["contiguous"], [torch.float32]),
        *itertools.product([True], [0], ["channels_last", "chunk", "mixed"], [torch.float32, torch.bfloat16]),
    ],
)
def test_the_operators_keep_torchs_contracts(with_mean, rows, layout, dtype):
    case = make((2, 3, 4, 5), layout, dtype, with_mean=with_mean, offset_rows=rows)
    leaves = [None if t is None else t.requires_grad_() for t in (case.latent, case.mean, case.scale)]
    offsets = None if case.offsets is None else case.offsets.requires_grad_()
    given = *leaves, case.gain, offsets, case.scale_table, BOUND
    torch.library.opcheck(simulate_op, (*given, case.noise, 1))
    plain = [tensor if not isinstance(tensor, torch.Tensor) else tensor.detach() for tensor in given]
    torch.library.opcheck(quantize_op, (*plain, torch.int16, 1))
    symbols, indexes, _ = quantize_op(*plain, torch.int16, 1)
    torch.library.opcheck(dequantize_op, (symbols, indexes, plain[1], case.gain, plain[4], torch.float32, 1))
    *_, indexes = simulate_op(*plain, case.noise, 1)
    grads = [torch.randn(2, 3, 4, 5) for _ in range(3)]
    torch.library.opcheck(simulate_backward_op, (*grads, *plain[:5], indexes, BOUND, 1))


@pytest.mark.filterwarnings("ignore")  # of the compiler's own making
@pytest.mark.parametrize("layout", ["contiguous", "channels_last", "chunk"])
def test_it_compiles_whole_forwards_and_backwards(layout):
    case = make((2, 4, 8, 8), layout, offset_rows=0)

    def step(latent, mean, scale, offsets):
        out = offset_simulate(latent, mean, scale, case.gain, offsets, scale_table=case.scale_table, noise=case.noise)
        return (out.noisy / out.scale).square().mean() + out.latent_hat.square().mean()

    def gradients(function):
        leaves = [t.detach().clone().requires_grad_() for t in (case.latent, case.mean, case.scale, case.offsets)]
        loss = function(*leaves)
        loss.backward()
        return [loss.detach(), *(leaf.grad for leaf in leaves)]

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    for one, other in zip(gradients(compiled), gradients(step), strict=True):
        torch.testing.assert_close(one, other)


def test_what_does_not_fit_is_found_in_any_layout():
    for layout in ("contiguous", "channels_last", "chunk"):
        latent = laid_out(torch.zeros(2, 3, 4, 5), layout)
        latent[1, 2, 0, 3] = 200
        with pytest.raises(ValueError, match=r"in \[-2\*\*7, 2\*\*7\), as \(1, 2, 0, 3\) does not"):
            offset_quantize(latent, None, latent, 1.0, scale_table=TABLE, symbol_dtype=torch.int8)


X = torch.zeros(2, 3)
TABLE = scales_of(4)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        ({"latent": torch.zeros(2, 3, dtype=torch.int32)}, TypeError, "latent must be float32"),
        ({"latent": X.double()}, TypeError, "latent must be float32"),
        ({"mean": torch.zeros(2, 4)}, ValueError, r"mean must have the shape \(2, 3\)"),
        ({"mean": torch.zeros(3)}, ValueError, "mean must have the shape"),
        ({"scale": torch.zeros(2, 1)}, ValueError, "scale must have the shape"),
        ({"gain": 0.0}, ValueError, "gain must be"),
        ({"gain": math.nan}, ValueError, "gain must be"),
        ({"gain": torch.ones(3)}, ValueError, "a float for each of 2 items"),
        ({"gain": torch.tensor([1.0, 0.0])}, ValueError, r"gains must be numbers in \[2\*\*-126"),
        ({"gain": torch.tensor([math.nan, 1.0])}, ValueError, r"gains must be numbers in \[2\*\*-126"),
        ({"gain": torch.tensor([math.inf])}, ValueError, r"gains must be numbers in \[2\*\*-126"),
        ({"gain": torch.tensor([1e-40])}, ValueError, r"gains must be numbers in \[2\*\*-126"),
        ({"gain": torch.ones(2, 1)}, ValueError, "a float for each of 2 items"),
        ({"gain": torch.ones(2, dtype=torch.int32)}, ValueError, "a float for each of 2 items"),
        ({"reconstruction_offset": torch.zeros(3)}, ValueError, "an offset for each of 4 tables"),
        ({"reconstruction_offset": torch.zeros(3, 4)}, ValueError, "reconstruction_offset must be floats"),
        ({"reconstruction_offset": torch.zeros(4, dtype=torch.int64)}, ValueError, "must be floats"),
        ({"scale_table": torch.rand(257).sort().values}, ValueError, "at most 256 tables"),
        ({"scale_table": torch.empty(0)}, ValueError, "not empty"),
        ({"scale_table": TABLE.flip(0)}, ValueError, "must ascend"),
        ({"scale_bound": math.nan}, ValueError, "NaN"),
        ({"threads": 0}, ValueError, "threads must be"),
        ({"symbol_dtype": torch.int64}, TypeError, "symbols must be int8, int16 or int32"),
        ({"latent": torch.full((2, 3), math.inf)}, ValueError, "must be finite"),
        (
            {"latent": torch.tensor([[0, 0, 0], [0, 0, 200.0]]), "symbol_dtype": torch.int8},
            ValueError,
            r"as \(1, 2\) does not",
        ),
    ],
)
def test_bad_arguments_are_named(change, error, match):
    given = {"latent": X, "mean": None, "scale": X + 1, "gain": 1.0, "scale_table": TABLE, **change}
    with pytest.raises(error, match=match):
        offset_quantize(**given)


def test_bad_arguments_of_the_way_back_are_named():
    symbols, indexes = torch.zeros(2, 3, dtype=torch.int8), torch.full((2, 3), 4, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r"indexes must lie in \[0, 4\), got 4"):
        offset_dequantize(symbols, indexes, None, 1.0, torch.zeros(4))
    assert offset_dequantize(symbols, indexes, None, 1.0, torch.zeros(5)).tolist() == [[0] * 3] * 2
    with pytest.raises(TypeError, match="indexes uint8"):
        offset_dequantize(symbols, indexes.int(), None, 1.0)
    with pytest.raises(ValueError, match="indexes must have the shape"):
        offset_dequantize(symbols, indexes[:1], None, 1.0)
