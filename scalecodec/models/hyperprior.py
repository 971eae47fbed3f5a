"""Variable-rate hyperprior models: pictures to latents and back, around a coder of latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from scalecodec.gains import UNIT_GAIN_INDEX, check_gain_index, nearest_gain_index
from scalecodec.streams import LANES, Stream

from .base import checked_gains
from .latent_coder import LatentCoder


class HyperpriorModel(LatentCoder):
    """Base of the variable-rate models of one layer; a subclass has the networks."""

    downsampling_factor = 64
    latent_stride = 16

    def forward(self, x: Tensor, gain: float | Tensor = 1.0) -> dict[str, Any]:
        """Differentiable coding simulation.

        Parameters
        ----------
        x : float [B, 3, H, W] in [0, 1]; H and W multiples of 64
        gain : float, or float tensor [B], each > 0

        Returns
        -------
        dict
            ``x_hat`` [B, 3, H, W], not clamped; ``likelihoods``: ``y`` [B, M, H/16, W/16], ``z`` [B, N, H/64, W/64].

        Raises
        ------
        ValueError
            The shape of ``x`` or the gains are not such.
        """
        self.check_input(x)
        y_hat, likelihoods = self.simulate(self.g_a(x).float(), checked_gains(gain, x))
        return {"x_hat": self.g_s(y_hat), "likelihoods": likelihoods}

    @torch.no_grad()
    def compress(self, x: Tensor, gain: float = 1.0, *, stream: Stream = LANES) -> dict[str, Any]:
        """CompressAI's contract: ``{"strings": [[y per item], [z per item]], "shape": (h, w)}`` plus ``gain_index``.

        ``x`` float [B, 3, H, W] in [0, 1], H and W multiples of 64; ``gain`` is taken to the nearest of the table's.
        ``stream``: ``streams.RANS64`` gives CompressAI's bytes, for its decoder.
        """
        self.check_input(x)
        gain_index = nearest_gain_index(gain)
        y_strings, z_strings, shape = self.encode_latent(self.g_a(x), gain_index, stream)
        return {"strings": [y_strings, z_strings], "shape": shape, "gain_index": gain_index}

    @torch.no_grad()
    def decompress(
        self,
        strings: Sequence[Sequence[bytes]],
        shape: Sequence[int],
        gain_index: int = UNIT_GAIN_INDEX,
        *,
        stream: Stream = LANES,
    ) -> dict[str, Tensor]:
        """``{"x_hat": float [B, 3, H, W] in [0, 1]}`` from what :meth:`compress` returned.

        ``shape`` decides what is allocated, 64 x 64 pixels an element and string: bound it where it comes from a file.
        """
        if len(strings) != 2 or len(shape) != 2:
            raise ValueError(f"wanted two lists of strings (y, z) and a shape of two, got {len(strings)} and {shape}")
        y_hat = self.decode_latent(strings[0], strings[1], shape, check_gain_index(gain_index), stream)
        return {"x_hat": self.g_s(y_hat).clamp(0, 1)}
