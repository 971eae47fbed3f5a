"""CompressAI's latent codecs without the decoding that their encoders do to learn what they have just coded.

``round(y - mean) + mean`` is, float for float, what the decoder makes of its symbols.
"""

from __future__ import annotations

from typing import Any

import torch
from compressai.latent_codecs import (
    EntropyBottleneckLatentCodec,
    GaussianConditionalLatentCodec,
    HyperLatentCodec,
)
from compressai.latent_codecs.gain import GainHyperLatentCodec
from torch import Tensor

from .accelerated import Accelerated, method_of

_STEPS = ("compress", "decompress", "quantize", "dequantize")


def _rounds_as_it_decodes(model: Any, x: Tensor, dtype: torch.dtype) -> bool:
    """Whether a model decodes to what it quantizes to: not if a user wrote one of the two, or in another dtype."""
    homes = {getattr(method_of(model, name), "__module__", "").partition(".")[0] for name in _STEPS}
    return homes <= {"compressai", "scalecodec"} and x.dtype is dtype


def _bottleneck_strings(bottleneck: Any, x: Tensor) -> tuple[list[bytes], Tensor]:
    """Strings of ``x``, and what they decode to."""
    strings, medians = bottleneck.compress(x), bottleneck._get_medians().detach()
    if not _rounds_as_it_decodes(bottleneck, x, medians.dtype):
        return strings, bottleneck.decompress(strings, x.size()[-2:])
    return strings, bottleneck.quantize(x, "dequantize", bottleneck._extend_ndims(medians, x.dim() - 2))


def _conditional_strings(
    conditional: Any, y: Tensor, scales: Tensor, means: Tensor | None
) -> tuple[list[bytes], Tensor]:
    """The same, of a conditional model."""
    indexes = conditional.build_indexes(scales)
    strings = conditional.compress(y, indexes, means)
    if not _rounds_as_it_decodes(conditional, y, torch.float32 if means is None else means.dtype):
        return strings, conditional.decompress(strings, indexes, means=means)
    return strings, conditional.quantize(y, "dequantize", means)


class _Codec(Accelerated):
    """What all latent codecs have in common."""

    _scalecodec_methods = ("compress",)
    _scalecodec_text = "no decoding inside compress"


class FastConditionalCodec(_Codec, GaussianConditionalLatentCodec):
    """GaussianConditionalLatentCodec: no decoding inside ``compress``."""

    def compress(self, y: Tensor, ctx_params: Tensor) -> dict[str, Any]:
        scales, means = self._chunk(self.entropy_parameters(ctx_params))
        strings, y_hat = _conditional_strings(self.gaussian_conditional, y, scales, means)
        return {"strings": [strings], "shape": y.shape[2:4], "y_hat": y_hat}


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
