"""Offset quantization: the fused passes against the definition in eager torch, and on a GPU against torch.compile and
a copy of as many bytes.

On a GPU the figures are of Triton's kernels; a copy moves what the kernel reads and writes, so that
``copy / kernel`` is the share of the memory's bandwidth that the kernel reaches.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from scalecodec.kernels import offset_quant_ref as ref

from scalecodec.cdf import default_scale_table
from scalecodec.quantize.offset_ops import dequantize_op, quantize_op, simulate_backward_op, simulate_op

DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
BOUND = 0.11


@pytest.fixture(params=DEVICES)
def given(request, quick) -> dict[str, Any]:
    device = request.param
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    torch.manual_seed(0)
    shape = (1, 16, 8, 12) if quick else (1, 192, 32, 48) if device == "cpu" else (8, 192, 128, 192)
    scale = 0.05 * torch.exp(torch.rand(shape) * 5)
    mean = torch.randn(shape)
    tensors = {
        "latent": mean + scale * torch.randn(shape) * 2,
        "mean": mean,
        "scale": scale,
        "gain": torch.full((shape[0],), 0.3),
        "offsets": torch.rand(1, 64) * 0.3,
        "table": torch.as_tensor(default_scale_table(), dtype=torch.float32),
        "noise": torch.rand(shape) - 0.5,
        "grad": torch.randn(shape),
    }
    return {name: tensor.to(device) for name, tensor in tensors.items()}


def run(benchmark: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    def call() -> Any:
        result = function(*arguments)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return result

    call()
    return benchmark(call)


def same(ours: Any, defined: Any) -> bool:
    return all(torch.equal(one, other) for one, other in zip(ours, defined, strict=True))


def who_of(device: torch.device) -> list[str]:
    return ["fused", "eager", "compiled", "copy"] if device.type == "cuda" else ["fused", "eager"]


@pytest.mark.parametrize("who", ["fused", "eager", "compiled", "copy"])
@pytest.mark.parametrize("part", ["quantize", "dequantize", "simulate", "backward"])
def bench_offset(benchmark, given, part, who):
    device = given["latent"].device
    if who not in who_of(device):
        pytest.skip(f"no {who} on {device.type}")
    benchmark.group = f"{part}, {device.type}"
    item = given["latent"], given["mean"], given["scale"], given["gain"], given["offsets"]
    tables = given["table"], BOUND
    symbols, indexes, _ = quantize_op(*item, *tables, torch.int16, 1)
    grads = (given["grad"],) * 3
    ours = {
        "quantize": (quantize_op, (*item, *tables, torch.int16, 1)),
        "dequantize": (dequantize_op, (symbols, indexes, *item[1::2], item[4], torch.float32, 1)),
        "simulate": (simulate_op, (*item, *tables, given["noise"], 1)),
        "backward": (simulate_backward_op, (*grads, *item, indexes, BOUND, 1)),
    }
    theirs = {
        "quantize": (ref.quantize, (*item, *tables, torch.int16)),
        "dequantize": (ref.dequantize, (symbols, indexes, *item[1::2], item[4], torch.float32)),
        "simulate": (ref.simulate, (*item, *tables, given["noise"])),
        "backward": (ref.simulate_backward, (*grads, *item, indexes, BOUND)),
    }
    defined, arguments = theirs[part]
    if who == "fused":
        result = run(benchmark, *ours[part][:1], *ours[part][1])
        count = 1 if part == "dequantize" else 3
        expected = defined(*arguments)
        assert same((result,) if count == 1 else result[:3], (expected,) if count == 1 else expected[:3])
    elif who == "copy":
        moved = {"quantize": 19, "dequantize": 11, "simulate": 29, "backward": 40}[part]  # bytes an element, both ways
        run(benchmark, torch.empty(given["latent"].numel() * moved // 2, dtype=torch.uint8, device=device).clone)
    else:
        run(benchmark, torch.compile(defined) if who == "compiled" else defined, *arguments)
