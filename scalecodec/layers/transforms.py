"""Transforms that several models share: four strided 5-tap convolutions with GDN, and a mean-scale hyperprior's two
networks (Balle et al. 2018, arXiv:1802.01436; Minnen et al. 2018, arXiv:1809.02736).
"""

from __future__ import annotations

from torch import nn

from .conv import conv, deconv
from .gdn import GDN


def analysis(n: int, m: int) -> nn.Sequential:
    """Pixels [B, 3, H, W] to latents [B, m, H/16, W/16], ``n`` channels inside."""
    return nn.Sequential(conv(3, n), GDN(n), conv(n, n), GDN(n), conv(n, n), GDN(n), conv(n, m))


def synthesis(n: int, m: int) -> nn.Sequential:
    """Latents [B, m, h, w] to pixels [B, 3, 16 h, 16 w]."""
    return nn.Sequential(
        *(deconv(m, n), GDN(n, inverse=True)),
        *(deconv(n, n), GDN(n, inverse=True)),
        *(deconv(n, n), GDN(n, inverse=True)),
        deconv(n, 3),
    )


def hyper_analysis(n: int, m: int) -> nn.Sequential:
    """Latents [B, m, h, w] to hyper-latents [B, n, h/4, w/4]."""
    return nn.Sequential(conv(m, n, kernel_size=3, stride=1), nn.LeakyReLU(), conv(n, n), nn.LeakyReLU(), conv(n, n))


def hyper_synthesis(n: int, m: int) -> nn.Sequential:
    """Hyper-latents [B, n, h/4, w/4] to scales and means [B, 2 m, h, w]."""
    return nn.Sequential(
        deconv(n, m),
        nn.LeakyReLU(),
        deconv(m, m * 3 // 2),
        nn.LeakyReLU(),
        conv(m * 3 // 2, m * 2, kernel_size=3, stride=1),
    )


def feature_synthesis(n: int, m: int, out: int, stride: int) -> nn.Sequential:
    """Latents [B, m, h, w] to features [B, out, 16 h / stride, 16 w / stride], ``stride`` 4, 8 or 16: two stages as of
    :func:`synthesis`, to 4 pixels, and what a task's network would have made of the picture by then.
    """
    layers: list[nn.Module] = [deconv(m, n), GDN(n, inverse=True), deconv(n, n), GDN(n, inverse=True)]
    layers += [conv(n, n, 3, 1), nn.LeakyReLU()]
    for _ in range(stride.bit_length() - 3):
        layers += [conv(n, n), nn.LeakyReLU()]
    return nn.Sequential(*layers, conv(n, n, 3, 1), nn.LeakyReLU(), conv(n, out, 3, 1))


def direct_feature_synthesis(n: int, m: int, out: int, stride: int) -> nn.Sequential:
    """The same of old: upwards only, which is cheaper and a worse fit."""
    layers: list[nn.Module] = [conv(m, n, 3, 1), nn.LeakyReLU()]
    while stride < 16:
        layers += [deconv(n, n), nn.LeakyReLU()]
        stride *= 2
    return nn.Sequential(*layers, conv(n, n, 3, 1), nn.LeakyReLU(), conv(n, out, 3, 1))
