"""CompressAI's Gaussian mixture on the compiled coder: a table an element, given as one array and never as lists."""

from __future__ import annotations

from typing import Any

import torch
from compressai.entropy_models import GaussianMixtureConditional
from torch import Tensor

from .ans import RansDecoder, RansEncoder
from .entropy import FastConditional


class FastMixture(GaussianMixtureConditional, FastConditional):
    """GaussianMixtureConditional (arXiv:2001.01568, section 3.2); also where every latent rounds to 0."""

    _scalecodec_methods = ("compress", "decompress")
    _scalecodec_text = "its tables coded from one array"

    def compress(  # type: ignore[override]
        self, y: Tensor, scales: Tensor, means: Tensor, weights: Tensor
    ) -> tuple[Any, Tensor]:
        abs_max = max(int(y.max().abs()), int(y.min().abs())) + 1
        y_hat = torch.round(y)
        zero_bitmap = torch.where(torch.sum(torch.abs(y_hat), (3, 2)).squeeze(0) == 0, 0, 1)
        coded = torch.nonzero(zero_bitmap).flatten().tolist()
        symbols = (y_hat[:, coded] + abs_max).reshape(-1).int().cpu()
        string = RansEncoder().encode_with_indexes(symbols, *_tables(self, abs_max, coded, scales, means, weights))
        return (string, abs_max, zero_bitmap), y_hat

    def decompress(  # type: ignore[override]
        self, strings: bytes, abs_max: int, zero_bitmap: Tensor, scales: Tensor, means: Tensor, weights: Tensor
    ) -> Tensor:
        coded = torch.nonzero(zero_bitmap).flatten().tolist()
        symbols = RansDecoder().decode_with_indexes(strings, *_tables(self, abs_max, coded, scales, means, weights))
        batch, (height, width) = scales.size(0), scales.shape[2:]
        y_hat = torch.zeros(batch, zero_bitmap.size(0), height, width)
        y_hat[:, coded] = (torch.from_numpy(symbols) - abs_max).reshape(batch, len(coded), height, width).float()
        return y_hat


def _tables(model: Any, abs_max: int, coded: list[int], *parameters: Tensor) -> tuple[Tensor, ...]:
    """Indexes, cdfs, their sizes and offsets, of the elements of these channels."""
    if not coded:
        none = torch.empty(0, dtype=torch.int32)
        return none, none.reshape(0, 2), none, none
    cdf = model._build_cdf(*model.reshape_entropy_parameters(*parameters, coded), abs_max).cpu().int()
    count, size = cdf.shape
    return torch.arange(count), cdf, torch.full((count,), size), torch.zeros(count, dtype=torch.int32)


ALL = (FastMixture,)
