"""A model around CompressAI's RasterScanLatentCodec, which none of its registered models uses."""

from __future__ import annotations

from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.latent_codecs import HyperLatentCodec, HyperpriorLatentCodec, RasterScanLatentCodec
from compressai.layers import MaskedConv2d
from compressai.models import SimpleVAECompressionModel
from compressai.models.utils import conv, deconv
from torch import nn


class RasterScan(SimpleVAECompressionModel):
    def __init__(self, N: int, M: int):
        super().__init__()
        self.g_a = nn.Sequential(conv(3, N, stride=4), nn.ReLU(), conv(N, M, stride=4))
        self.g_s = nn.Sequential(deconv(M, N), nn.ReLU(), deconv(N, 3))
        hyper = HyperLatentCodec(
            EntropyBottleneck(N),
            h_a=nn.Sequential(conv(M, N), nn.ReLU(), conv(N, N)),
            h_s=nn.Sequential(deconv(N, N), nn.ReLU(), deconv(N, 2 * M)),
        )
        y = RasterScanLatentCodec(
            GaussianConditional(None),
            entropy_parameters=nn.Sequential(nn.Conv2d(4 * M, 3 * M, 1), nn.ReLU(), nn.Conv2d(3 * M, 2 * M, 1)),
            context_prediction=MaskedConv2d(M, 2 * M, kernel_size=5, padding=2),
        )
        self.latent_codec = HyperpriorLatentCodec({"y": y, "hyper": hyper})
