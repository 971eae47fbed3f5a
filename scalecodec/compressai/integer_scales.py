"""``scales="integer"``: hyper-syntheses that compute in integers, so that their strings decode on every machine.

Only what decides symbols needs that: the hyper-synthesis, and in an autoregressive model the loop over positions, whose
sums have one order with lane streams. Models where other networks decide symbols are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from compressai import latent_codecs
from compressai.entropy_models import EntropyBottleneck, EntropyBottleneckVbr, GaussianConditional
from compressai.entropy_models.entropy_models import EntropyModel
from compressai.models import CompressionModel
from compressai.models.vbr import JointAutoregressiveHierarchicalPriorsVbr
from torch import Tensor, nn

from scalecodec.entropy_models.coding import PreparedTable
from scalecodec.entropy_models.draws import spread
from scalecodec.entropy_models.remade import Remade
from scalecodec.integer import WEIGHT_BITS, IntegerNetwork, Numbers, as_integers, assemble, fit, from_integers

from .accelerated import Accelerated, change_class, method_of
from .lane_strings import ID_BYTES
from .report import Part, Report
from .settings import Settings

_NAME = "h_s"
_CODECS_KNOWN = (
    latent_codecs.HyperpriorLatentCodec,
    latent_codecs.HyperLatentCodec,
    latent_codecs.GaussianConditionalLatentCodec,
    latent_codecs.EntropyBottleneckLatentCodec,
    latent_codecs.RasterScanLatentCodec,
)


class Form(NamedTuple):
    """What a hyper-synthesis needs besides its weights, and the id of the network that they make."""

    numbers: Numbers
    id: bytes


class IntegerSynthesis(Accelerated, nn.Module):
    """A hyper-synthesis in integers while it is not being trained; float32 in and out."""

    _scalecodec_methods = ("forward",)
    _scalecodec_text = f"in integers, weights of {WEIGHT_BITS} bits"
    _scalecodec_wraps = True
    _scalecodec_form: Form
    _scalecodec_made: Remade[IntegerNetwork]

    @staticmethod
    def _scalecodec_attributes() -> dict[str, Any]:
        return {"_scalecodec_made": Remade()}

    def forward(self, z_hat: Tensor) -> Tensor:
        if self.training:
            return super().forward(z_hat)
        numbers, form_id = self._scalecodec_form
        network = self._scalecodec_made.get(list(self.parameters()), lambda: assemble(self, numbers))
        if network.id != form_id:
            raise ValueError("the weights changed after accelerate(scales='integer'): call it again")
        # Symbols and medians are floats that every machine adds alike; the grid is theirs to 2^-fraction.
        integers = as_integers(z_hat.detach(), numbers.input_fraction)
        params = network.run(integers, self._scalecodec_settings.threads)
        return from_integers(params).to(z_hat.dtype)


def syntheses(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """Name, hyper-synthesis and the prior of what it takes."""
    for name, module in model.named_modules():
        prior = getattr(module, "entropy_bottleneck", None)
        if isinstance(getattr(module, _NAME, None), nn.Module) and isinstance(prior, EntropyBottleneck):
            yield f"{name}.{_NAME}".lstrip("."), getattr(module, _NAME), prior


def fit_scales(model: nn.Module, calibration: Sequence[Tensor]) -> tuple[dict[str, Form], bytes]:
    """The form of each hyper-synthesis by its name, and the id of all that decides symbols.

    Raises
    ------
    ValueError
        The model has none, or other networks decide symbols as well; or ``update`` has not been run.
    """
    _check(model)
    seen = _seen(model, calibration) if calibration else {}
    forms: dict[str, Form] = {}
    digest = hashlib.sha256()
    for name, network, prior in syntheses(model):
        try:
            samples = seen.get(name) or list(spread(PreparedTable().of(prior), 0, _medians(prior)))
            numbers = fit(network, samples)
        except TypeError as error:
            raise ValueError(f"scales='integer' does not suit {name}: {error}") from error
        forms[name] = Form(numbers, assemble(network, numbers).id)
        digest.update(name.encode() + forms[name].id + numbers.input_fraction.to_bytes(4, "little", signed=True))
    if not forms:
        raise ValueError(f"scales='integer' needs a network {_NAME} beside an entropy_bottleneck: this model has none")
    for name, module in model.named_modules():
        if isinstance(module, EntropyModel):  # update() makes tables from floats too: another machine's may differ
            digest.update(name.encode() + PreparedTable().of(module).id)
        if isinstance(module, GaussianConditional):
            bound = torch.as_tensor(module.lower_bound_scale.bound).reshape(-1)
            digest.update(torch.cat((module.scale_table, bound)).cpu().float().numpy().astype("<f4").tobytes())
    return forms, digest.digest()[:ID_BYTES]


def _medians(prior: Any) -> Tensor:
    return prior.quantiles[:, 0, 1].detach()


def to_integers(model: nn.Module, forms: dict[str, Form], settings: Settings, report: Report) -> None:
    """Let each hyper-synthesis compute by its form; ValueError where forms meet a part that was left as it was."""
    if forms and report.kept:
        raise ValueError(f"scales='integer' needs every part of the model on our coder: {report.kept[0]}")
    for name, form in forms.items():
        network = model.get_submodule(name)
        report.replaced.append(Part(name, type(network).__name__, IntegerSynthesis._scalecodec_text))
        report._undo.append(change_class(network, IntegerSynthesis, settings, _scalecodec_form=form))


def to_floats(model: nn.Module, settings: Settings, report: Report) -> None:
    """Take back what an earlier call of :func:`to_integers` did."""
    for module in list(model.modules()):
        if isinstance(module, IntegerSynthesis):
            report._undo.append(change_class(module, None, settings))


def _check(model: nn.Module) -> None:
    for name, module in model.named_modules():
        why = ""
        if isinstance(module, CompressionModel) and not _codes_as_known(module):
            why = "its compress and decompress are none that this knows"
        elif isinstance(module, JointAutoregressiveHierarchicalPriorsVbr):
            why = "what its gain adds to the context comes from a float network"
        elif isinstance(module, (EntropyModel, nn.Conv2d)) and _dtype_of(module) is not torch.float32:
            why = "it is not float32"
        elif isinstance(module, latent_codecs.LatentCodec) and not isinstance(module, _CODECS_KNOWN):
            why = "its context comes from float networks"
        elif isinstance(module, latent_codecs.GaussianConditionalLatentCodec) and not isinstance(
            module.entropy_parameters, nn.Identity
        ):
            why = "its entropy_parameters are a float network"
        elif isinstance(module, EntropyBottleneckVbr):
            why = "its step comes from a float network"
        if why:
            raise ValueError(f"scales='integer' does not suit {name or type(model).__name__}: {why}")


def _codes_as_known(model: Any) -> bool:
    """Whether it codes by the methods of a class of CompressAI's, ours among them."""
    methods = (method_of(model, name) for name in ("compress", "decompress"))
    return all(method.__module__.split(".")[0] in ("compressai", "scalecodec") for method in methods)


def _dtype_of(module: nn.Module) -> torch.dtype:
    return next((parameter.dtype for parameter in module.parameters(recurse=False)), torch.float32)


@torch.no_grad()
def _seen(model: nn.Module, pictures: Sequence[Tensor]) -> dict[str, list[Tensor]]:
    """What each hyper-synthesis takes while the model sees pictures."""
    seen: dict[str, list[Tensor]] = {}
    hooks = [
        network.register_forward_pre_hook(
            lambda _, given, name=name: seen.setdefault(name, []).append(given[0].detach().clone())
        )
        for name, network, _ in syntheses(model)
    ]
    training = [module for module in model.modules() if module.training]
    try:
        model.eval()
        for picture in pictures:
            model(picture)
    finally:
        for module in training:
            module.training = True
        for hook in hooks:
            hook.remove()
    return seen
