"""Small networks that follow the rate (Kamisli, Racape and Choi 2024, arXiv:2402.18930): what a gain changes besides
the step itself. Layers and their order are CompressAI's (its ``models/vbr.py``), so that its weights load.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .lower_bound import lower_bound

LEAST_HYPER_STEP = 0.5


class OffsetNetwork(nn.Sequential):
    """From (scale in steps, gain) to a reconstruction offset in steps; untrained it gives 0."""

    def __init__(self, width: int = 12) -> None:
        last = nn.Linear(width, 1)
        super().__init__(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)

    def table(self, gain: Tensor, scale_table: Tensor) -> Tensor:
        """Offsets [B, num_tables] for gains [B]: at the middle, in the log domain, of the scales of each index."""
        scales = scale_table.clone()
        scales[1:] = (scale_table[1:] * scale_table[:-1]).sqrt()
        pairs = torch.stack(torch.broadcast_tensors(scales[None, :], gain[:, None]), -1)
        with torch.autocast(gain.device.type, enabled=False):
            return self(pairs).squeeze(-1)


class HyperStepNetwork(nn.Sequential):
    """From the latent's step to the hyper-latent's, at least 1/2; untrained it gives 1."""

    def __init__(self, width: int = 10) -> None:
        last = nn.Linear(width, 1)
        super().__init__(nn.Linear(1, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), last, nn.Softplus())
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, math.log(math.expm1(1)))

    def forward(self, gain: Tensor) -> Tensor:
        """Steps [B] for gains [B]."""
        with torch.autocast(gain.device.type, enabled=False):
            return lower_bound(super().forward(1 / gain[:, None]).squeeze(-1), LEAST_HYPER_STEP)
