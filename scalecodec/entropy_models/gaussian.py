"""The Gaussian conditional (arXiv:1802.01436, section 3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from scalecodec.cdf import CdfTable, default_scale_table
from scalecodec.layers import LowerBound
from scalecodec.quantize import build_indexes

from .base import EntropyModel


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
        given = self.scales() if scale_table is None else scale_table
        scales = torch.as_tensor(given, dtype=torch.float32).detach().clone()
        self._set_table(CdfTable.gaussian(scales.cpu()))
        self.scale_table = scales.to(self.scale_table.device)
        return True

    def build_indexes(self, scales: Tensor, gain: float = 1.0, *, dtype: torch.dtype = torch.int32) -> Tensor:
        """Table index of ``scales * gain``, same shape; see :func:`scalecodec.quantize.build_indexes`."""
        bound = self.lower_bound_scale.bound
        return build_indexes(scales, self.scale_table, gain=gain, scale_bound=bound, dtype=dtype)

    @property
    def index_dtype(self) -> torch.dtype:
        """The narrowest that :meth:`build_indexes` may give: what indexes take is read and written per latent."""
        return torch.uint8 if len(self.scale_table) <= 256 else torch.int32

    def forward(
        self, inputs: Tensor, scales: Tensor, means: Tensor | None = None, training: bool | None = None
    ) -> tuple[Tensor, Tensor]:
        """Quantize ``inputs`` (noise in training, else rounding about ``means``); also the likelihoods."""
        noisy = self.training if training is None else training
        outputs = self.quantize(inputs, "noise" if noisy else "dequantize", means)
        residual = outputs if means is None else outputs - means
        return outputs, self.likelihood(residual, self.lower_bound_scale(scales))

    def likelihood(self, residual: Tensor, scales: Tensor) -> Tensor:
        """Of residuals, in steps, under scales that are bounded already; at least 1e-9."""
        distance = residual.abs()
        upper = torch.erfc((distance - 0.5) / scales * 2**-0.5)
        lower = torch.erfc((distance + 0.5) / scales * 2**-0.5)
        return self.likelihood_lower_bound(0.5 * (upper - lower))

    def scales(self) -> Tensor:
        """The scale table; the default one where :meth:`update` has not been run."""
        if self.scale_table.numel():
            return self.scale_table
        return torch.as_tensor(default_scale_table(), dtype=torch.float32, device=self.scale_table.device)
