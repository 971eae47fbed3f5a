"""Offset quantization: the kernels against the definition bit for bit, the definition against autograd."""

from __future__ import annotations

import math

import pytest
import torch
from scalecodec.kernels import offset_quant_ref as ref
from scalecodec.kernels.row_layout import RowLayout

from .offset_cases import BOUND, SHAPES, Case, cases, laid_out, make, same_bits, scales_of

WITH_TRITON = {"reason": "needs triton", "exc_type": ImportError}
triton_kernels = pytest.importorskip("scalecodec.kernels.offset_quant_triton", **WITH_TRITON)
offset_triton_parts = pytest.importorskip("scalecodec.kernels.offset_triton_parts", **WITH_TRITON)
triton_step = pytest.importorskip("scalecodec.kernels.offset_simulate_triton", **WITH_TRITON)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
CASES = list(cases())
IDS = [name for name, _ in CASES]


@pytest.mark.parametrize("at", range(len(CASES)), ids=IDS)
def test_coding_is_the_definitions_bit_for_bit(at):
    case = CASES[at][1]
    given = case.to(DEVICE).arguments()
    symbol_dtype = (torch.int8, torch.int16, torch.int32)[at % 3]
    *ours, fits = triton_kernels.quantize(*given, symbol_dtype)
    *defined, should_fit = ref.quantize(*given, symbol_dtype)
    assert fits is should_fit
    assert all(map(same_bits, ours, defined))
    assert all(tensor.shape == case.latent.shape for tensor in ours)
    symbols, indexes, latent_hat = defined
    decoded = triton_kernels.dequantize(symbols, indexes, given[1], given[3], given[4], latent_hat.dtype)
    assert same_bits(decoded, ref.dequantize(symbols, indexes, given[1], given[3], given[4], latent_hat.dtype))
    assert same_bits(decoded, latent_hat) or not fits


@pytest.mark.parametrize("case", [case for _, case in CASES], ids=IDS)
def test_a_training_step_is_the_definitions_bit_for_bit_and_its_gradients_too(case):
    case = case.to(DEVICE)
    ours = triton_step.simulate(*case.arguments(), case.noise)
    defined = ref.simulate(*case.arguments(), case.noise)
    assert all(map(same_bits, ours, defined))
    torch.manual_seed(1)
    grads = [laid_out(torch.randn_like(tensor.float()), "channels_last").to(tensor.dtype) for tensor in defined[:3]]
    back = case.latent, case.mean, case.scale, case.gain, case.offsets, defined[3], BOUND
    ours, defined = triton_step.simulate_backward(*grads, *back), ref.simulate_backward(*grads, *back)
    assert [tensor is None for tensor in ours] == [tensor is None for tensor in defined]
    assert all(same_bits(one, other) for one, other in zip(ours[:3], defined[:3], strict=True) if one is not None)
    if case.offsets is not None:  # sums: in another order than the definition's
        torch.testing.assert_close(ours[3], defined[3], rtol=1e-4, atol=1e-4)
        again = triton_step.simulate_backward(*grads, *back)
        assert same_bits(ours[3], again[3]), "the order of a sum changed from call to call"


@pytest.mark.parametrize("one_row", [True, False])
def test_nothing_is_written_beyond_the_outputs(monkeypatch, one_row):
    """The interpreter would write there without a word."""
    made = []

    def guarded(self, dtype, device):
        count = math.prod(self.shape)
        room = torch.full((count + 4096,), 77, dtype=dtype, device=device)
        made.append(room)
        moved = room[2048 : 2048 + count].view([self.shape[dim] for dim in self.order])
        return moved.permute(*sorted(range(len(self.order)), key=self.order.__getitem__))

    monkeypatch.setattr(RowLayout, "empty", guarded)
    case = make((2, 5, 13, 11), "contiguous" if one_row else "chunk_channels_last", offset_rows=0).to(DEVICE)
    outputs = [
        *triton_kernels.quantize(*case.arguments(), torch.int16)[:3],
        *triton_step.simulate(*case.arguments(), case.noise),
    ]
    back = case.latent, case.mean, case.scale, case.gain, case.offsets, outputs[-1], BOUND
    triton_step.simulate_backward(*outputs[3:6], *back)
    assert len(made) == 10
    assert all(bool((room[:2048] == 77).all()) and bool((room[-2048:] == 77).all()) for room in made)


def plain(latent: list[float], scale: float = 1.0, gain: float = 1.0, offset: float | None = None, **other) -> Case:
    values = torch.tensor([latent])
    offsets = None if offset is None else torch.full((1, 64), offset)
    case = Case(values, None, torch.full_like(values, scale), torch.tensor([gain]), offsets, scales_of(64), values)
    return Case(**{**vars(case), **other})


