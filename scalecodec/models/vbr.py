"""System 1: variable rate by one step size, in the models of CompressAI's families (arXiv:2402.18930).

Networks and state_dict keys are CompressAI's: bmshj2018-hyperprior (Balle et al. 2018, arXiv:1802.01436) and
mbt2018-mean (Minnen et al. 2018, arXiv:1809.02736, without context model), and those of its ``-vbr`` models.
"""

from __future__ import annotations

from torch import Tensor, nn

from scalecodec.layers import analysis, conv, deconv, hyper_analysis, hyper_synthesis, synthesis

from .hyperprior import HyperpriorModel


class MeanScaleHyperprior(HyperpriorModel):
    """Gaussians of predicted scale and mean; ``channels`` (N) inside the transforms, ``latent_channels`` (M) in y."""

    def _make_networks(self, n: int, m: int) -> None:
        self.g_a, self.g_s = analysis(n, m), synthesis(n, m)
        self.h_a, self.h_s = hyper_analysis(n, m), hyper_synthesis(n, m)


class ScaleHyperprior(HyperpriorModel):
    """Gaussians of predicted scale about 0."""

    def _make_networks(self, n: int, m: int) -> None:
        self.g_a, self.g_s = analysis(n, m), synthesis(n, m)
        self.h_a = nn.Sequential(conv(m, n, kernel_size=3, stride=1), nn.ReLU(), conv(n, n), nn.ReLU(), conv(n, n))
        self.h_s = nn.Sequential(
            deconv(n, n),
            nn.ReLU(),
            deconv(n, n),
            nn.ReLU(),
            conv(n, m, kernel_size=3, stride=1),
            nn.ReLU(),
        )

    def _hyper_input(self, y: Tensor) -> Tensor:
        return y.abs()

    def _parted(self, params: Tensor) -> tuple[Tensor, None]:
        return params, None
