"""Latents coded under a hyperprior at any rate: one gain, 1 / step, scales every latent before it is rounded
(Kamisli, Racape and Choi 2024, arXiv:2402.18930). What else follows the gain is in ``rate_model.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE
from scalecodec.integer import as_integers, from_integers, integer_indexes, scale_thresholds
from scalecodec.quantize import offset_dequantize, offset_simulate, round_ste
from scalecodec.streams import LANES, Stream

from .chunk import checksum_of, pack_chunk, unpack_chunk
from .rate_model import RateModel

_HYPER_STRIDE = 4  # one hyper-latent for 4 x 4 latents


class Known(NamedTuple):
    """What the hyper-latent says of latents [B, M, h, w] before they are coded.

    ``deciding``: what symbols depend on, and so must be the same at both ends: uint8 or int32 indexes of tables; of an
    autoregressive model, float32 [B, 2 M, h, w] that its loop starts from. ``means``: float32, or None.
    """

    deciding: Tensor
    means: Tensor | None = None

    def split(self, sizes: Sequence[int]) -> list[Known]:
        """What is said of parts of so many channels each."""
        if len(sizes) == 1:
            return [self]
        means = [None] * len(sizes) if self.means is None else self.means.split(list(sizes), 1)
        return [Known(*parts) for parts in zip(self.deciding.split(list(sizes), 1), means, strict=True)]


def check_finite(values: Tensor, what: str, blame: type[ValueError]) -> None:
    """Raise ``blame`` where the hyper-latent gives ``what`` that are not finite."""
    # A sum shows whatever is not finite, and sooner; large values may overflow it, and then all are looked at.
    if not math.isfinite(values.sum()) and not bool(values.isfinite().all()):
        raise blame(f"the hyper-latent gives {what} that are not finite: damaged stream or weights")


class LatentCoder(RateModel):
    """Codes latents; a subclass has the networks of its hyperprior, and says what comes out of ``h_s``."""

    h_a: torch.nn.Module
    h_s: torch.nn.Module

    # What a subclass may change.

    def _hyper_input(self, y: Tensor) -> Tensor:
        """What ``h_a`` takes."""
        return y

    def _parted(self, params: Tensor) -> tuple[Tensor, Tensor | None]:
        """Scales and means in what ``h_s`` gives."""
        scales, means = params.chunk(2, 1)
        return scales, means

    def _hyper_params(self, z_hat: Tensor) -> Tensor:
        """What ``h_s`` gives, float32: the entropy model stays in it whatever surrounds it, as bfloat16 scales would
        misprice the symbols. Of int32, in the units of the integer form: int32 in units of 2^-16.
        """
        if self.integers is not None and z_hat.dtype is torch.int32:
            return self.integers.of(self.h_s).run(z_hat, torch.get_num_threads())
        with torch.autocast(z_hat.device.type, enabled=False):
            return self.h_s(z_hat.float())

    # Training.

    def simulate(self, y: Tensor, gains: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Differentiable coding of float latents [B, M, h, w] at gains [B]: latents as decoded, and the likelihoods of
        ``y`` [B, M, h, w] and ``z`` [B, N, h / 4, w / 4].
        """
        z_hat, z_likelihoods = self._hyper_simulated(self.h_a(self._hyper_input(y)).float(), gains)
        y_hat, y_likelihoods = self._simulated(y, z_hat, gains)
        return y_hat, {"y": y_likelihoods, "z": z_likelihoods}

    def _hyper_simulated(self, z: Tensor, gains: Tensor) -> tuple[Tensor, Tensor]:
        if self.gayn2zqstep is None:
            return self.entropy_bottleneck(z)
        return self.entropy_bottleneck(z, step=self.gayn2zqstep(gains))

    def _simulated(self, y: Tensor, z_hat: Tensor, gains: Tensor) -> tuple[Tensor, Tensor]:
        """Latents as decoded, and the likelihoods of what is coded."""
        scales, means = self._parted(self._simulated_params(z_hat))
        return self._priced(y, scales, means, gains)

    def _simulated_params(self, z_hat: Tensor) -> Tensor:
        """Float32. In evaluation the integer form's, where the model has one, with the gradients of ``h_s``."""
        if self.integers is None or self.training:
            return self._hyper_params(z_hat)
        coded = from_integers(self._hyper_params(as_integers(z_hat.detach(), self.integers.fraction)))
        if not torch.is_grad_enabled():
            return coded
        params = self._hyper_params(z_hat)
        return coded + (params - params.detach())

    def _priced(self, y: Tensor, scales: Tensor, means: Tensor | None, gains: Tensor) -> tuple[Tensor, Tensor]:
        conditional = self.gaussian_conditional
        scale_table = conditional.scales()
        simulated = offset_simulate(
            y,
            means,
            scales,
            gains,
            None if self.QuantABCD is None else self.QuantABCD.table(gains, scale_table),
            scale_table=scale_table,
            scale_bound=conditional.lower_bound_scale.bound,
            noise=None if self.training else torch.zeros_like(y),
        )
        residual = simulated.noisy if self.training else round_ste(simulated.noisy)
        return simulated.latent_hat, conditional.likelihood(residual, simulated.scale)

    # Coding.

    @torch.no_grad()
    def encode_latent(
        self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0
    ) -> tuple[list[bytes], list[bytes], tuple[int, int]]:
        """Latents [B, M, h, w] to (y strings, z strings, hyper-latent size); h and w multiples of 4.

        ``shrink`` as for :meth:`encode_tile`.
        """
        z_strings, size, known = self._encode_hyper(y, gain_index, stream)
        return self._encode_y(y, known, gain_index, stream, shrink), z_strings, size

    @torch.no_grad()
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
        known = self._known(z_strings, size, gain_index, stream, BitstreamError)
        return self._decode_known(y_strings, known, gain_index, stream)

    def _encode_hyper(self, y: Tensor, gain_index: int, stream: Stream) -> tuple[list[bytes], tuple[int, int], Known]:
        """The hyper-latent's strings and size, and what they say of y."""
        z = self.h_a(self._hyper_input(y))
        strings = self.entropy_bottleneck.compress(z, *self._step_of(gain_index), stream=stream)
        size = (z.shape[-2], z.shape[-1])
        # The decoder's very z, by the decoder's own path: both ends must see the same scales.
        return strings, size, self._known(strings, size, gain_index, stream, ValueError)

    def _known(
        self, z_strings: Sequence[bytes], size: Sequence[int], gain_index: int, stream: Stream, blame: type[ValueError]
    ) -> Known:
        """What both ends know of y before they code it."""
        params = self._hyper_params(self._decode_hyper(z_strings, size, gain_index, stream))
        scales, means = self._parted(params)
        conditional, gain = self.gaussian_conditional, GAIN_TABLE[gain_index]
        if params.dtype is torch.int32:
            bound = conditional.lower_bound_scale.bound.item()
            indexes = integer_indexes(scales, scale_thresholds(conditional.scale_table.tolist(), bound, gain))
            return Known(indexes, None if means is None else from_integers(means))
        check_finite(scales, "scales", blame)
        indexes = conditional.build_indexes(scales, gain, dtype=conditional.index_dtype)
        return Known(indexes, means)

    def _decode_hyper(self, z_strings: Sequence[bytes], size: Sequence[int], gain_index: int, stream: Stream) -> Tensor:
        """The hyper-latent as coding takes it: integers where the model has that form."""
        prior, step = self.entropy_bottleneck, self._step_of(gain_index)
        if self.integers is None:
            return prior.decompress(z_strings, size, *step, stream=stream)
        return prior.decompress_integers(z_strings, size, *step, fraction=self.integers.fraction, stream=stream)

    def _encode_y(self, y: Tensor, known: Known, gain_index: int, stream: Stream, shrink: float) -> list[bytes]:
        indexes, means = known
        if shrink:
            center = 0.0 if means is None else means
            y = softshrink(y - center, shrink / GAIN_TABLE[gain_index]) + center
        return self.gaussian_conditional.compress(y, indexes, means, gain=GAIN_TABLE[gain_index], stream=stream)

    def _decode_known(self, y_strings: Sequence[bytes], known: Known, gain_index: int, stream: Stream) -> Tensor:
        y = self._decode_y(y_strings, known, gain_index, stream)
        check_finite(y, "latents", BitstreamError)  # so the means were, and these are in the caches by now
        return y

    def _decode_y(self, y_strings: Sequence[bytes], known: Known, gain_index: int, stream: Stream) -> Tensor:
        indexes, means = known
        gain, offsets = GAIN_TABLE[gain_index], self.reconstruction_offsets(gain_index)
        if offsets is None:
            return self.gaussian_conditional.decompress(y_strings, indexes, means=means, gain=gain, stream=stream)
        symbols = self.gaussian_conditional.decode_symbols(y_strings, indexes, means, stream=stream)
        return offset_dequantize(symbols, indexes, means, gain, offsets)

    @torch.no_grad()
    def encode_tile(self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0) -> bytes:
        """One latent [1, M, h, w] as one chunk: length of the z stream, z stream, y stream (FORMAT.md, section 4).

        Without an integer form the chunk has a checksum of what the z stream says of y: another machine's floats may
        say otherwise, and then the decoder knows it from damage.
        """
        return self.encode_parts(y, (y.shape[1],), gain_index, stream, shrink=shrink)[0]

    @torch.no_grad()
    def decode_tile(self, chunk: bytes, shape: tuple[int, int], gain_index: int, stream: Stream = LANES) -> Tensor:
        """Inverse of :meth:`encode_tile` for a latent of ``shape`` (h, w); raises BitstreamError."""
        return self.decode_parts([chunk], (self.latent_channels,), shape, gain_index, stream)

    def encode_parts(
        self, y: Tensor, sizes: Sequence[int], gain_index: int, stream: Stream, *, shrink: float = 0.0
    ) -> list[bytes]:
        """One latent [1, M, h, w], cut into parts of so many channels under one hyperprior: a chunk for each part, the
        first with the z stream.
        """
        (z_string,), _, known = self._encode_hyper(y, gain_index, stream)
        first, *others = [
            self._encode_y(part, told, gain_index, stream, shrink)[0]
            for part, told in zip(y.split(list(sizes), 1), known.split(sizes), strict=True)
        ]
        checksum = checksum_of(known.deciding) if self.integers is None else None
        return [pack_chunk(z_string, first, checksum), *others]

    def decode_parts(
        self, chunks: Sequence[bytes], sizes: Sequence[int], shape: tuple[int, int], gain_index: int, stream: Stream
    ) -> Tensor:
        """The parts [1, their channels, h, w] of the first chunks of :meth:`encode_parts`; raises BitstreamError."""
        z_string, first, checksum = unpack_chunk(chunks[0])
        size = (shape[0] // _HYPER_STRIDE, shape[1] // _HYPER_STRIDE)
        known = self._known([z_string], size, gain_index, stream, BitstreamError)
        if checksum is not None and checksum != checksum_of(known.deciding):
            why = "no integer form, and floats differ from machine to machine"
            if self.integers is not None:
                why = "an integer form, and what encoded it had not"
            raise BitstreamError(
                "this machine computes other scales from the hyper-latent than the one that encoded it: the model has "
                + why
            )
        strings = zip([first, *chunks[1:]], known.split(sizes), strict=False)
        return torch.cat([self._decode_known([one], told, gain_index, stream) for one, told in strings], 1)
