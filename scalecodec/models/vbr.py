"""System 1: variable rate by one step size, in the models of CompressAI's families (arXiv:2402.18930).

Networks and state_dict keys are CompressAI's: bmshj2018-hyperprior (Balle et al. 2018, arXiv:1802.01436) and
mbt2018-mean (Minnen et al. 2018, arXiv:1809.02736, without context model), and those of its ``-vbr`` models.
"""

from __future__ import annotations

from torch import Tensor, nn

from scalecodec.layers import GDN, conv, deconv

from .hyperprior import HyperpriorModel


def _analysis(n: int, m: int) -> nn.Sequential:
    return nn.Sequential(conv(3, n), GDN(n), conv(n, n), GDN(n), conv(n, n), GDN(n), conv(n, m))


def _synthesis(n: int, m: int) -> nn.Sequential:
    return nn.Sequential(
        *(deconv(m, n), GDN(n, inverse=True)),
        *(deconv(n, n), GDN(n, inverse=True)),
        *(deconv(n, n), GDN(n, inverse=True)),
        deconv(n, 3),
    )


class MeanScaleHyperprior(HyperpriorModel):
    """Gaussians of predicted scale and mean; ``channels`` (N) inside the transforms, ``latent_channels`` (M) in y."""

    def _make_networks(self, n: int, m: int) -> None:
        self.g_a, self.g_s = _analysis(n, m), _synthesis(n, m)
        self.h_a = nn.Sequential(
            conv(m, n, kernel_size=3, stride=1), nn.LeakyReLU(), conv(n, n), nn.LeakyReLU(), conv(n, n)
        )
        self.h_s = nn.Sequential(
            deconv(n, m),
            nn.LeakyReLU(),
            deconv(m, m * 3 // 2),
            nn.LeakyReLU(),
            conv(m * 3 // 2, m * 2, kernel_size=3, stride=1),
        )


class ScaleHyperprior(HyperpriorModel):
    """Gaussians of predicted scale about 0."""

    def _make_networks(self, n: int, m: int) -> None:
        self.g_a, self.g_s = _analysis(n, m), _synthesis(n, m)
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
