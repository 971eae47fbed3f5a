"""What two models, or two results, are compared by; and CompressAI's modules that hold coder classes."""

from __future__ import annotations

import torch

# The modules that import coder classes by name.
CODERS = ("compressai.latent_codecs.rasterscan", "compressai.models.google", "compressai.models.vbr")


def accelerate(model, **options):
    from scalecodec.compressai import accelerate

    return accelerate(model, **options)


def same(one, other, rounding: float = 0.0) -> bool:
    """Equal in structure and types; in every bit, or floats to `rounding`, absolute and relative."""
    if isinstance(one, torch.Tensor):
        if rounding and one.is_floating_point():
            return one.dtype == other.dtype and torch.allclose(one, other, rounding, rounding)
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key], rounding) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b, rounding) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and one == other


def contents(model):
    """What a model is made of, to be compared after an undo; tensors by identity."""
    return {
        name: (
            type(module),
            sorted(vars(module)),
            [id(tensor) for tensor in [*module.parameters(), *module.buffers()]],
            [*module._forward_hooks.values(), *module._forward_pre_hooks.values()],
        )
        for name, module in model.named_modules()
    }


def flatten(value):
    if isinstance(value, torch.Tensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value
    return [tensor for item in items for tensor in flatten(item)]


def shake(model):
    """Other tables of the same sizes: the quantiles set the sizes."""
    generator = torch.Generator().manual_seed(5)
    for name, parameter in model.named_parameters():
        if "biases" in name or "_bias" in name:
            parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.2)
