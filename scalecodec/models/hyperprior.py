"""Variable-rate hyperprior models, training and coding: one gain, 1 / step, scales every latent before it is rounded
(Kamisli, Racape and Choi 2024, arXiv:2402.18930). What else follows the gain is in ``rate_model.py``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import softshrink

from scalecodec.errors import BitstreamError
from scalecodec.gains import GAIN_TABLE, UNIT_GAIN_INDEX, check_gain_index, nearest_gain_index
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


def check_finite(values: Tensor, what: str, blame: type[ValueError]) -> None:
    """Raise ``blame`` where the hyper-latent gives ``what`` that are not finite."""
    # A sum shows whatever is not finite, and sooner; large values may overflow it, and then all are looked at.
    if not math.isfinite(values.sum()) and not bool(values.isfinite().all()):
        raise blame(f"the hyper-latent gives {what} that are not finite: damaged stream or weights")


class HyperpriorModel(RateModel):
    """Base of the variable-rate models; a subclass has the networks, and says what comes out of ``h_s``."""

    downsampling_factor = 64
    latent_stride = 16
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
        gains = _checked_gains(gain, x)
        y = self.g_a(x).float()
        z_hat, z_likelihoods = self._hyper_simulated(self.h_a(self._hyper_input(y)).float(), gains)
        y_hat, y_likelihoods = self._simulated(y, z_hat, gains)
        return {"x_hat": self.g_s(y_hat), "likelihoods": {"y": y_likelihoods, "z": z_likelihoods}}

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

    def _check_input(self, x: Tensor) -> None:
        multiple = self.downsampling_factor
        if x.dim() != 4 or x.shape[1] != 3 or 0 in x.shape or x.shape[2] % multiple or x.shape[3] % multiple:
            raise ValueError(f"x must be [B, 3, H, W], H and W multiples of {multiple}, got {tuple(x.shape)}")

    @torch.no_grad()
    def encode_tile(self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0) -> bytes:
        """One latent [1, M, h, w] as one chunk: length of the z stream, z stream, y stream (FORMAT.md, section 4).

        Without an integer form the chunk has a checksum of what the z stream says of y: another machine's floats may
        say otherwise, and then the decoder knows it from damage.
        """
        (z_string,), _, known = self._encode_hyper(y, gain_index, stream)
        (y_string,) = self._encode_y(y, known, gain_index, stream, shrink)
        return pack_chunk(z_string, y_string, checksum_of(known.deciding) if self.integers is None else None)

    @torch.no_grad()
    def decode_tile(self, chunk: bytes, shape: tuple[int, int], gain_index: int, stream: Stream = LANES) -> Tensor:
        """Inverse of :meth:`encode_tile` for a latent of ``shape`` (h, w); raises BitstreamError."""
        z_string, y_string, checksum = unpack_chunk(chunk)
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
        return self._decode_known([y_string], known, gain_index, stream)

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


def _checked_gains(gain: float | Tensor, x: Tensor) -> Tensor:
    """Gains [B], float32."""
    gains = torch.as_tensor(gain, dtype=torch.float32, device=x.device).reshape(-1)
    if len(gains) not in (1, len(x)) or not bool((gains > 0).all()):
        raise ValueError(f"gain must be one positive number, or one for each of {len(x)} items, got {gains.tolist()}")
    return gains.expand(len(x))
