"""Codes latents on a grid finer than the others', which stand among these as more channels."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pixel_shuffle, pixel_unshuffle

from scalecodec.streams import LANES, Stream

from .mean_scale_coder import MeanScaleCoder


class FinerCoder(MeanScaleCoder):
    """``block`` times finer: m channels there are ``m * block ** 2`` on the common grid, [B, m block^2, h, w], as
    :meth:`simulate`, :meth:`encode_tile` and :meth:`decode_tile` take and give them.
    """

    def __init__(self, block: int, n: int, m: int, offsets: bool, hyper_step: bool, integers: bool) -> None:
        super().__init__(n, m, offsets, hyper_step, integers)
        self.block = block

    def simulate(self, y: Tensor, gains: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        y_hat, likelihoods = super().simulate(pixel_shuffle(y, self.block), gains)
        return pixel_unshuffle(y_hat, self.block), likelihoods

    def encode_tile(self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0) -> bytes:
        return super().encode_tile(pixel_shuffle(y, self.block), gain_index, stream, shrink=shrink)

    def decode_tile(self, chunk: bytes, shape: tuple[int, int], gain_index: int, stream: Stream = LANES) -> Tensor:
        finer = (shape[0] * self.block, shape[1] * self.block)
        return pixel_unshuffle(super().decode_tile(chunk, finer, gain_index, stream), self.block)
