"""Codes latents that other networks make as Gaussians of predicted scale and mean."""

from __future__ import annotations

from scalecodec.layers import hyper_analysis, hyper_synthesis

from .latent_coder import LatentCoder


class MeanScaleCoder(LatentCoder):
    """A mean-scale hyperprior's entropy models and hyper-networks, and nothing around them."""

    def _make_networks(self, n: int, m: int) -> None:
        self.h_a, self.h_s = hyper_analysis(n, m), hyper_synthesis(n, m)
