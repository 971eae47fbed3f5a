"""Every model that CompressAI registers, with random weights and realistic latents, ready to code.

    host = build("mbt2018", batch=2)
    coded = host.compress()  # {"strings": ..., "shape": ...}, with "y_hat" where the model gives one
    host.decompress(coded)["x_hat"]
    host.compress(other_model)  # a copy or an accelerated one; `host.dress` hangs the latents into a fresh model

`options` go to both directions (the rate of a variable-rate model); `gain` sets the bits per latent.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from .latents import Aim, Drawn, Site, channel_scales, draw

# name -> the arguments of a small one; zoo sizes are in ZOO
SMALL: dict[str, dict[str, Any]] = {
    "bmshj2018-factorized": {"N": 8, "M": 13},
    "bmshj2018-factorized-relu": {"N": 8, "M": 13},
    "bmshj2018-hyperprior": {"N": 8, "M": 13},
    "bmshj2018-hyperprior-vbr": {"N": 8, "M": 12},
    "cheng2020-anchor": {"N": 12},
    "cheng2020-anchor-checkerboard": {"N": 12},
    "cheng2020-attn": {"N": 12},
    "elic2022-chandelier": {"N": 12, "M": 19, "groups": [2, 2, 4, 4, 7]},
    "elic2022-official": {"N": 12, "M": 19, "groups": [2, 2, 4, 4, 7]},
    "mbt2018": {"N": 8, "M": 13},
    "mbt2018-mean": {"N": 8, "M": 13},
    "mbt2018-mean-vbr": {"N": 8, "M": 12},
    "mbt2018-vbr": {"N": 8, "M": 12},
    "ssf2020": {},
}
ZOO: dict[str, tuple[int, ...]] = {  # N, M of the lowest quality
    "bmshj2018-factorized": (128, 192),
    "bmshj2018-factorized-relu": (128, 192),
    "bmshj2018-hyperprior": (128, 192),
    "bmshj2018-hyperprior-vbr": (192, 320),
    "cheng2020-anchor": (128,),
    "cheng2020-anchor-checkerboard": (192,),
    "cheng2020-attn": (128,),
    "elic2022-chandelier": (192, 320),
    "elic2022-official": (192, 320),
    "mbt2018": (192, 192),
    "mbt2018-mean": (128, 192),
    "mbt2018-mean-vbr": (192, 320),
    "mbt2018-vbr": (192, 320),
}
# What is built from parts that no registered model uses, or in a way that the registry has no name for.
UNREGISTERED: dict[str, dict[str, Any]] = {
    "bmshj2018-hyperprior-vbr+zstep": {"N": 8, "M": 12, "vr_entbttlnck": True},
    "mbt2018-mean-vbr+zstep": {"N": 8, "M": 12, "vr_entbttlnck": True},
    "raster-scan": {"N": 8, "M": 12},
}
NOT_BUILT = {
    "hrtzxf2022-pcc-rec": "needs einops, and CUDA for its neighbourhoods",
    "sfu2023-pcc-rec-pointnet": "stock's compress() decodes under a wrong shape, past the end of the string",
    "sfu2024-pcc-rec-pointnet2-ssg": "needs pointops, or pytorch3d and fpsample, for its neighbourhoods",
}
NAMES = sorted(SMALL) + sorted(UNREGISTERED)
PIXEL_LOOPS = ("mbt2018", "mbt2018-vbr", "cheng2020-anchor", "cheng2020-attn", "raster-scan")
SLOW = (*PIXEL_LOOPS, "elic2022-chandelier", "elic2022-official")
# Stock's raster-scan codec mixes up the strings of a batch; video is slow.
BATCH = {"raster-scan": 1, "ssf2020": 1, "bmshj2018-factorized": 3}
VBR_INDEX = 5  # a gain of 0.52: the strong channels have something to code


@dataclass(repr=False)
class Host:
    name: str
    model: nn.Module
    x: Any
    options: dict[str, Any]
    drawn: dict[str, Drawn]
    zoo: bool

    def compress(self, model: nn.Module | None = None, **options: Any) -> dict[str, Any]:
        """By stock or by `model`; a dict for video too, where CompressAI gives a pair."""
        with torch.no_grad():
            coded = (model or self.model).compress(self.x, **{**self.options, **options})
        return coded if isinstance(coded, dict) else dict(zip(("strings", "shape"), coded, strict=True))

    def decompress(self, coded: dict[str, Any], model: nn.Module | None = None, **options: Any) -> dict[str, Any]:
        with torch.no_grad():
            decoded = (model or self.model).decompress(coded["strings"], coded["shape"], **{**self.options, **options})
        return decoded if isinstance(decoded, dict) else {"x_hat": decoded}

    def latents(self) -> int:
        return sum(hook.value.numel() for hook in self.drawn.values())

    def fresh(self) -> nn.Module:
        """Another instance: own random weights, no tables, the same latents drawn."""
        return self.dress(_create(self.name, small=not self.zoo).eval())

    def dress(self, model: nn.Module) -> nn.Module:
        for name, hook in self.drawn.items():
            model.get_submodule(name).register_forward_hook(copy.deepcopy(hook))
        return model

    def make_tables(self, model: nn.Module, **update: Any) -> bool:
        """`update` with what this host needs: the z step of a variable rate is part of the tables."""
        if self.name.endswith("+zstep"):
            update["scale"] = model.Gain[self.options["s"]].abs().detach()
        with torch.no_grad():
            return model.update(**update)


def strings_of(strings: Any) -> list[bytes]:
    """All strings of a nested structure, in its order."""
    if isinstance(strings, bytes):
        return [strings]
    items = strings.values() if isinstance(strings, dict) else strings
    return [string for item in items for string in strings_of(item)]


def _create(name: str, small: bool) -> nn.Module:
    arguments = {**SMALL, **UNREGISTERED}[name] if small else dict(zip("NM", ZOO[name], strict=False))
    if name == "raster-scan":
        return importlib.import_module(".raster_scan", __package__).RasterScan(**arguments)
    from compressai.registry import MODELS

    return MODELS[name.removesuffix("+zstep")](**copy.deepcopy(arguments))


def _sites(model: nn.Module) -> list[Site]:
    from compressai.entropy_models import GaussianConditional

    if hasattr(model, "img_encoder"):
        return [
            Site(
                getattr(model, f"{part}_encoder"),
                prior.entropy_bottleneck,
                prior.hyper_encoder,
                [prior.gaussian_conditional],
                torch.ones(192),
            )
            for part in ("img", "res", "motion")
            for prior in [getattr(model, f"{part}_hyperprior")]
        ]
    conditionals = [module for module in model.modules() if isinstance(module, GaussianConditional)]
    if hasattr(model, "entropy_bottleneck"):
        return [Site(model.g_a, model.entropy_bottleneck, getattr(model, "h_a", None), conditionals)]
    hyper = model.latent_codec["hyper"]
    return [Site(model.g_a, hyper.entropy_bottleneck, hyper.h_a, conditionals)]


def _parameters(network: nn.Module, scales: Tensor, generator: torch.Generator, order: str = "scales means") -> Aim:
    """A network that ends in scales and means, by channel."""
    means = torch.empty_like(scales).uniform_(-0.5, 0.5, generator=generator)
    parts = {"scales": scales, "means": means}
    mean = torch.cat([parts[part] for part in order.split()])
    spread = torch.cat([scales for part in order.split()])
    return Aim(network, mean, 0.3 * spread)


def _aims(model: nn.Module, sites: list[Site], channels: int, gain: float, seed: int) -> list[Aim]:
    """What each network of the decoder shall give."""
    generator = torch.Generator().manual_seed(seed)
    scales = channel_scales(channels, gain)
    for site in sites:
        site.scales = scales
    if hasattr(model, "img_encoder"):
        aims = [Aim(model.img_decoder, 0.5, 0.2), Aim(model.res_decoder, 0, 0.05), Aim(model.motion_decoder, 0, 0.5)]
        for part in ("img", "res", "motion"):
            prior = getattr(model, f"{part}_hyperprior")
            aims.append(Aim(prior.hyper_decoder_scale, scales, 0.3 * scales))
            aims.append(Aim(prior.hyper_decoder_mean, 0.0, 0.3 * scales))
        return aims
    aims = [Aim(model.g_s, 0.5, 0.2)]
    if not sites[0].conditionals:
        return aims
    codec = getattr(model, "latent_codec", None)
    h_s = model.h_s if codec is None else codec["hyper"].h_s
    if codec is None and not hasattr(model, "entropy_parameters"):
        both = isinstance(model, importlib.import_module("compressai.models").MeanScaleHyperprior)
        return [*aims, _parameters(h_s, scales, generator, "scales means" if both else "scales")]
    aims.append(Aim(h_s))
    if codec is None or not hasattr(codec["y"], "channel_context"):
        coders = {"y": model if codec is None else codec["y"]}
        groups = [channels]
    else:
        coders, groups = codec["y"].latent_codec, codec["y"].groups
        aims += [Aim(network) for network in codec["y"].channel_context.values()]
    for coder, own in zip(coders.values(), scales.split(groups), strict=True):
        inner = getattr(coder, "latent_codec", None)
        order = " ".join(inner["y"].chunks) if inner is not None else "scales means"
        aims += [Aim(coder.context_prediction), _parameters(coder.entropy_parameters, own, generator, order)]
    return aims


def _input(name: str, batch: int, size: tuple[int, int] | None, generator: torch.Generator) -> Any:
    if name == "ssf2020":
        return [torch.rand(batch, 3, *(size or (128, 128)), generator=generator) for _ in range(2)]
    default = (48, 80) if "factorized" in name else (64, 128) if name in SLOW else (128, 192)
    return torch.rand(batch, 3, *(size or default), generator=generator)


def _forward(name: str, model: nn.Module, x: Any) -> Callable[[], Any]:
    """A forward pass in which every network sees the whole picture at once: the loop over pixels is in stage 2."""
    return lambda: model(x, **({"stage": 1} if "vbr" in name else {}))


def build(
    name: str,
    batch: int | None = None,
    size: tuple[int, int] | None = None,
    gain: float | None = None,
    zoo: bool = False,
    seed: int = 0,
) -> Host:
    """The model `name`, small unless `zoo`, its tables made; about 0.1 to 2 bits per latent."""
    gain = gain or (0.8 if "vbr" in name else 0.5)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _create(name, small=not zoo).eval()
    x = _input(name, batch or BATCH.get(name, 2), size, torch.Generator().manual_seed(seed))
    sites = _sites(model)
    channels = 192 if name == "ssf2020" else getattr(model, "M", None) or _width(model)
    aims = _aims(model, sites, channels, gain, seed)
    hooks = draw(sites, aims, _forward(name, model, x), gain, seed)
    names = {module: path for path, module in model.named_modules()}
    options = {"s": VBR_INDEX} if "vbr" in name else {}
    host = Host(name, model, x, options, {names[module]: hook for module, hook in hooks.items()}, zoo)
    host.dress(model)
    host.make_tables(model, force=True)
    return host


def _width(model: nn.Module) -> int:
    """Channels of y, of a model that does not say."""
    if hasattr(model, "groups"):
        return sum(model.groups)
    return model.latent_codec["y"].context_prediction.in_channels
