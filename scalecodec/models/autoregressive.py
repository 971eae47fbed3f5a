"""The joint autoregressive model of system 1 (arXiv:2402.18930), its gain fed to the context as well.

Networks and state_dict keys: CompressAI's mbt2018 (Minnen et al. 2018, arXiv:1809.02736) and mbt2018-vbr. Encoder and
decoder run one compiled loop (``scalecodec.context``), whose floats are the same on every machine, as its sums have one
order; it starts from the hyper synthesis's integers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.cdf import CdfTable
from scalecodec.context import ContextNetwork
from scalecodec.context_rate import ContextRate, OffsetNetwork
from scalecodec.entropy_models.remade import Remade
from scalecodec.gains import GAIN_TABLE
from scalecodec.integer import from_integers
from scalecodec.layers import MaskedConv2d
from scalecodec.quantize import round_ste
from scalecodec.streams import RANS64, Stream

from .latent_coder import Known, check_finite
from .vbr import MeanScaleHyperprior

_SLOPE = 0.01  # of the LeakyReLU, torch's default


class JointAutoregressive(MeanScaleHyperprior):
    """Scale and mean from the hyper-latent and from the latents before, in raster order."""

    def _make_networks(self, n: int, m: int) -> None:
        super()._make_networks(n, m)
        self.context_prediction = MaskedConv2d(m, 2 * m)
        self.entropy_parameters = nn.Sequential(
            nn.Conv2d(m * 12 // 3, m * 10 // 3, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(m * 10 // 3, m * 8 // 3, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(m * 8 // 3, m * 6 // 3, 1),
        )
        self.scale_to_context = nn.Linear(1, 2 * m)
        nn.init.zeros_(self.scale_to_context.weight)
        nn.init.zeros_(self.scale_to_context.bias)
        self._packed: Remade[ContextNetwork] = Remade()

    @classmethod
    def from_state_dict(cls, state_dict: Mapping[str, Tensor]) -> JointAutoregressive:
        """As the base; also of CompressAI's mbt2018, whose context does not hear of the gain."""
        outputs = 2 * state_dict["g_a.6.weight"].shape[0] if "g_a.6.weight" in state_dict else 0
        silent = {"scale_to_context.weight": torch.zeros(outputs, 1), "scale_to_context.bias": torch.zeros(outputs)}
        return super().from_state_dict(silent | dict(state_dict))  # type: ignore[return-value]

    def _known(
        self, z_strings: Sequence[bytes], size: Sequence[int], gain_index: int, stream: Stream, blame: type[ValueError]
    ) -> Known:
        """What the loop starts from, float32."""
        params = self._hyper_params(self._decode_hyper(z_strings, size, gain_index, stream))
        if params.dtype is torch.int32:
            return Known(from_integers(params))
        check_finite(params, "parameters", blame)
        return Known(params)

    def _simulated(self, y: Tensor, z_hat: Tensor, gains: Tensor) -> tuple[Tensor, Tensor]:
        """In training all positions at once, their context noisy (arXiv:1809.02736); else as they are coded."""
        params = self._simulated_params(z_hat)
        if not self.training:
            return self._coded(y, params, gains)
        noise = (torch.rand_like(y) - 0.5) / gains.view(-1, 1, 1, 1)
        with torch.autocast(y.device.type, enabled=False):
            context = self.context_prediction(y + noise) + self.scale_to_context(gains[:, None])[:, :, None, None]
            scales, means = self.entropy_parameters(torch.cat((params, context), 1)).chunk(2, 1)
        return self._priced(y, scales, means, gains)

    def _coded(self, y: Tensor, params: Tensor, gains: Tensor) -> tuple[Tensor, Tensor]:
        """What the loop decodes, and what its symbols cost; without gradients."""
        conditional, bound = self.gaussian_conditional, self.gaussian_conditional.lower_bound_scale.bound
        y, params = y.detach(), params.detach()
        table = CdfTable.gaussian(conditional.scales())
        hats, prices = [], []
        for item, gain in enumerate(gains.tolist()):
            one, given, rate = y[item : item + 1], params[item : item + 1], self._rate(gain)
            _, y_hat = self._network().encode(one, given, conditional.scales(), bound, table, rate=rate)
            scales, means = self._network().predict(y_hat, given, rate=rate)
            residual = round_ste((one - means) * gain)
            prices.append(conditional.likelihood(residual, (scales * gain).clamp(min=float(bound))))
            hats.append(y_hat)
        return torch.cat(hats), torch.cat(prices)

    def _network(self) -> ContextNetwork:
        """The loop's networks, packed again only when their weights change."""
        layers: list[nn.Module] = [self.context_prediction, *self.entropy_parameters]
        return self._packed.get([parameter for layer in layers for parameter in layer.parameters()], self._pack)

    def _pack(self) -> ContextNetwork:
        dense: list[tuple[Tensor, Tensor | None, float | None]] = []
        convs = [layer for layer in self.entropy_parameters if isinstance(layer, nn.Conv2d)]
        for at, conv in enumerate(convs):
            slope = None if at == len(convs) - 1 else _SLOPE
            dense.append((conv.weight.detach()[:, :, 0, 0], conv.bias, slope))
        context = self.context_prediction
        return ContextNetwork(context.weight.detach(), context.bias, dense, 2 * self.latent_channels)

    def _rate(self, gain: float) -> ContextRate:
        """What a gain changes in the loop. Offsets come from the network here, at each position's own scale."""
        offsets = None
        if self.QuantABCD is not None:
            pairs = [(layer.weight, layer.bias) for layer in self.QuantABCD if isinstance(layer, nn.Linear)]
            offsets = OffsetNetwork([(w.detach(), b.detach()) for w, b in pairs], [0] * self.latent_channels)
        # By hand: one product and one sum are the same on every machine, which a library's need not be.
        shift = self.scale_to_context.weight[:, 0].detach() * gain + self.scale_to_context.bias.detach()
        return ContextRate(gain, shift, offsets)

    def _how(self, params: Tensor, gain_index: int, stream: Stream) -> tuple[tuple[Any, ...], dict[str, Any]]:
        conditional = self.gaussian_conditional
        order = "raster" if stream.kind == RANS64.kind else "wavefront"
        tables = conditional.scale_table, conditional.lower_bound_scale.bound, conditional.table
        return (params, *tables), {"order": order, "rate": self._rate(GAIN_TABLE[gain_index])}

    def _encode_y(self, y: Tensor, known: Known, gain_index: int, stream: Stream, shrink: float) -> list[bytes]:
        arguments, how = self._how(known.deciding, gain_index, stream)
        return self._network().encode(y, *arguments, **how)[0]

    def _decode_y(self, y_strings: Sequence[bytes], known: Known, gain_index: int, stream: Stream) -> Tensor:
        arguments, how = self._how(known.deciding, gain_index, stream)
        return self._network().decode(y_strings, *arguments, **how)
