"""Entropy models: the factorized prior (EntropyBottleneck) and the Gaussian conditional, on the compiled coder.

Names, buffers, state_dict keys and arithmetic are CompressAI's, so its checkpoints load and its streams decode; the
tables are prepared once and no list is ever made. Source: Balle et al. 2018 (arXiv:1802.01436), sections 3 and 6.1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import rans64
from .cdf import PRECISION, CdfTable, default_scale_table
from .errors import TableError
from .layers import LowerBound
from .quantize import build_indexes, to_symbols

_BUFFERS = ("_offset", "_quantized_cdf", "_cdf_length")
_LIKELIHOOD_BOUND = 1e-9
_TAIL_MASS = 1e-9


class EntropyModel(nn.Module):
    """What both models share: the three table buffers, the prepared table, and coding of a batch.

    Buffers (int32, empty until ``update``): ``_quantized_cdf`` [num_tables, max_length], ``_cdf_length`` [num_tables],
    ``_offset`` [num_tables].
    """

    _offset: Tensor
    _quantized_cdf: Tensor
    _cdf_length: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.likelihood_lower_bound = LowerBound(_LIKELIHOOD_BOUND)
        for name in _BUFFERS:
            self.register_buffer(name, torch.IntTensor())
        self._prepared: tuple[list[tuple[Tensor, int]], CdfTable] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_prepared": None}

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any) -> None:
        # The tables' sizes depend on the weights: take the checkpoint's.
        for name in (*_BUFFERS, "scale_table"):
            source = state_dict.get(prefix + name)
            if source is not None and hasattr(self, name):
                setattr(self, name, torch.empty_like(getattr(self, name)).resize_(source.shape))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @property
    def table(self) -> CdfTable:
        """The prepared, validated table of the present buffers; rebuilt only when these change.

        Raises
        ------
        ValueError
            ``update()`` has not been run.
        TableError
            The buffers (from a checkpoint, say) are no valid tables.
        """
        buffers = (self._quantized_cdf, self._cdf_length, self._offset)
        if buffers[0].numel() == 0:
            raise ValueError("Uninitialized CDFs. Run update() first")
        # Tensors made in inference mode count no versions, but every way to fill them makes new ones.
        versions = [0 if buffer.is_inference() else buffer._version for buffer in buffers]
        if self._prepared is None or not all(
            buffer is old and version == seen
            for buffer, version, (old, seen) in zip(buffers, versions, self._prepared[0], strict=True)
        ):
            table = CdfTable.from_cdf(*(buffer.detach().cpu().numpy() for buffer in buffers))
            # The tensors, not their addresses: those of freed ones come back.
            self._prepared = (list(zip(buffers, versions, strict=True)), table)
        return self._prepared[1]

    def _set_table(self, table: CdfTable) -> None:
        device = self._offset.device
        for name, array in zip(_BUFFERS, (table.offset, table.cdf, table.cdf_length), strict=True):
            setattr(self, name, torch.from_numpy(array.copy()).to(device))

    def quantize(self, inputs: Tensor, mode: str, means: Tensor | None = None) -> Tensor:
        """``inputs`` with uniform noise ("noise"), rounded about ``means`` ("dequantize"), or as int32 ("symbols")."""
        if mode == "noise":
            return inputs + torch.empty_like(inputs).uniform_(-0.5, 0.5)
        centred = inputs if means is None else inputs - means
        if mode == "symbols":
            return to_symbols(centred)
        if mode == "dequantize":
            rounded = torch.round(centred)
            return rounded if means is None else rounded + means
        raise ValueError(f'Invalid quantization mode: "{mode}"')

    @staticmethod
    def dequantize(inputs: Tensor, means: Tensor | None = None, dtype: torch.dtype = torch.float) -> Tensor:
        """Symbols to values: ``inputs + means``, in the dtype of ``means`` if given, else in ``dtype``."""
        return inputs.to(dtype) if means is None else inputs.to(means.dtype) + means

    def compress(self, inputs: Tensor, indexes: Tensor, means: Tensor | None = None) -> list[bytes]:
        """One rans64 stream per batch item.

        Parameters
        ----------
        inputs, indexes : float and int tensors of one shape [B, ...]
        means : float tensor, broadcastable to ``inputs``

        Raises
        ------
        ValueError
            Shapes differ, values are not finite or beyond int32, an index is out of range, or ``update`` was not run.
        TypeError
            ``indexes`` are no integers.
        """
        if inputs.dim() < 2:
            raise ValueError("Invalid `inputs` size. Expected a tensor with at least 2 dimensions.")
        if inputs.shape != indexes.shape:
            raise ValueError("`inputs` and `indexes` should have the same size.")
        if means is not None and not _broadcasts(means.shape, inputs.shape):
            raise ValueError(f"`means` of shape {tuple(means.shape)} do not fit `inputs` of {tuple(inputs.shape)}")
        symbols = self.quantize(inputs, "symbols", means).cpu()
        return [
            rans64.encode(item, index, self.table) for item, index in zip(symbols, indexes.detach().cpu(), strict=True)
        ]

    def decompress(
        self,
        strings: Sequence[bytes],
        indexes: Tensor,
        dtype: torch.dtype = torch.float,
        means: Tensor | None = None,
    ) -> Tensor:
        """Inverse of :meth:`compress`: a tensor of the shape and on the device of ``indexes``.

        Raises
        ------
        ValueError
            Counts or shapes do not fit.
        BitstreamError
            A stream is damaged, short, long, or made with other tables or indexes.
        """
        if not isinstance(strings, tuple | list):
            raise ValueError("Invalid `strings` parameter type.")
        if len(strings) != indexes.size(0):
            raise ValueError("Invalid strings or indexes parameters")
        if indexes.dim() < 2:
            raise ValueError("Invalid `indexes` size. Expected a tensor with at least 2 dimensions.")
        if means is not None and (
            means.shape[:2] != indexes.shape[:2]
            or means.dim() != indexes.dim()
            or any(m not in (1, i) for m, i in zip(means.shape[2:], indexes.shape[2:], strict=True))
        ):
            raise ValueError("Invalid means or indexes parameters")
        symbols = torch.empty(indexes.shape, dtype=torch.int32)
        for string, index, out in zip(strings, indexes.cpu(), symbols, strict=True):
            rans64.decode(string, index, self.table, out=out)
        return self.dequantize(symbols.to(indexes.device), means, dtype)


def _broadcasts(shape: torch.Size, target: torch.Size) -> bool:
    return len(shape) <= len(target) and all(n in (1, m) for n, m in zip(shape[::-1], target[::-1], strict=False))


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

    def _likelihood(self, x: Tensor, frozen: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        lower = self._logits_cumulative(x - 0.5, frozen)
        upper = self._logits_cumulative(x + 0.5, frozen)
        return torch.sigmoid(upper) - torch.sigmoid(lower), lower, upper

    def medians(self) -> Tensor:
        """Per-channel medians, [channels], without gradient."""
        return self.quantiles[:, 0, 1].detach()

    def _medians_like(self, ndim: int) -> Tensor:
        return self.medians().reshape(1, -1, *[1] * (ndim - 2))

    def forward(self, x: Tensor, training: bool | None = None) -> tuple[Tensor, Tensor]:
        """Quantize [B, channels, ...] (noise in training, else rounding about the medians); also the likelihoods."""
        noisy = self.training if training is None else training
        x_hat = self.quantize(x, "noise" if noisy else "dequantize", self._medians_like(x.dim()))
        by_channel = x_hat.transpose(0, 1)
        values = by_channel.reshape(by_channel.size(0), 1, -1).to(self.quantiles.dtype)
        likelihood, _, _ = self._likelihood(values)
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
        tail_low, median, tail_high = self.quantiles[:, 0, :].unbind(1)
        below = torch.ceil(median - tail_low).clamp(min=0)
        above = torch.ceil(tail_high - median).clamp(min=0)
        if not bool((below + above + 2 <= 2**PRECISION).all()):  # before memory is asked for; NaN fails too
            raise TableError(f"quantiles must be finite and span fewer than {2**PRECISION - 1} symbols in each channel")
        below, above = below.int(), above.int()
        length = below + above + 1
        samples = torch.arange(int(length.max()), device=median.device) + (median - below)[:, None, None]
        pmf, lower, upper = self._likelihood(samples, frozen=True)
        tails = torch.sigmoid(lower[:, 0, :1]) + torch.sigmoid(-upper[:, 0, -1:])
        rows = [torch.cat((p[0, :n], tail)) for p, n, tail in zip(pmf, length.tolist(), tails, strict=True)]
        self._set_table(CdfTable.from_pmf([row.cpu().numpy() for row in rows], (-below).cpu().numpy()))
        return True

    def _indexes(self, batch: int, size: Sequence[int]) -> Tensor:
        if any(side < 0 for side in size):
            raise ValueError(f"size must not be negative, got {tuple(size)}")
        channel = torch.arange(self.channels, dtype=torch.int32).reshape(1, -1, *[1] * len(size))
        return channel.expand(batch, -1, *size)

    def compress(self, x: Tensor) -> list[bytes]:  # type: ignore[override]
        """One stream per item of [B, channels, ...]; see :meth:`EntropyModel.compress`."""
        return super().compress(x, self._indexes(x.size(0), x.shape[2:]), self._medians_like(x.dim()))

    def decompress(self, strings: Sequence[bytes], size: Sequence[int]) -> Tensor:  # type: ignore[override]
        """[len(strings), channels, *size], float; see :meth:`EntropyModel.decompress`."""
        indexes = self._indexes(len(strings), size).to(self.quantiles.device)
        medians = self._medians_like(2 + len(size)).expand(len(strings), *[-1] * (1 + len(size)))
        return super().decompress(strings, indexes, medians.dtype, medians)


class GaussianConditional(EntropyModel):
    """Gaussian of given scale and mean per element, convolved with a unit box (arXiv:1802.01436, section 3)."""

    scale_table: Tensor
    scale_bound: Tensor

    def __init__(self, scale_table: Sequence[float] | None = None, scale_bound: float = 0.11) -> None:
        super().__init__()
        self.lower_bound_scale = LowerBound(scale_bound)
        self.register_buffer("scale_table", torch.tensor(scale_table or (), dtype=torch.float32))
        self.register_buffer("scale_bound", torch.tensor([float(scale_bound)]))

    def update(self, scale_table: Tensor | None = None, force: bool = False) -> bool:
        """Fill the table buffers for ``scale_table``; False where they stand already and not ``force``.

        Parameters
        ----------
        scale_table : floats [num_tables], ascending, in (0, 10000]; by default the model's own, or where it has none
            CompressAI's 64 scales

        Raises
        ------
        ValueError
            The scales are not such.
        """
        if self._offset.numel() > 0 and not force:
            return False
        if scale_table is None:
            scale_table = self.scale_table if self.scale_table.numel() else default_scale_table()
        scales = torch.as_tensor(scale_table, dtype=torch.float32).detach().clone()
        self._set_table(CdfTable.gaussian(scales.cpu()))
        self.scale_table = scales.to(self.scale_table.device)
        return True

    def build_indexes(self, scales: Tensor) -> Tensor:
        """Table index of each scale: int32, same shape; see :func:`scalecodec.quantize.build_indexes`."""
        return build_indexes(self.lower_bound_scale(scales), self.scale_table)

    def forward(
        self, inputs: Tensor, scales: Tensor, means: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Quantize ``inputs`` (noise in training, else rounding about ``means``); also the likelihoods."""
        noisy = self.training if training is None else training
        outputs = self.quantize(inputs, "noise" if noisy else "dequantize", means)
        distance = (outputs if means is None else outputs - means).abs()
        scales = self.lower_bound_scale(scales)
        upper = torch.erfc((distance - 0.5) / scales * 2**-0.5)
        lower = torch.erfc((distance + 0.5) / scales * 2**-0.5)
        return outputs, self.likelihood_lower_bound(0.5 * (upper - lower))
