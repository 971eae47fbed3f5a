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
def begin_bands(plain: MeanScaleHyperprior, model: FrequencyModel, order: Tensor, pictures: Tensor) -> None:
    """Copy a plain model's analysis and synthesis into the model's branches.

    Parameters
    ----------
    plain : of twice the model's channels
    model : of four stages
    order : int64 [M], the plain model's latent channels, the base's first
    pictures : float [B, 3, H, W] in [0, 1], whose activations' mean squares are taken
    """
    if model.stages != _STEPS or 2 * model.channels != plain.channels:
        wanted = f"{_STEPS} stages of {plain.channels / 2:g} channels"
        raise ValueError(f"{plain.channels} channels begin {wanted}, got {model.stages} of {model.channels}")
    latents = _cut(order, model.layer_channels)
    for ours, theirs, x in ((model.g_a, plain.g_a, pictures), (model.g_s, plain.g_s, plain.g_a(pictures))):
        stages = list(ours.get_submodule("stages").children())
        _begin(list(theirs.children()), stages, latents, x, inverse=ours is model.g_s)


def _begin(plain: list[nn.Module], stages: list[nn.Module], latents: list[Tensor], x: Tensor, inverse: bool) -> None:
    """From the pixels inwards, whichever way the transform goes: weights are [channels inside, channels outside]."""
    outwards = slice(None, None, -1 if inverse else 1)
    weights, biases = ([step.get_parameter(kind).detach() for step in plain[::2]] for kind in ("weight", "bias"))
    weights, biases = weights[outwards], biases[outwards]
    weights[0] = _to_bands(weights[0])
    if inverse:  # of a constant only the low band is not 0
        biases[0] = F.pad(2 * biases[0], (0, (_BANDS - 1) * len(biases[0])))
    bands = _cut(torch.arange(weights[0].shape[1]), (3, 9))
    sides = [bands, *_inner(weights, bands), latents]
    for step, (outside, inside) in enumerate(pairwise(sides)):
        _fill(stages[outwards][step], weights[step], biases[step], outside, inside, inverse)
    squares = _mean_squares(plain, x)
    for number, parts in enumerate(sides[1:-1][outwards]):
        _fill_norms(stages[number], cast(GDN, plain[2 * number + 1]), squares[number], parts)


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


def _fill(
    stage: nn.Module, weight: Tensor, bias: Tensor, outside: list[Tensor], inside: list[Tensor], inverse: bool
) -> None:
    for one, another in product(range(2), range(2)):
        into = one if inverse else another
        step = stage.get_submodule(f"{'intra' if one == another else 'inter'}.{into}")
        step.get_parameter("weight").copy_(weight[inside[one]][:, outside[another]])
        out = outside[another] if inverse else inside[one]
        step.get_parameter("bias").copy_(bias[out] if one == another else torch.zeros(len(out)))


def _mean_squares(run: list[nn.Module], x: Tensor) -> list[Tensor]:
    """Of what each of its norms is given."""
    found = []
    for step in run:
        if isinstance(step, GDN):
            found.append(x.square().mean((0, 2, 3)))
        x = step(x)
    return found


def _fill_norms(stage: nn.Module, plain: GDN, squares: Tensor, parts: list[Tensor]) -> None:
    beta, gamma = plain.beta_reparam(plain.beta), plain.gamma_reparam(plain.gamma)
    for branch, (ours, others) in enumerate(zip(parts, reversed(parts), strict=True)):
        norm = stage.get_submodule(f"norms.{branch}")
        lost = gamma[ours][:, others] @ squares[others]
        norm.get_parameter("beta").copy_(plain.beta_reparam.inverse(beta[ours] + lost))
        norm.get_parameter("gamma").copy_(plain.gamma_reparam.inverse(gamma[ours][:, ours]))


def _cut(order: Tensor, sizes: tuple[int, ...]) -> list[Tensor]:
    return list(order.split(list(sizes)))
