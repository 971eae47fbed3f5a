"""Analysis and synthesis in bfloat16 and channels_last, where a processor multiplies so several times faster.

Never the networks that choose tables: both ends must get the same scales from them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.errors import BackendError

from .accelerated import Accelerated, change_class, host_class
from .report import Part, Report
from .settings import Settings

TRANSFORMS = ("g_a", "g_s")


def _lowered(x: Tensor) -> Tensor:
    """Pictures in bfloat16 and channels_last; what has other dimensions as it is."""
    if x.dim() != 4:
        return x
    # Not x.contiguous: of one item the strides may look like channels_last and not be taken for it.
    return torch.empty(x.shape, dtype=torch.bfloat16, memory_format=torch.channels_last).copy_(x)


def _widened(output: Any) -> Any:
    """The tensors of an output, which may be nested in lists, tuples and dicts, in float32."""
    if isinstance(output, Tensor):
        return output.float().contiguous() if output.dtype is torch.bfloat16 else output.contiguous()
    if isinstance(output, dict):
        return {name: _widened(value) for name, value in output.items()}
    if type(output) in (list, tuple):
        return type(output)(_widened(value) for value in output)
    return output


class LowPrecision(Accelerated, nn.Module):
    """Any network of float32, in bfloat16 on a CPU while it is not being trained; float32 in and out."""

    _scalecodec_methods = ("forward",)
    _scalecodec_text = "in bfloat16, channels_last"
    _scalecodec_wraps = True

    def forward(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        takes = isinstance(x, Tensor) and x.device.type == "cpu" and x.dtype is torch.float32
        if self.training or not takes:
            return super().forward(x, *args, **kwargs)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return _widened(super().forward(_lowered(x), *args, **kwargs))


def has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 by itself; where it does not, it would be slower than float32."""
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def lower_precision(model: nn.Module, settings: Settings, report: Report) -> None:
    """Run every ``g_a`` and ``g_s`` in ``model`` in bfloat16; raises BackendError where the processor has none."""
    if not has_bfloat16():
        raise BackendError("networks='bf16' needs a processor that multiplies bfloat16, this one does not")
    from .normalization import GDN, SlabGDN

    for name, module in list(model.named_modules()):
        if name.rpartition(".")[2] not in TRANSFORMS:
            continue
        report.replaced.append(Part(name, type(module).__name__, LowPrecision._scalecodec_text))
        report._undo.append(change_class(module, LowPrecision, settings))
        norms = [part for part in module.modules() if host_class(type(part)) is GDN]
        report._undo.extend(change_class(norm, SlabGDN, settings) for norm in norms)


def full_precision(model: nn.Module, settings: Settings, report: Report) -> None:
    """Take back what an earlier call of :func:`lower_precision` did."""
    from .normalization import SlabGDN

    for module in list(model.modules()):
        if isinstance(module, (LowPrecision, SlabGDN)):
            report._undo.append(change_class(module, None, settings))
