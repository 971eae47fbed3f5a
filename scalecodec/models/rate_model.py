"""The parts of a variable-rate model that follow its gain, besides the step itself (arXiv:2402.18930): reconstruction
offsets, and a step of the hyper-latent, each from a small network of the gain.

What both ends must share of these networks' outputs is made once, by :meth:`RateModel.update`, and kept as integers:
the decoder of a file evaluates neither. (An autoregressive model's loop evaluates the first: its context needs offsets
for the very scale of each position.)
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from scalecodec.entropy_models import EntropyBottleneck, GaussianConditional, SteppedBottleneck, nearest_exponents
from scalecodec.gains import GAIN_TABLE, NUM_GAINS
from scalecodec.integer import fit, round_weights
from scalecodec.layers import HyperStepNetwork, OffsetNetwork

from .base import ID_BYTES, CompressionModel
from .integer_form import IntegerForm

MAX_SCALES = 256  # indexes of a model with offsets are of 8 bits
OFFSET_UNIT = 256  # reconstruction offsets are kept in 256ths of a step, int8
NOT_OURS = ("Gain", "QuantOffset", "lower_bound_zqstep.bound")  # of CompressAI's -vbr models: fixed numbers


class RateModel(CompressionModel):
    """A model with entropy models and, where it has them, those parts.

    Parameters
    ----------
    channels, latent_channels : N and M
    offsets, hyper_step : whether the model has that part
    integers : whether ``h_s`` codes in its integer form, which ``freeze`` gives a model
    """

    h_s: torch.nn.Module
    integers: IntegerForm | None

    QuantABCD: OffsetNetwork | None  # the names are CompressAI's
    gayn2zqstep: HyperStepNetwork | None
    offset_table: Tensor  # int8 [NUM_GAINS * num_tables], empty before update()

    def __init__(
        self,
        channels: int = 96,
        latent_channels: int = 128,
        offsets: bool = False,
        hyper_step: bool = False,
        integers: bool = False,
    ) -> None:
        super().__init__()
        self.channels, self.latent_channels = channels, latent_channels
        self._make_networks(channels, latent_channels)  # first: of one seed they are then the same with any parts
        self.entropy_bottleneck = SteppedBottleneck(channels) if hyper_step else EntropyBottleneck(channels)
        self.gaussian_conditional = GaussianConditional()
        self.QuantABCD = OffsetNetwork() if offsets else None
        self.gayn2zqstep = HyperStepNetwork() if hyper_step else None
        self.integers = IntegerForm(self.h_s) if integers else None
        if offsets:
            self.register_buffer("offset_table", torch.empty(0, dtype=torch.int8))

    def _make_networks(self, n: int, m: int) -> None:
        """Set the networks as attributes."""
        raise NotImplementedError

    def config(self) -> dict[str, int]:
        parts = {"offsets": self.QuantABCD, "hyper_step": self.gayn2zqstep, "integers": self.integers}
        sizes = {"channels": self.channels, "latent_channels": self.latent_channels}
        return sizes | {name: 1 for name, part in parts.items() if part is not None}

    @classmethod
    def config_of(cls, state_dict: Mapping[str, Tensor]) -> dict[str, Any]:
        return {
            "channels": state_dict["g_a.0.weight"].shape[0],
            "latent_channels": state_dict["g_a.6.weight"].shape[0],
            "offsets": "QuantABCD.0.weight" in state_dict,
            "hyper_step": "gayn2zqstep.0.weight" in state_dict,
            "integers": "integers.limits" in state_dict,
        }

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> RateModel:
        """As the base; also of CompressAI's ``-vbr`` models, whose tables are made anew."""
        ours = "entropy_bottleneck.exponents" in state_dict or "offset_table" in state_dict
        adapted = "QuantABCD.0.weight" in state_dict or "gayn2zqstep.0.weight" in state_dict
        if ours or not adapted:
            return super().from_state_dict(state_dict)  # type: ignore[return-value]
        kept = {name: tensor for name, tensor in state_dict.items() if name not in NOT_OURS}
        try:
            model = cls(**cls.config_of(kept))
            missing, unknown = model.load_state_dict(kept, strict=False)
        except (KeyError, IndexError, RuntimeError) as error:
            raise ValueError(f"no state dict of a {cls.__name__}: {error}") from error
        if wrong := [*unknown, *(set(missing) - {"offset_table", "entropy_bottleneck.exponents"})]:
            raise ValueError(f"no state dict of a {cls.__name__}: missing or unknown {', '.join(sorted(wrong))}")
        model.update(force=True)
        return model

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any) -> None:
        source = state_dict.get(prefix + "offset_table")
        if self.QuantABCD is not None and source is not None:  # its size depends on the tables: take the checkpoint's
            self.offset_table = torch.empty_like(self.offset_table).resize_(source.shape)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)

    @torch.no_grad()
    def update(self, scale_table: Tensor | None = None, force: bool = False, update_quantiles: bool = False) -> bool:
        """Fill the coding tables, the hyper-latent's steps and the offsets of all gains; True if any was filled."""
        gains = torch.tensor(GAIN_TABLE)
        if self.gayn2zqstep is not None and (force or not self.entropy_bottleneck._offset.numel()):
            steps = self.gayn2zqstep(gains.to(self.entropy_bottleneck.quantiles.device))
            _check_finite(steps, "steps of the hyper-latent")
            self._exponents().copy_(nearest_exponents(steps))
        updated = super().update(scale_table, force=force, update_quantiles=update_quantiles)
        self._check_scales()
        if self.QuantABCD is not None and (force or not self.offset_table.numel()):
            table = self.QuantABCD.table(gains.to(self.offset_table.device), self.gaussian_conditional.scale_table)
            _check_finite(table, "reconstruction offsets")
            self.offset_table = (table * OFFSET_UNIT).round().clamp(-128, 127).to(torch.int8).flatten()
            updated = True
        return updated

    @torch.no_grad()
    def make_integers(self) -> None:
        """Give ``h_s`` its integer form, for the hyper-latents that the coding tables expect; its weights go to the
        form's grid. Run it after :meth:`update`.
        """
        self._refuse_more_scales("integers")
        round_weights(self.h_s)
        numbers = fit(self.h_s, list(self.entropy_bottleneck.samples()))
        self.integers = IntegerForm(self.h_s)
        self.integers.fill(numbers)

    def is_integer(self) -> bool:
        return self.integers is not None

    def table_id(self) -> bytes:
        """As the base's, with the integer form's id where the model has one."""
        if self.integers is None:
            return super().table_id()
        return hashlib.sha256(super().table_id() + self.integers.id_of(self.h_s)).digest()[:ID_BYTES]

    def _check_scales(self) -> None:
        for part, module in (("reconstruction offsets", self.QuantABCD), ("integers", self.integers)):
            if module is not None:
                self._refuse_more_scales(part)

    def _refuse_more_scales(self, part: str) -> None:
        """ValueError where indexes of 8 bits cannot name all scales."""
        if self.gaussian_conditional.scale_table.numel() > MAX_SCALES:
            raise ValueError(f"a model with {part} takes at most {MAX_SCALES} scales")

    def check_parts(self) -> None:
        """ValueError unless offsets, scales and integers fit the rest, as in a file that means harm they may not."""
        self._check_scales()
        self._check_offset_table()
        if self.integers is not None:
            self.integers.of(self.h_s)  # proves that nothing overflows

    def _check_offset_table(self) -> None:
        """There is an offset for each gain and scale."""
        if self.QuantABCD is None:
            return
        num_scales = self.gaussian_conditional.scale_table.numel()
        if num_scales > MAX_SCALES or self.offset_table.numel() != NUM_GAINS * num_scales:
            found = f"{self.offset_table.numel()} reconstruction offsets for {num_scales} scales"
            raise ValueError(f"{found}, wanted {NUM_GAINS} for each of up to {MAX_SCALES}")

    def reconstruction_offsets(self, gain_index: int) -> Tensor | None:
        """Float32 [num_tables], in steps; None where the model has none. ValueError before :meth:`update`."""
        if self.QuantABCD is None:
            return None
        if not self.offset_table.numel():
            raise ValueError("no reconstruction offsets: run update() first")
        return self.offset_table.view(NUM_GAINS, -1)[gain_index].float() / OFFSET_UNIT

    def _exponents(self) -> Tensor:
        return self.entropy_bottleneck.get_buffer("exponents")

    def _step_of(self, gain_index: int) -> tuple[int, ...]:
        """What the bottleneck is told of a rate."""
        return () if self.gayn2zqstep is None else (gain_index,)


def _check_finite(values: Tensor, what: str) -> None:
    if not bool(values.isfinite().all()):
        raise ValueError(f"the weights give {what} that are not finite")
