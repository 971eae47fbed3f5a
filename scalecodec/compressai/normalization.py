"""Divisive normalization of large pictures in slabs: what lies between its steps stays in the caches.

A whole picture's squares, norms and their roots are new memory each, which costs more to touch than to compute.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from compressai.layers import GDN
from torch import Tensor

from .accelerated import Accelerated

_SLAB_BYTES = 2 << 20
_LEAST_BYTES = 8 << 20  # a smaller picture is in the caches anyway


class SlabGDN(Accelerated, GDN):
    """GDN (arXiv:1511.06281), bit for bit; of [B, C, H, W] in bfloat16, without gradients, in slabs of rows."""

    _scalecodec_methods = ("forward",)
    _scalecodec_text = "in slabs"

    def forward(self, x: Tensor) -> Tensor:
        suits = x.dtype is torch.bfloat16 and x.dim() == 4 and not torch.is_grad_enabled()
        if not suits or x.nbytes < _LEAST_BYTES:
            return super().forward(x)
        beta = self.beta_reparam(self.beta).to(x.dtype)
        gamma = self.gamma_reparam(self.gamma).to(x.dtype)[:, :, None, None]
        rows = max(1, _SLAB_BYTES * x.size(2) // x.nbytes)
        out = torch.empty_like(x)
        for part, target in zip(x.split(rows, 2), out.split(rows, 2), strict=True):
            norm = F.conv2d(part * part, gamma, beta)
            torch.mul(part, norm.sqrt_() if self.inverse else norm.rsqrt_(), out=target)
        return out
