"""Analysis and synthesis in bfloat16 and channels_last, where a processor multiplies so several times faster.

Never the networks that choose tables: both ends must get the same scales from them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scalecodec.errors import BackendError

from .accelerated import Accelerated, change_class
from .report import Part, Report
from .settings import Settings

TRANSFORMS = ("g_a", "g_s")


class LowPrecision(Accelerated, nn.Module):
    """Any network, in bfloat16 on a CPU while it is not being trained; float32 in and out."""

    _scalecodec_methods = ("forward",)
    _scalecodec_text = "in bfloat16, channels_last"
    _scalecodec_wraps = True

    def forward(self, x: Tensor) -> Tensor:
        if self.training or x.device.type != "cpu":
            return super().forward(x)
        # Not x.contiguous: of one item the strides may look like channels_last and not be taken for it.
        last = torch.empty(x.shape, dtype=torch.bfloat16, memory_format=torch.channels_last).copy_(x)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return super().forward(last).float().contiguous()


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by itself; where it does not, it would be slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def lower_precision(model: nn.Module, settings: Settings, report: Report) -> None:
    """Run every ``g_a`` and ``g_s`` in ``model`` in bfloat16; raises BackendError where the processor has none."""
    if not has_bfloat16():
        raise BackendError("networks='bf16' needs a processor that multiplies bfloat16, this one does not")
    for name, module in list(model.named_modules()):
        if name.rpartition(".")[2] in TRANSFORMS:
            report.replaced.append(Part(name, type(module).__name__, LowPrecision._scalecodec_text))
            report._undo.append(change_class(module, LowPrecision, settings))
