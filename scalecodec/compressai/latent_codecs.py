"""CompressAI's latent codecs without the decoding that their encoders do to learn what they have just coded.

``round(y - mean) + mean`` is, float for float, what the decoder makes of its symbols.
"""

from __future__ import annotations

from typing import Any

from compressai.latent_codecs import (
    EntropyBottleneckLatentCodec,
    GaussianConditionalLatentCodec,
    HyperLatentCodec,
)
from compressai.latent_codecs.gain import GainHyperLatentCodec
from torch import Tensor

from .accelerated import Accelerated


def _bottleneck_strings(bottleneck: Any, x: Tensor) -> tuple[list[bytes], Tensor]:
    """Strings of ``x``, and what they decode to."""
    medians = bottleneck._extend_ndims(bottleneck._get_medians().detach(), x.dim() - 2)
    return bottleneck.compress(x), bottleneck.quantize(x, "dequantize", medians)


class _Codec(Accelerated):
    """What all latent codecs have in common."""

    _scalecodec_methods = ("compress",)
    _scalecodec_text = "no decoding inside compress"


class FastConditionalCodec(_Codec, GaussianConditionalLatentCodec):
    """GaussianConditionalLatentCodec: no decoding inside ``compress``."""

    def compress(self, y: Tensor, ctx_params: Tensor) -> dict[str, Any]:
        scales, means = self._chunk(self.entropy_parameters(ctx_params))
        conditional = self.gaussian_conditional
        strings = conditional.compress(y, conditional.build_indexes(scales), means)
        return {"strings": [strings], "shape": y.shape[2:4], "y_hat": conditional.quantize(y, "dequantize", means)}


class FastBottleneckCodec(_Codec, EntropyBottleneckLatentCodec):
    """EntropyBottleneckLatentCodec: no decoding inside ``compress``."""

    def compress(self, y: Tensor) -> dict[str, Any]:
        strings, y_hat = _bottleneck_strings(self.entropy_bottleneck, y)
        return {"strings": [strings], "shape": y.size()[-2:], "y_hat": y_hat}


class FastHyperCodec(_Codec, HyperLatentCodec):
    """HyperLatentCodec: no decoding inside ``compress``."""

    def compress(self, y: Tensor) -> dict[str, Any]:
        z = self.h_a(y)
        strings, z_hat = _bottleneck_strings(self.entropy_bottleneck, z)
        return {"strings": [strings], "shape": z.size()[-2:], "params": self.h_s(z_hat)}


class FastGainHyperCodec(_Codec, GainHyperLatentCodec):
    """GainHyperLatentCodec: no decoding inside ``compress``."""

    def compress(self, y: Tensor, gain: Tensor, gain_inv: Tensor) -> dict[str, Any]:
        z = self.h_a(y) * gain
        strings, z_hat = _bottleneck_strings(self.entropy_bottleneck, z)
        return {"strings": [strings], "shape": z.size()[-2:], "params": self.h_s(z_hat * gain_inv)}


ALL = (FastConditionalCodec, FastBottleneckCodec, FastHyperCodec, FastGainHyperCodec)
