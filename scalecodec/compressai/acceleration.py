"""One model of CompressAI's, made fast in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from scalecodec.batches import MAX_THREADS

from . import host
from .accelerated import accelerated_class, change_class, host_class, host_of
from .report import Part, Report
from .settings import Settings


def accelerate(
    model: nn.Module,
    stream: str = "compressai",
    networks: str = "exact",
    threads: int | None = None,
    *,
    scales: str = "float",
    calibration: Sequence[Tensor] = (),
) -> Report:
    """Replace, in ``model`` itself, CompressAI's coding by the compiled core.

    Parameters
    ----------
    model : any module that holds CompressAI's entropy models, latent codecs or autoregressive models. Its parameters,
        state dict, ``update``, ``load_state_dict``, ``aux_loss`` and what a subclass of yours overrides stay as they
        are; copies of it are fast too.
    stream : ``"compressai"``: its very bytes (an autoregressive loop measures torch's order of sums the first time, and
        takes latents in channels_last as decoders do, contiguous); ``"lanes"``: our own, faster, and marked: either
        decoder raises BitstreamError at the other's strings
    networks : ``"exact"``, or ``"bf16"``: analysis and synthesis (``g_a``, ``g_s``) in channels_last and bfloat16,
        where the processor has it; never the networks that choose tables
    threads : of the coder, 1 to 256; by default as many as torch has
    scales : ``"float"``, or with ``stream="lanes"`` ``"integer"``: the hyper-synthesis computes in integers, and a
        string decodes on every machine that accelerates the same weights so. Strings name the integers they need. For
        hyperprior models, and autoregressive ones whose loop is compiled; others are refused.
    calibration : with integer scales, tensors that ``model`` takes ([B, 3, H, W]), to measure activations on; without
        any, hyper-latents are drawn from the model's coding tables. Both ends need the same.

    Returns
    -------
    Report
        Prints what was replaced and what was not; ``undo()`` takes it back, as does the end of a ``with``.

    Raises
    ------
    HostError
        CompressAI is not installed.
    BackendError
        ``networks="bf16"``, and the processor has no bfloat16.
    ValueError, TypeError
        An argument is none of these, or integer scales do not suit the model.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch module, got {type(model).__name__}")
    settings = Settings(stream, min(MAX_THREADS, torch.get_num_threads()) if threads is None else threads)
    if networks not in ("exact", "bf16"):
        raise ValueError(f"networks must be 'exact' or 'bf16', got {networks!r}")
    if scales not in ("float", "integer"):
        raise ValueError(f"scales must be 'float' or 'integer', got {scales!r}")
    if scales == "integer" and stream != "lanes":
        raise ValueError("scales='integer' makes strings that CompressAI cannot read: it needs stream='lanes'")
    compressai = host.load()
    from .integer_scales import fit_scales, to_floats, to_integers

    report = Report()
    try:
        to_floats(model, settings, report)
        forms, scales_id = fit_scales(model, calibration) if scales == "integer" else ({}, b"")
        settings = replace(settings, scales_id=scales_id)
        _accelerate(model, compressai, settings, networks, report)
        to_integers(model, forms, settings, report)
    except BaseException:
        report.undo()
        raise
    return report


def _accelerate(model: nn.Module, compressai: ModuleType, settings: Settings, networks: str, report: Report) -> None:
    classes = accelerated_classes(compressai)
    for name, module in model.named_modules():
        fast = next((fast for fast in classes if isinstance(module, host_of(fast))), None)
        if fast is not None:
            _replace(name, module, fast, settings, report)
    if not host.is_known(compressai):
        report.notes.append(f"{host.refusal(compressai)}: only its entropy models are replaced")
    from .retry import Retrying, retries

    exact = bool(settings.scales_id)  # then no machine computes other scales
    if not exact and (isinstance(model, Retrying) or host_class(type(model)) is type(model)) and retries(model):
        report.replaced.append(Part("", type(model).__name__, Retrying._scalecodec_text))
        report._undo.append(change_class(model, Retrying, settings))
    from .transforms import full_precision, lower_precision

    set_precision = lower_precision if networks == "bf16" else full_precision
    set_precision(model, settings, report)


def accelerated_classes(compressai: ModuleType) -> tuple[Any, ...]:
    """What is accelerated in this version: of those whose host a module is an instance of, the first suits."""
    from . import entropy

    if not host.is_known(compressai):
        return entropy.ALL
    from . import autoregressive, latent_codecs, mixture, variable_rate

    return (*mixture.ALL, *entropy.ALL, *variable_rate.ALL, *autoregressive.ALL, *latent_codecs.ALL)


def _replace(name: str, module: nn.Module, fast: Any, settings: Settings, report: Report) -> None:
    kind = type(module).__name__
    cls = accelerated_class(host_class(type(module)), fast)
    own = [method for method in fast._scalecodec_methods if getattr(cls, method) is not getattr(fast, method)]
    if len(own) == len(fast._scalecodec_methods):
        why = f"it has {' and '.join(own)} of its own"
    elif settings.stream_name != "compressai" and len({"compress", "decompress"} & set(own)) == 1:
        why = f"it has {' and '.join(own)} of its own, which need not know lane streams"
    else:
        why = fast._scalecodec_misfit(module)
    if why:
        report.kept.append(Part(name, kind, why))
        return
    report.replaced.append(Part(name, kind, fast._scalecodec_text + "".join(f"; {it} is its own" for it in own)))
    report._undo.append(change_class(module, fast, settings))
