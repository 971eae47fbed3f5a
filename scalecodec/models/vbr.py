"""Variable-rate mean-scale hyperprior: one gain scales every latent before rounding.

Networks and state_dict keys: CompressAI's mbt2018-mean (Minnen et al. 2018, arXiv:1809.02736, without context model).
Gain: Kamisli, Racape and Choi 2024 (arXiv:2402.18930), section on variable-rate quantization; ``gain = 1 / step``.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.entropy_models import EntropyBottleneck, GaussianConditional
from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE, UNIT_GAIN_INDEX, check_gain_index, nearest_gain_index
from scalecodec.layers import GDN, conv, deconv
from scalecodec.quantize import round_ste
from scalecodec.streams import LANES, Stream

from .base import CompressionModel

_HYPER_STRIDE = 4  # one hyper-latent for 4 x 4 latents
_Z_LENGTH = struct.Struct("<I")


def _check_finite(values: Tensor, what: str, blame: type[ValueError]) -> None:
    # A sum shows whatever is not finite, and sooner; large values may overflow it, and then all are looked at.
    if not math.isfinite(values.sum()) and not bool(values.isfinite().all()):
        raise blame(f"the hyper-latent gives {what} that are not finite: damaged stream or weights")


class MeanScaleHyperprior(CompressionModel):
    """g_a, g_s, h_a, h_s with GDN; ``channels`` (N) inside the transforms, ``latent_channels`` (M) in the latent."""

    downsampling_factor = 64
    latent_stride = 16

    def __init__(self, channels: int = 96, latent_channels: int = 128) -> None:
        super().__init__()
        n, m = channels, latent_channels
        self.channels, self.latent_channels = n, m
        self.g_a = nn.Sequential(conv(3, n), GDN(n), conv(n, n), GDN(n), conv(n, n), GDN(n), conv(n, m))
        self.g_s = nn.Sequential(
            *(deconv(m, n), GDN(n, inverse=True)),
            *(deconv(n, n), GDN(n, inverse=True)),
            *(deconv(n, n), GDN(n, inverse=True)),
            deconv(n, 3),
        )
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
        self.entropy_bottleneck = EntropyBottleneck(n)
        self.gaussian_conditional = GaussianConditional()

    def config(self) -> dict[str, int]:
        return {"channels": self.channels, "latent_channels": self.latent_channels}

    @classmethod
    def config_of(cls, state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
        return {
            "channels": state_dict["g_a.0.weight"].shape[0],
            "latent_channels": state_dict["g_a.6.weight"].shape[0],
        }

    def _scales_means(self, z_hat: Tensor) -> tuple[Tensor, Tensor]:
        # The entropy model stays in float32 whatever surrounds it: bfloat16 scales would misprice the symbols.
        with torch.autocast(z_hat.device.type, enabled=False):
            scales, means = self.h_s(z_hat.float()).chunk(2, 1)
        return scales, means

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
        self._check_input(x)
        gain = torch.as_tensor(gain, dtype=torch.float32, device=x.device).reshape(-1, 1, 1, 1)
        if len(gain) not in (1, len(x)) or not bool((gain > 0).all()):
            got = gain.flatten().tolist()
            raise ValueError(f"gain must be one positive number, or one for each of {len(x)} items, got {got}")
        y = self.g_a(x).float()
        z_hat, z_likelihoods = self.entropy_bottleneck(self.h_a(y).float())
        scales, means = self._scales_means(z_hat)
        # Noise prices the rate, straight-through rounding makes the distortion (Minnen, Singh 2020, arXiv:2007.08739).
        _, y_likelihoods = self.gaussian_conditional((y - means) * gain, scales * gain)
        y_hat = round_ste((y - means) * gain) / gain + means
        return {"x_hat": self.g_s(y_hat), "likelihoods": {"y": y_likelihoods, "z": z_likelihoods}}

    def encode_latent(
        self, y: Tensor, gain_index: int, stream: Stream = LANES
    ) -> tuple[list[bytes], list[bytes], tuple[int, int]]:
        """Latents [B, M, h, w] to (y strings, z strings, hyper-latent size); h and w multiples of 4."""
        z = self.h_a(y)
        z_strings = self.entropy_bottleneck.compress(z, stream=stream)
        size = (z.shape[-2], z.shape[-1])
        # The decoder's very z, by the decoder's own path: both ends must see the same scales.
        indexes, means = self._decode_hyper(z_strings, size, gain_index, stream, ValueError)
        y_strings = self.gaussian_conditional.compress(y, indexes, means, gain=GAIN_TABLE[gain_index], stream=stream)
        return y_strings, z_strings, size

    def decode_latent(
        self,
        y_strings: Sequence[bytes],
        z_strings: Sequence[bytes],
        size: Sequence[int],
        gain_index: int,
        stream: Stream = LANES,
    ) -> Tensor:
        """Inverse of :meth:`encode_latent`: reconstructed latents [B, M, 4 * size[0], 4 * size[1]].

        Raises
        ------
        BitstreamError
            A stream is damaged, or was made with other weights.
        """
        indexes, means = self._decode_hyper(z_strings, size, gain_index, stream, BitstreamError)
        gain = GAIN_TABLE[gain_index]
        y = self.gaussian_conditional.decompress(y_strings, indexes, means=means, gain=gain, stream=stream)
        _check_finite(y, "latents", BitstreamError)  # so the means were, and these are in the caches by now
        return y

    def _decode_hyper(
        self, z_strings: Sequence[bytes], size: Sequence[int], gain_index: int, stream: Stream, blame: type[ValueError]
    ) -> tuple[Tensor, Tensor]:
        """(table indexes, means) that the hyper-latent gives."""
        scales, means = self._scales_means(self.entropy_bottleneck.decompress(z_strings, size, stream=stream))
        _check_finite(scales, "scales", blame)
        conditional = self.gaussian_conditional
        return conditional.build_indexes(scales, GAIN_TABLE[gain_index], dtype=conditional.index_dtype), means

    def _check_input(self, x: Tensor) -> None:
        multiple = self.downsampling_factor
        if x.dim() != 4 or x.shape[1] != 3 or 0 in x.shape or x.shape[2] % multiple or x.shape[3] % multiple:
            raise ValueError(f"x must be [B, 3, H, W], H and W multiples of {multiple}, got {tuple(x.shape)}")

    @torch.no_grad()
    def encode_tile(self, y: Tensor, gain_index: int, stream: Stream = LANES) -> bytes:
        """One latent [1, M, h, w] as one chunk: length of the z stream (u32, little-endian), z stream, y stream."""
        (y_string,), (z_string,), _ = self.encode_latent(y, gain_index, stream)
        return _Z_LENGTH.pack(len(z_string)) + z_string + y_string

    @torch.no_grad()
    def decode_tile(self, chunk: bytes, shape: tuple[int, int], gain_index: int, stream: Stream = LANES) -> Tensor:
        """Inverse of :meth:`encode_tile` for a latent of ``shape`` (h, w); raises BitstreamError."""
        if len(chunk) < _Z_LENGTH.size:
            raise BitstreamError(f"a chunk must hold {_Z_LENGTH.size} bytes at the least, got {len(chunk)}")
        (z_length,) = _Z_LENGTH.unpack_from(chunk)
        streams = chunk[_Z_LENGTH.size :]
        size = (shape[0] // _HYPER_STRIDE, shape[1] // _HYPER_STRIDE)
        return self.decode_latent([streams[z_length:]], [streams[:z_length]], size, gain_index, stream)

    @torch.no_grad()
    def compress(self, x: Tensor, gain: float = 1.0, *, stream: Stream = LANES) -> dict[str, Any]:
        """CompressAI's contract: ``{"strings": [[y per item], [z per item]], "shape": (h, w)}`` plus ``gain_index``.

        ``x`` float [B, 3, H, W] in [0, 1], H and W multiples of 64; ``gain`` is taken to the nearest of the table's.
        ``stream``: ``streams.RANS64`` gives CompressAI's bytes, for its decoder.
        """
        self._check_input(x)
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
