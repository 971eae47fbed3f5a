"""The trunk of the layered models: latents in layers, base first, each decoded without those behind it, at any rate.

Layers are runs of channels of one latent. Each has a hyperprior of its own, or all share one, whose stream then travels
with the base; either way nothing of a later layer is needed for, or changes, an earlier one. A model adds networks, and
says what its layers show.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, cast

import torch
from torch import Tensor, nn

from scalecodec.gains import UNIT_GAIN_INDEX, check_gain_index, nearest_gain_index
from scalecodec.streams import LANES, Stream

from .base import ID_BYTES, CompressionModel, checked_gains
from .mean_scale_coder import MeanScaleCoder


class LayeredModel(CompressionModel):
    """Base of the layered models.

    Parameters
    ----------
    channels : N, inside the transforms and of each hyper-latent
    layer0, layer1, layer2 : latent channels of each layer, base first; 0: there is no such layer
    shared : whether the layers share a hyperprior
    offsets, hyper_step, integers : as of :class:`RateModel`
    """

    downsampling_factor = 64
    latent_stride = 16
    counts: tuple[int, ...] = (2,)  # of layers that the model may have

    def __init__(
        self,
        channels: int = 96,
        layer0: int = 96,
        layer1: int = 32,
        layer2: int = 0,
        shared: bool = False,
        offsets: bool = False,
        hyper_step: bool = False,
        integers: bool = False,
    ) -> None:
        super().__init__()
        if channels < 1 or min(layer0, layer1, layer2) < 0:
            raise ValueError(f"channels must be positive, got {channels} and layers {(layer0, layer1, layer2)}")
        self.channels, self.shared = channels, bool(shared)
        self.layer_channels = tuple(takewhile(bool, (layer0, layer1, layer2)))
        self.num_layers, self.latent_channels = len(self.layer_channels), sum(self.layer_channels)
        if self.num_layers not in self.counts:
            wanted = " or ".join(map(str, self.counts))
            raise ValueError(f"{type(self).__name__} has {wanted} layers, got {self.num_layers}")
        self._make_networks(channels, self.layer_channels)
        sizes = (self.latent_channels,) if shared else self.layer_channels
        parts = (offsets, hyper_step, integers)
        self.coders = nn.ModuleList(self._make_coder(number, channels, m, *parts) for number, m in enumerate(sizes))

    # What a model has to say.

    def _make_networks(self, n: int, layers: Sequence[int]) -> None:
        """Set the networks as attributes."""
        raise NotImplementedError

    def _make_coder(self, number: int, n: int, m: int, *parts: bool) -> MeanScaleCoder:
        """What codes that layer, or all of them: m channels, n in the hyper-latent."""
        return MeanScaleCoder(n, m, *parts)

    def seen(self, x: Tensor) -> Tensor:
        """What the encoder is given of a picture in training."""
        return x

    def distortion(self, x: Tensor, seen: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
        """What training weighs against the rate, and in it the mean squared error of the picture that people see: of
        each item, [B], on samples in [0, 1].
        """
        raise NotImplementedError

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
            ``likelihoods``, by ``y0``, ``z0`` and so on, of each coder; ``y_hat`` [B, M, H/16, W/16], for
            :meth:`reconstruct`; in training ``distortion`` and ``mse``, [B] each, else ``x_hat``.
        """
        self.check_input(x)
        seen = self.seen(x) if self.training else x
        y_hat, likelihoods = self.simulate(self.analyse(seen).float(), checked_gains(gain, x))
        found = {"y_hat": y_hat, "likelihoods": likelihoods}
        if self.training:
            found["distortion"], found["mse"] = self.distortion(x, seen, y_hat)
        else:
            found["x_hat"] = self.reconstruct(y_hat, self.num_layers)
        return found

    def simulate(self, y: Tensor, gains: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Latents as decoded, and the likelihoods of all that is coded."""
        hats, likelihoods = [], {}
        for number, (coder, part) in enumerate(self._coded(y)):
            y_hat, found = coder.simulate(part, gains)
            hats.append(y_hat)
            likelihoods.update({f"{name}{number}": values for name, values in found.items()})
        return torch.cat(hats, 1), likelihoods

    # Coding.

    @torch.no_grad()
    def encode_layers(self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0) -> list[bytes]:
        if self.shared:
            return self._coder(0).encode_parts(y, self.layer_channels, gain_index, stream, shrink=shrink)
        return [coder.encode_tile(part, gain_index, stream, shrink=shrink) for coder, part in self._coded(y)]

    @torch.no_grad()
    def decode_layers(
        self, chunks: Sequence[bytes], shape: tuple[int, int], gain_index: int, stream: Stream = LANES
    ) -> Tensor:
        if not 0 < len(chunks) <= self.num_layers:
            raise ValueError(f"wanted chunks of 1 to {self.num_layers} layers, got {len(chunks)}")
        if self.shared:
            parts = [self._coder(0).decode_parts(chunks, self.layer_channels, shape, gain_index, stream)]
        else:
            parts = [self._coder(i).decode_tile(chunk, shape, gain_index, stream) for i, chunk in enumerate(chunks)]
        missing = sum(self.layer_channels[len(chunks) :])
        return torch.cat([*parts, torch.zeros(1, missing, *shape)], 1)

    @torch.no_grad()
    def compress(self, x: Tensor, gain: float = 1.0) -> dict[str, Any]:
        """``{"strings": [[chunk of each item] of each layer], "shape": (h, w), "gain_index"}``, ``shape`` of a latent.

        ``x`` float [B, 3, H, W] in [0, 1], H and W multiples of 64; ``gain`` is taken to the nearest of the table's.
        """
        self.check_input(x)
        gain_index = nearest_gain_index(gain)
        y = self.analyse(x).float()
        chunks = [self.encode_layers(one[None], gain_index) for one in y]
        layers = [list(layer) for layer in zip(*chunks, strict=True)]
        return {"strings": layers, "shape": tuple(y.shape[-2:]), "gain_index": gain_index}

    @torch.no_grad()
    def decompress(
        self, strings: Sequence[Sequence[bytes]], shape: Sequence[int], gain_index: int = UNIT_GAIN_INDEX
    ) -> dict[str, Tensor]:
        """``{"y_hat", "x_hat"}`` from the first layers of what :meth:`compress` returned; ``x_hat`` float [B, 3, H, W]
        in [0, 1], where these layers show a picture.
        """
        if not strings or len(shape) != 2 or shape[0] % 4 or shape[1] % 4:
            raise ValueError(f"wanted strings of a layer or more, and a shape of multiples of 4, got {shape}")
        size, index = (shape[0], shape[1]), check_gain_index(gain_index)
        y_hat = torch.cat([self.decode_layers(chunks, size, index) for chunks in zip(*strings, strict=True)])
        found = {"y_hat": y_hat}
        if self.shows(len(strings)):
            found["x_hat"] = self.reconstruct(y_hat, len(strings)).clamp(0, 1)
        return found

    # What the trunk's coders are asked together.

    def update(self, scale_table: Tensor | None = None, force: bool = False, update_quantiles: bool = False) -> bool:
        return any([self._coder(i).update(scale_table, force, update_quantiles) for i in range(len(self.coders))])

    def table_id(self) -> bytes:
        ids = [self._coder(i).table_id() for i in range(len(self.coders))]
        return hashlib.sha256(b"".join(ids)).digest()[:ID_BYTES]

    def is_integer(self) -> bool:
        return all(self._coder(i).is_integer() for i in range(len(self.coders)))

    @classmethod
    def config_of(cls, state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
        raise ValueError(f"the sizes of a {cls.__name__} cannot be read off its shapes: create it, load what it holds")

    def config(self) -> dict[str, int]:
        parts = {name: value for name, value in self._coder(0).config().items() if not name.endswith("channels")}
        layers = {f"layer{number}": size for number, size in enumerate(self.layer_channels)}
        return {"channels": self.channels, **layers, **({"shared": 1} if self.shared else {}), **parts}

    def _coder(self, number: int) -> MeanScaleCoder:
        return cast(MeanScaleCoder, self.coders[number])

    def _coded(self, y: Tensor) -> Iterator[tuple[MeanScaleCoder, Tensor]]:
        """Each coder, and the part of the latents that is its own."""
        sizes = [self.latent_channels] if self.shared else list(self.layer_channels)
        return ((self._coder(number), part) for number, part in enumerate(y.split(sizes, 1)))


def mean_square(picture: Tensor, wanted: Tensor) -> Tensor:
    """Mean squared error of each item, [B]."""
    return (picture.float() - wanted).square().flatten(1).mean(1)
