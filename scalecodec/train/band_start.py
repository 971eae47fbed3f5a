"""Four strided convolutions of pixels as the beginning of stages of two branches behind a Haar wavelet.

A convolution of stride 2 and 5 taps is one of stride 1 and 3 taps on the four phases of its input, and these are an
orthonormal transform of the Haar bands: the first stage. Of the next each branch takes half the channels. Only what
channels of different branches divide each other by is lost: its mean is kept.
"""

from __future__ import annotations

from itertools import pairwise, product
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scalecodec.layers import GDN, Wavelet
from scalecodec.models import FrequencyModel, MeanScaleHyperprior

_BANDS = 4
_STEPS = 4  # convolutions of a plain model's analysis, and of its synthesis


@torch.no_grad()
def band_weights(
    plain: MeanScaleHyperprior, model: FrequencyModel, order: Tensor, pictures: Tensor
) -> dict[str, Tensor]:
    """A plain model's analysis and synthesis as those of the model, by the model's names.

    Parameters
    ----------
    plain : of twice the model's channels, and of its latent channels
    model : of four stages
    order : int64 [M], the plain model's latent channels, the base's first
    pictures : float [B, 3, H, W] in [0, 1], whose activations' mean squares are taken
    """
    sizes = (model.stages, 2 * model.channels, model.latent_channels)
    if sizes != (_STEPS, plain.channels, plain.latent_channels):
        wanted = f"{_STEPS} stages of {plain.channels / 2:g} channels and {plain.latent_channels} latents in all"
        raise ValueError(f"it begins {wanted}, got {model.stages} of {model.channels} and {model.latent_channels}")
    latents = _cut(order, model.layer_channels)
    found: dict[str, Tensor] = {}
    for prefix, transform, x in (("g_a", plain.g_a, pictures), ("g_s", plain.g_s, plain.g_a(pictures))):
        weights = _of_stages(list(transform.children()), latents, x, inverse=prefix == "g_s")
        found |= {f"{prefix}.stages.{name}": tensor for name, tensor in weights.items()}
    return found


def _of_stages(plain: list[nn.Module], latents: list[Tensor], x: Tensor, inverse: bool) -> dict[str, Tensor]:
    """From the pixels inwards, whichever way the transform goes: weights are [channels inside, channels outside]."""
    outwards = slice(None, None, -1 if inverse else 1)
    weights, biases = ([step.get_parameter(kind).detach() for step in plain[::2]] for kind in ("weight", "bias"))
    weights, biases = weights[outwards], biases[outwards]
    weights[0] = _to_bands(weights[0])
    if inverse:  # of a constant only the low band is not 0
        biases[0] = F.pad(2 * biases[0], (0, (_BANDS - 1) * len(biases[0])))
    bands = _cut(torch.arange(weights[0].shape[1]), (3, 9))
    sides = [bands, *_inner(weights, bands), latents]
    found: dict[str, Tensor] = {}
    for step, (outside, inside) in enumerate(pairwise(sides)):
        paths = _paths(weights[step], biases[step], outside, inside, inverse)
        found |= {f"{range(_STEPS)[outwards][step]}.{name}": tensor for name, tensor in paths.items()}
    squares = _mean_squares(plain[:-1], x)
    for number, parts in enumerate(sides[1:-1][outwards]):
        norms = _norms(cast(GDN, plain[2 * number + 1]), squares[number], parts)
        found |= {f"{number}.norms.{name}": tensor for name, tensor in norms.items()}
    return found


def _to_bands(kernel: Tensor) -> Tensor:
    """[out, C, 5, 5] on pixels to [out, 4 C, 3, 3] on Haar bands."""
    out, channels = kernel.shape[:2]
    phases = F.pad(kernel, (0, 1, 0, 1)).unflatten(2, (3, 2)).unflatten(4, (3, 2))  # [out, C, 3, p, 3, q]
    impulses = torch.eye(_BANDS).view(_BANDS, 1, 2, 2)
    haar = torch.cat(Wavelet("haar")(impulses), 1).view(_BANDS, _BANDS)  # [phase, band]
    found = torch.einsum("ocipjq,pqb->obcij", phases, haar.view(2, 2, _BANDS))
    return found.reshape(out, _BANDS * channels, 3, 3)


def _inner(weights: list[Tensor], outside: list[Tensor]) -> list[list[Tensor]]:
    """Which channels between the convolutions go to each branch, from the bands inwards: to the low one the half that
    has the larger share of its weights there.
    """
    found = []
    for weight in weights[:-1]:
        energy = weight.square().sum((2, 3))
        order = (energy[:, outside[0]].sum(1) / energy.sum(1)).argsort(descending=True, stable=True)
        outside = _cut(order, (len(order) // 2, len(order) - len(order) // 2))
        found.append(outside)
    return found


def _paths(
    weight: Tensor, bias: Tensor, outside: list[Tensor], inside: list[Tensor], inverse: bool
) -> dict[str, Tensor]:
    """One convolution as four, between branches and within; biases go with the latter."""
    found = {}
    for one, another in product(range(2), range(2)):
        name = f"{'intra' if one == another else 'inter'}.{one if inverse else another}"
        out = outside[another] if inverse else inside[one]
        found[f"{name}.weight"] = weight[inside[one]][:, outside[another]]
        found[f"{name}.bias"] = bias[out] if one == another else torch.zeros(len(out))
    return found


def _mean_squares(run: list[nn.Module], x: Tensor) -> list[Tensor]:
    """Of what each of its norms is given."""
    found = []
    for step in run:
        if isinstance(step, GDN):
            found.append(x.square().mean((0, 2, 3)))
        x = step(x)
    return found


def _norms(plain: GDN, squares: Tensor, parts: list[Tensor]) -> dict[str, Tensor]:
    beta, gamma = plain.beta_reparam(plain.beta), plain.gamma_reparam(plain.gamma)
    found = {}
    for branch, (ours, others) in enumerate(zip(parts, reversed(parts), strict=True)):
        lost = gamma[ours][:, others] @ squares[others]
        found[f"{branch}.beta"] = plain.beta_reparam.inverse(beta[ours] + lost)
        found[f"{branch}.gamma"] = plain.gamma_reparam.inverse(gamma[ours][:, ours])
    return found


def _cut(order: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    return list(order.split(list(sizes)))