IMPLEMENTATIONS = [ref, triton_kernels]


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_ties_go_to_the_even_symbol(kernels):
    case = plain([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 8388607.5, 8388609.0, 0.49999997]).to(DEVICE)
    symbols, _, latent_hat, fits = kernels.quantize(*case.arguments(), torch.int32)
    assert symbols.tolist() == [[-2, -2, 0, 0, 2, 2, 8388608, 8388609, 0]]
    assert torch.equal(latent_hat, symbols.float())
    assert fits


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_offsets_move_symbols_towards_the_mean_and_never_the_zero(kernels):
    mean = torch.tensor([[10.0, 10.0, 10.0, 10.0, -0.0]])
    case = plain([10.2, 11.8, 8.2, 12.9, 0.1], gain=0.5, offset=0.25, mean=mean).to(DEVICE)
    symbols, _, latent_hat, _ = kernels.quantize(*case.arguments(), torch.int8)
    assert symbols.tolist() == [[0, 1, -1, 1, 0]]
    assert latent_hat.tolist() == [[10.0, 11.5, 8.5, 11.5, 0.0]]


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
@pytest.mark.parametrize(("dtype", "edge"), [(torch.int8, 128.0), (torch.int16, 32768.0), (torch.int32, 2.0**31)])
def test_what_fits_no_symbol_is_told(kernels, dtype, edge):
    low, high = -edge, math.nextafter(edge, 0) if edge > 2**24 else edge - 1
    case = plain([low, torch.tensor(edge).nextafter(torch.tensor(0.0)).floor().item() if edge > 2**24 else high])
    symbols, *_, fits = kernels.quantize(*case.to(DEVICE).arguments(), dtype)
    assert fits
    assert symbols.flatten()[0].item() == -edge
    for bad in (edge, -edge * 1.01, math.inf, -math.inf, math.nan):
        case = plain([1.0, bad, 3.0]).to(DEVICE)
        symbols, *_, fits = kernels.quantize(*case.arguments(), dtype)
        assert not fits
        assert symbols.tolist() == [[1, 0, 3]]


@pytest.mark.parametrize("kernels", IMPLEMENTATIONS)
def test_indexes_are_those_of_bucketize_at_every_threshold_and_at_nan(kernels):
    for num_tables in (1, 2, 64, 256):
        table = scales_of(num_tables)
        edges = [table, table.nextafter(torch.tensor(0.0)), table.nextafter(torch.tensor(99.0))]
        scale = torch.cat([*edges, torch.tensor([0.0, -1.0, math.inf, -math.inf, math.nan, 1e-45])])[None]
        case = Case(scale, None, scale, torch.ones(1), None, table, scale).to(DEVICE)
        case.latent = torch.zeros_like(scale, device=DEVICE)
        indexes = kernels.quantize(*case.arguments(), torch.int8)[1]
        expected = torch.bucketize(scale.clamp(min=BOUND), table[:-1])
        assert torch.equal(indexes.cpu().long(), expected)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_definitions_gradients_are_autograds(shape):
    """In float64, with rounding straight through and a bound whose gradient is CompressAI's."""

    class LowerBound(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.clamp(min=BOUND)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * ((x >= BOUND) | (grad < 0))

    case = make(shape, offset_rows=0)
    leaves = [tensor.double().requires_grad_() for tensor in (case.latent, case.mean, case.scale, case.offsets)]
    latent, mean, scale, offsets = leaves
    gain = case.gain.double().view(-1, *[1] * (len(shape) - 1))
    noisy, bounded, latent_hat, indexes = ref.simulate(*case.arguments(), case.noise)
    residual = (latent - mean) * gain
    rounded = residual + (residual.round() - residual).detach()
    picked = offsets.gather(1, indexes.flatten(1).long()).view(shape)
    moved = rounded - torch.where(rounded.detach().round() == 0, 0.0, residual.detach().sign() * picked)
    expected = residual + case.noise, LowerBound.apply(scale * gain), moved / gain + mean
    for one, other in zip((noisy, bounded, latent_hat), expected, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)
    torch.manual_seed(2)
    grads = [torch.randn(shape) for _ in range(3)]
    wanted = torch.autograd.grad(expected, leaves, [grad.double() for grad in grads])
    back = case.latent, case.mean, case.scale, case.gain, case.offsets, indexes, BOUND
    for one, other in zip(ref.simulate_backward(*grads, *back), wanted, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=1e-4, atol=1e-4)


def test_an_item_that_int32_cannot_count_is_refused():
    too_large = RowLayout(torch.Size([1, 2**31]), (0, 1), 1, 2**31)
    with pytest.raises(ValueError, match=r"at most 2147467264 elements, got 2147483648"):
        offset_triton_parts.sizes(too_large, 1024)
