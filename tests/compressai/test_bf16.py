"""networks="bf16": analysis and synthesis of other forms than the usual ones."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from .comparing import accelerate, same

transforms = pytest.importorskip("scalecodec.compressai.transforms")
pytestmark = pytest.mark.skipif(not transforms.has_bfloat16(), reason="the processor has no bfloat16")


class Gained(nn.Module):
    """Takes a gain, and gives several tensors."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x, gain, *, shift=0.0):
        y = self.conv(x) * gain + shift
        return y, {"shape": y.shape, "first": y[:, :1]}


def build(analysis):
    torch.manual_seed(0)
    model = nn.Module()
    model.g_a = analysis().eval()
    return model


@pytest.mark.parametrize(
    ("analysis", "shape", "args", "options"),
    [
        (Gained, (2, 3, 8, 8), (torch.tensor(0.5),), {"shift": 1.0}),
        (lambda: nn.Conv1d(3, 4, 3), (2, 3, 8), (), {}),
        (lambda: nn.Conv3d(3, 4, 3), (2, 3, 8, 8, 8), (), {}),
    ],
)
def test_other_forms(compressai, analysis, shape, args, options):
    model, x = build(analysis), torch.rand(shape)
    wanted = model.g_a(x, *args, **options)
    accelerate(model, networks="bf16")
    output = model.g_a(x, *args, **options)
    assert same(output, wanted, 0.05)
    assert not same(output, wanted)


def test_what_is_not_float32_is_left_alone(compressai):
    model, x = build(lambda: nn.Conv2d(3, 4, 3)).double(), torch.rand(1, 3, 8, 8).double()
    wanted = model.g_a(x)
    accelerate(model, networks="bf16")
    assert same(model.g_a(x), wanted)


def test_gradients_flow(compressai):
    model, x = build(lambda: nn.Conv2d(3, 4, 3)), torch.rand(1, 3, 8, 8, requires_grad=True)
    accelerate(model, networks="bf16")
    model.g_a(x).sum().backward()
    assert x.grad.dtype is model.g_a.weight.grad.dtype is torch.float32


def test_the_last_call_decides(compressai):
    model, x = build(lambda: nn.Conv2d(3, 4, 3)), torch.rand(1, 3, 8, 8)
    exact = model.g_a(x)
    lower = accelerate(model, networks="bf16")
    lowered = model.g_a(x)
    higher = accelerate(model)
    assert same(model.g_a(x), exact)
    higher.undo()
    assert same(model.g_a(x), lowered)
    lower.undo()
    assert type(model.g_a) is nn.Conv2d
    assert same(model.g_a(x), exact)


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("shape", [(1, 64, 256, 300), (2, 128, 200, 192), (1, 192, 7, 4096), (1, 8, 16, 16)])
def test_normalization_in_slabs_is_stocks(compressai, shape, inverse):
    """Above 8 MB in slabs, whose rows need not divide the picture's."""
    from compressai.layers import GDN

    torch.manual_seed(0)
    stock = GDN(shape[1], inverse=inverse).eval()
    model = build(lambda: nn.Sequential(copy.deepcopy(stock)))
    report = accelerate(model, networks="bf16")
    assert type(model.g_a[0]) is not GDN
    x = torch.randn(shape).bfloat16().contiguous(memory_format=torch.channels_last)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(model.g_a[0](x), stock(x))
    report.undo()
    assert type(model.g_a[0]) is GDN
