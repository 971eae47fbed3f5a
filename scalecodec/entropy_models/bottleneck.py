"""The fully factorized prior (arXiv:1802.01436, section 6.1)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from scalecodec.cdf import PRECISION, CdfTable
from scalecodec.errors import TableError
from scalecodec.integer import as_integers
from scalecodec.streams import RANS64, Stream

from .base import EntropyModel
from .draws import spread

_TAIL_MASS = 1e-9


class EntropyBottleneck(EntropyModel):
    """Fully factorized prior: one learned distribution per channel of [B, channels, ...] (arXiv:1802.01436, 6.1)."""

    target: Tensor

    def __init__(self, channels: int, init_scale: float = 10.0, filters: tuple[int, ...] = (3, 3, 3, 3)) -> None:
        super().__init__()
        self.channels = int(channels)
        widths = (1, *filters, 1)
        scale = init_scale ** (1 / (len(filters) + 1))
        self.matrices, self.biases, self.factors = nn.ParameterList(), nn.ParameterList(), nn.ParameterList()
        for layer, (fan_in, fan_out) in enumerate(pairwise(widths)):
            weight = math.log(math.expm1(1 / scale / fan_out))
            self.matrices.append(nn.Parameter(torch.full((channels, fan_out, fan_in), weight)))
            self.biases.append(nn.Parameter(torch.empty(channels, fan_out, 1).uniform_(-0.5, 0.5)))
            if layer < len(filters):
                self.factors.append(nn.Parameter(torch.zeros(channels, fan_out, 1)))
        # [channels, 1, 3]: lower tail, median, upper tail of each channel, in latent units.
        self.quantiles = nn.Parameter(torch.tensor([-init_scale, 0.0, init_scale]).repeat(channels, 1, 1))
        target = math.log(2 / _TAIL_MASS - 1)
        self.register_buffer("target", torch.tensor([-target, 0.0, target]))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any) -> None:
        for kind, plural in (("matrix", "matrices"), ("bias", "biases"), ("factor", "factors")):  # names before 1.2.7
            for layer in range(len(getattr(self, plural))):
                if (old := f"{prefix}_{kind}{layer}") in state_dict:
                    state_dict[f"{prefix}{plural}.{layer}"] = state_dict.pop(old)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    def _logits_cumulative(self, x: Tensor, frozen: bool = False) -> Tensor:
        """Logit of the cumulative distribution at ``x`` [channels, 1, n]; ``frozen`` spares the weights gradients."""
        hold: Callable[[Tensor], Tensor] = torch.Tensor.detach if frozen else lambda tensor: tensor
        # A likelihood is the difference of two near values: autocast's bfloat16 would leave noise of it.
        with torch.autocast(x.device.type, enabled=False):
            for layer, (matrix, bias) in enumerate(zip(self.matrices, self.biases, strict=True)):
                x = torch.matmul(F.softplus(hold(matrix)), x) + hold(bias)
                if layer < len(self.factors):
                    x = x + torch.tanh(hold(self.factors[layer])) * torch.tanh(x)
        return x

    def _likelihood(self, x: Tensor, step: float | Tensor = 1.0, frozen: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        lower = self._logits_cumulative(x - 0.5 * step, frozen)
        upper = self._logits_cumulative(x + 0.5 * step, frozen)
        return torch.sigmoid(upper) - torch.sigmoid(lower), lower, upper

    def medians(self) -> Tensor:
        """Per-channel medians, [channels], without gradient."""
        return self.quantiles[:, 0, 1].detach()

    def _medians_like(self, ndim: int) -> Tensor:
        return self.medians().reshape(1, -1, *[1] * (ndim - 2))

    def forward(self, x: Tensor, training: bool | None = None, step: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Quantize [B, channels, ...] (noise in training, else rounding about the medians); also the likelihoods.

        ``step`` [B], positive, is each item's; 1 where it is None. Gradients reach it, through noise and likelihoods.
        """
        noisy = self.training if training is None else training
        medians = self._medians_like(x.dim())
        if step is None:
            x_hat = self.quantize(x, "noise" if noisy else "dequantize", medians)
        else:
            step = step.reshape(-1, *[1] * (x.dim() - 1))
            x_hat = self.quantize(x / step, "noise" if noisy else "dequantize", medians / step) * step
        by_channel = x_hat.transpose(0, 1)
        values = by_channel.reshape(by_channel.size(0), 1, -1).to(self.quantiles.dtype)
        if step is not None:
            step = step.expand_as(x_hat).transpose(0, 1).reshape(values.shape)
        likelihood, _, _ = self._likelihood(values, 1.0 if step is None else step)
        likelihood = self.likelihood_lower_bound(likelihood).reshape(by_channel.shape).transpose(0, 1)
        return x_hat, likelihood

    def loss(self) -> Tensor:
        """Auxiliary loss: distance of ``quantiles`` from the tail mass and the median they stand for."""
        return (self._logits_cumulative(self.quantiles, frozen=True) - self.target).abs().sum()

    @torch.no_grad()
    def solve_quantiles(self, radius: float = 1e5) -> None:
        """Set ``quantiles`` by bisection to what :meth:`loss` would pull them to."""
        low = torch.full_like(self.quantiles, -radius)
        high = torch.full_like(self.quantiles, radius)
        for _ in range(64):  # 28 do in float32; neighbours in bfloat16 may never come as close
            if torch.isclose(low, high, rtol=1e-4, atol=1e-3).all():
                break
            middle = (low + high) / 2
            below = self._logits_cumulative(middle, frozen=True) <= self.target
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        self.quantiles.copy_((low + high) / 2)

    @property
    def num_tables(self) -> int:
        """How many coding tables :meth:`update` makes."""
        return self.channels

    @torch.no_grad()
    def update(self, force: bool = False, update_quantiles: bool = False) -> bool:
        """Fill the table buffers from the learned distributions; False where they stand already and not ``force``.

        Raises
        ------
        TableError
            The quantiles are not finite, or too far apart for a table.
        """
        if self._offset.numel() > 0 and not force:
            return False
        if update_quantiles:
            self.solve_quantiles()
        self._set_table(CdfTable.from_pmf(*self._all_pmfs()))
        return True

    def _all_pmfs(self) -> tuple[list[NDArray[np.float32]], NDArray[np.int32]]:
        """Of all tables."""
        return self._pmfs(1.0)

    def _pmfs(self, step: float) -> tuple[list[NDArray[np.float32]], NDArray[np.int32]]:
        """Of symbols of this step: each channel's probabilities, that of a tail symbol last, and its first symbol."""
        tail_low, median, tail_high = self.quantiles[:, 0, :].unbind(1)
        below = torch.ceil((median - tail_low) / step).clamp(min=0)
        above = torch.ceil((tail_high - median) / step).clamp(min=0)
        if not bool((below + above + 2 <= 2**PRECISION).all()):  # before memory is asked for; NaN fails too
            raise TableError(f"quantiles must be finite and span fewer than {2**PRECISION - 1} symbols in each channel")
        below, above = below.int(), above.int()
        length = below + above + 1
        samples = torch.arange(int(length.max()), device=median.device) * step
        samples = samples + (median - below * step)[:, None, None]
        pmf, lower, upper = self._likelihood(samples, step, frozen=True)
        tails = torch.sigmoid(lower[:, 0, :1]) + torch.sigmoid(-upper[:, 0, -1:])
        rows = [torch.cat((p[0, :n], tail)) for p, n, tail in zip(pmf, length.tolist(), tails, strict=True)]
        return [row.cpu().numpy() for row in rows], (-below).cpu().numpy()

    def _indexes(self, batch: int, size: Sequence[int]) -> Tensor:
        if any(side < 0 for side in size):
            raise ValueError(f"size must not be negative, got {tuple(size)}")
        channels = np.arange(self.channels, dtype=np.int32)  # by NumPy: for so small an array torch takes far longer
        item = torch.from_numpy(np.repeat(channels, math.prod(size))).view(1, self.channels, *size)
        return item.expand(batch, *[-1] * (1 + len(size))) if batch != 1 else item

    def samples(self) -> Iterator[Tensor]:
        """What its tables expect, for ranges: see :func:`draws.spread`."""
        return spread(self.table, 0, self.medians())

    def decompress_integers(
        self, strings: Sequence[bytes], size: Sequence[int], *, fraction: int, stream: Stream = RANS64
    ) -> Tensor:
        """As :meth:`decompress`, but int32 in units of ``2^-fraction``, the same on every machine."""
        indexes = self._indexes(len(strings), size)
        return self._integers(self.decode_symbols(strings, indexes, stream=stream), 1.0, fraction)

    def _integers(self, symbols: Tensor, step: float, fraction: int) -> Tensor:
        """Symbols times the step and beside the medians, each rounded to the grid; sums beyond 2^30 are clamped."""
        medians = as_integers(self._medians_like(symbols.dim()), fraction).long()
        values = symbols.to(medians.device).long() * round(step * 2.0**fraction) + medians
        return values.clamp(-(2**30), 2**30).int()

    def compress(self, x: Tensor, *, stream: Stream = RANS64) -> list[bytes]:  # type: ignore[override]
        """One stream per item of [B, channels, ...]; see :meth:`EntropyModel.compress`."""
        indexes = self._indexes(x.size(0), x.shape[2:])
        return super().compress(x, indexes, self._medians_like(x.dim()), stream=stream)

    def decompress(  # type: ignore[override]
        self, strings: Sequence[bytes], size: Sequence[int], *, stream: Stream = RANS64
    ) -> Tensor:
        """[len(strings), channels, *size], float; see :meth:`EntropyModel.decompress`."""
        indexes = self._indexes(len(strings), size).to(self.quantiles.device)
        medians = self._medians_like(2 + len(size)).expand(len(strings), *[-1] * (1 + len(size)))
        return super().decompress(strings, indexes, medians.dtype, medians, stream=stream)
