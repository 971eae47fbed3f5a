"""What every model shares: tables, auxiliary loss, table and weight identity, CompressAI's contracts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.entropy_models import TABLE_BUFFERS, EntropyBottleneck, EntropyModel, GaussianConditional
from scalecodec.streams import LANES, Stream
from scalecodec.tiles import HALO

ID_BYTES = 8


class CompressionModel(nn.Module):
    """Base of the models; a subclass adds networks, ``forward``, ``compress`` and ``decompress``."""

    # Analysis: float [B, 3, H, W] in [0, 1] to latents [B, latent_channels, H / latent_stride, W / latent_stride].
    g_a: nn.Module
    # Synthesis, of most: latents to float [B, 3, H, W], not clamped.
    g_s: nn.Module
    latent_channels: int
    # Sides of an input to `forward` or `compress` must be multiples of this, in pixels.
    downsampling_factor: int
    # Pixels of one side of a latent element.
    latent_stride: int
    # Latents' worth of pixels around a tile that its analysis sees.
    analysis_halo: int = HALO
    # Of a file's chunks for one tile.
    num_layers: int = 1

    def config(self) -> dict[str, int]:
        """Arguments that rebuild the model's networks."""
        raise NotImplementedError

    def encode_tile(self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0) -> bytes:
        """Code one latent [1, latent_channels, h, w] as one chunk of a file, of streams of this kind.

        ``shrink``, in steps, is taken off the size of every residual before it is rounded: a smaller file, a little
        coarser. Models whose coding feeds back into itself leave it out.
        """
        raise NotImplementedError

    def decode_tile(self, chunk: bytes, shape: tuple[int, int], gain_index: int, stream: Stream = LANES) -> Tensor:
        """Inverse of :meth:`encode_tile` for a latent of ``shape`` (h, w); raises BitstreamError."""
        raise NotImplementedError

    def encode_layers(self, y: Tensor, gain_index: int, stream: Stream = LANES, *, shrink: float = 0.0) -> list[bytes]:
        """A tile's chunks, base first: ``num_layers`` of them."""
        return [self.encode_tile(y, gain_index, stream, shrink=shrink)]

    def decode_layers(
        self, chunks: Sequence[bytes], shape: tuple[int, int], gain_index: int, stream: Stream = LANES
    ) -> Tensor:
        """The latent of a tile from the first layers' chunks, at least one; layers that are not there stay 0."""
        return self.decode_tile(chunks[0], shape, gain_index, stream)

    def analyse(self, x: Tensor) -> Tensor:
        """Latents [B, latent_channels, H / latent_stride, W / latent_stride] of pixels [B, 3, H, W]."""
        return self.g_a(x)

    def shows(self, num_layers: int) -> bool:
        """Whether so many layers show a picture."""
        return True

    def reconstruct(self, y_hat: Tensor, num_layers: int) -> Tensor:
        """Pixels [B, 3, H, W], not clamped, of latents of which so many layers are there, enough to show a picture."""
        return self.g_s(y_hat)

    def is_integer(self) -> bool:
        """Whether tables are chosen by integers, the same on every machine."""
        return False

    def check_input(self, x: Tensor) -> None:
        """ValueError unless ``x`` is [B, 3, H, W] of sides that the networks take."""
        multiple = self.downsampling_factor
        if x.dim() != 4 or x.shape[1] != 3 or 0 in x.shape or x.shape[2] % multiple or x.shape[3] % multiple:
            raise ValueError(f"x must be [B, 3, H, W], H and W multiples of {multiple}, got {tuple(x.shape)}")

    def update(self, scale_table: Tensor | None = None, force: bool = False, update_quantiles: bool = False) -> bool:
        """Fill the coding tables of all entropy models; True if any was filled. Run once after training."""
        updated = False
        for module in self.modules():
            if isinstance(module, EntropyBottleneck):
                updated |= module.update(force=force, update_quantiles=update_quantiles)
            elif isinstance(module, GaussianConditional):
                updated |= module.update(scale_table, force=force)
        return updated

    def aux_loss(self) -> Tensor:
        """Sum of the factorized priors' quantile losses (unitless), for CompressAI-style training loops."""
        losses = [module.loss() for module in self.modules() if isinstance(module, EntropyBottleneck)]
        return torch.stack(losses).sum()

    def model_id(self) -> bytes:
        """8 bytes: SHA-256 prefix over the names and float32 bits of all that decides pixels; O(size). Tables and the
        integer form are :meth:`table_id`'s.
        """
        return digest_of({name: tensor for name, tensor in self.state_dict().items() if self.is_identified(name)})

    def is_identified(self, name: str) -> bool:
        """Whether :meth:`model_id` covers a weight of this name."""
        return not name.endswith(TABLE_BUFFERS) and "integers" not in name.split(".")

    def ids(self) -> dict[str, bytes]:
        """What a weight file must agree with, by name: SHA-256 prefixes that cover all it holds."""
        return {"model_id": self.model_id(), "table_id": self.table_id()}

    def table_id(self) -> bytes:
        """8 bytes: SHA-256 prefix over the ids of all coding tables, by name.

        Raises
        ------
        ValueError
            ``update()`` has not been run.
        """
        digest = hashlib.sha256()
        for name, module in sorted(self.named_modules()):
            if isinstance(module, EntropyModel):
                digest.update(name.encode() + module.table.id)
        return digest.digest()[:ID_BYTES]

    @classmethod
    def config_of(cls, state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
        """The :meth:`config` that fits a state dict, read off its shapes."""
        raise NotImplementedError

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> CompressionModel:
        """A model of the right size with these weights loaded; ValueError where they are not such a model's."""
        try:
            model = cls(**cls.config_of(state_dict))
            model.load_state_dict(state_dict)
        except (KeyError, IndexError, RuntimeError) as error:
            raise ValueError(f"no state dict of a {cls.__name__}: {error}") from error
        return model


def checked_gains(gain: float | Tensor, x: Tensor) -> Tensor:
    """Gains [B], float32, for a batch; ValueError where they are none."""
    gains = torch.as_tensor(gain, dtype=torch.float32, device=x.device).reshape(-1)
    if len(gains) not in (1, len(x)) or not bool((gains > 0).all()):
        raise ValueError(f"gain must be one positive number, or one for each of {len(x)} items, got {gains.tolist()}")
    return gains.expand(len(x))


def digest_of(tensors: Mapping[str, Tensor]) -> bytes:
    """8 bytes: SHA-256 prefix over names and float32 bits, by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().to(torch.float32).contiguous().numpy().astype("<f4").tobytes())
    return digest.digest()[:ID_BYTES]
