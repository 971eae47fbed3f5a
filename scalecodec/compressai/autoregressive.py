"""CompressAI's autoregressive models and codecs, their loop over positions compiled.

A float32 sum depends on its order, and one bit of one sum now and then chooses another table or symbol. Strings of
CompressAI's kind are therefore made in the order of torch's own sums, as it is found on this machine (torch_sums.py):
the same bytes. Where it cannot be found, torch's own loop encodes. A string that came from another machine or program
may still be of other floats: then the end check of its stream fails, and it is decoded once more by torch's own loop.
Marked strings are summed in an order of ours, which is the same everywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import torch
from compressai.latent_codecs import RasterScanLatentCodec
from compressai.models.google import JointAutoregressiveHierarchicalPriors
from torch import Tensor

from scalecodec.context import ContextNetwork
from scalecodec.entropy_models.coding import PreparedTable

from .accelerated import Accelerated, method_of
from .context_networks import PackedNetwork, misfit
from .lane_strings import refuse_marked
from .stock_loop import decode_as_stock, decode_with_fallback, encode_as_stock, on_our_coder

# As they stand before any patch; what the loop does not suit goes on with these, on our coder, whose doors are checked.
_OWN_RASTER_SCAN = on_our_coder(RasterScanLatentCodec.compress), on_our_coder(RasterScanLatentCodec.decompress)
_OWN_JOINT = JointAutoregressiveHierarchicalPriors.compress, JointAutoregressiveHierarchicalPriors.decompress
_OWN_AR = tuple(
    on_our_coder(function)
    for function in (
        JointAutoregressiveHierarchicalPriors._compress_ar,
        JointAutoregressiveHierarchicalPriors._decompress_ar,
    )
)

UNFOUND = "torch sums here in an order that could not be found: its own loop encodes, for the sake of the same bytes"

# What the stock methods call and ours do by themselves, as CompressAI has it and as we do.
_STEPS = (
    (
        JointAutoregressiveHierarchicalPriors,
        "_compress_ar",
        (JointAutoregressiveHierarchicalPriors._compress_ar, _OWN_AR[0]),
    ),
    (
        JointAutoregressiveHierarchicalPriors,
        "_decompress_ar",
        (JointAutoregressiveHierarchicalPriors._decompress_ar, _OWN_AR[1]),
    ),
    (RasterScanLatentCodec, "merge", (RasterScanLatentCodec.merge,)),
)


class Loop(Accelerated):
    """What both kinds of host have in common: context_prediction, entropy_parameters and gaussian_conditional."""

    _scalecodec_network: PackedNetwork
    _scalecodec_table: PreparedTable
    _scalecodec_methods = ("compress", "decompress")
    _scalecodec_text = "its loop over positions compiled"

    @staticmethod
    def _scalecodec_misfit(module: Any) -> str:
        return _misfit(module)

    @staticmethod
    def _scalecodec_attributes() -> dict[str, Any]:
        return {"_scalecodec_network": PackedNetwork(), "_scalecodec_table": PreparedTable()}


def _misfit(codec: Any) -> str:
    """Why a codec's loop cannot be compiled; empty where it can."""
    own = [name for cls, name, known in _STEPS if isinstance(codec, cls) and method_of(codec, name) not in known]
    return f"it has {' and '.join(own)} of its own" if own else misfit(codec)


def on_float32(codec: Any) -> bool:
    """Whether the loop runs on the CPU, in float32."""
    weight = codec.context_prediction.weight
    return (weight.device.type, weight.dtype) == ("cpu", torch.float32) and not torch.is_autocast_enabled("cpu")


def _is_compiled(codec: Any) -> bool:
    compiled = on_float32(codec) and not _misfit(codec)
    if codec._scalecodec_settings.scales_id and not compiled:
        raise ValueError("scales='integer' needs the compiled loop: in float32, on the CPU, without autocast")
    return compiled


def arguments_of(codec: Any, params: Tensor) -> tuple[Any, ...]:
    """What :class:`ContextNetwork` codes with, besides latents or strings."""
    conditional = codec.gaussian_conditional
    table = codec._scalecodec_table.of(conditional)
    scale_table = conditional.scale_table.clone()  # one that NumPy has looked into could not be resized any more
    return params, scale_table, conditional.lower_bound_scale.bound, table


def network_of(codec: Any) -> tuple[ContextNetwork, bool]:
    """A codec's networks as its stream needs them, and whether they give torch's very floats."""
    like_torch = codec._scalecodec_settings.stream_name == "compressai"
    return codec._scalecodec_network.of(codec.context_prediction, codec.entropy_parameters, like_torch)


def _encode(codec: Any, y: Tensor, params: Tensor) -> tuple[list[bytes], Tensor]:
    (network, is_torchs), settings, arguments = (
        network_of(codec),
        codec._scalecodec_settings,
        arguments_of(codec, params),
    )
    if len(y) == 0:
        return [], torch.empty_like(y)
    if settings.stream_name == "lanes":
        strings, y_hat = network.encode(y, *arguments, threads=settings.threads, order="wavefront")
        return [settings.marks.mark(string) for string in strings], y_hat
    if is_torchs:
        return network.encode(y, *arguments, threads=settings.threads)
    warnings.warn(UNFOUND, stacklevel=3)
    return encode_as_stock(codec, y, params, arguments[-1])


def _decode(codec: Any, strings: Sequence[bytes], params: Tensor) -> Tensor:
    (network, _), settings, arguments = network_of(codec), codec._scalecodec_settings, arguments_of(codec, params)
    if len(params) == len(strings) == 0:
        return params.new_empty(0, network.num_channels, *params.shape[2:])
    if settings.stream_name == "lanes":
        plain = [settings.marks.unmark(string) for string in strings]
        return network.decode(plain, *arguments, threads=settings.threads, order="wavefront")
    refuse_marked(strings)
    return decode_with_fallback(
        lambda: network.decode(strings, *arguments, threads=settings.threads),
        lambda: decode_as_stock(codec, strings, params, arguments[-1]),
    )


class FastJoint(Loop, JointAutoregressiveHierarchicalPriors):
    """mbt2018 and cheng2020 (arXiv:1809.02736, arXiv:2001.01568): compress and decompress around the compiled loop."""

    _compress_ar, _decompress_ar = _OWN_AR

    def compress(self, x: Tensor) -> dict[str, Any]:
        if not _is_compiled(self):
            return _OWN_JOINT[0](self, x)
        y = self.g_a(x)
        z = self.h_a(y)
        z_strings = self.entropy_bottleneck.compress(z)
        params = self.h_s(self.entropy_bottleneck.decompress(z_strings, z.size()[-2:]))
        y_strings, _ = _encode(self, y, params)
        return {"strings": [y_strings, z_strings], "shape": z.size()[-2:]}

    def decompress(self, strings: Any, shape: Any) -> dict[str, Any]:
        if not _is_compiled(self):
            return _OWN_JOINT[1](self, strings, shape)
        if not isinstance(strings, list) or len(strings) != 2:
            raise ValueError("strings must be a list of two lists, for y and z")
        params = self.h_s(self.entropy_bottleneck.decompress(strings[1], shape))
        return {"x_hat": self.g_s(_decode(self, strings[0], params)).clamp_(0, 1)}


def _cropped(params: Tensor, shape: Sequence[int]) -> Tensor:
    """As far as the latents reach: a hyper synthesis gives more where a picture is no multiple of its stride."""
    height, width = shape
    if height > params.shape[2] or width > params.shape[3]:
        raise ValueError(f"ctx_params of {tuple(params.shape[2:])} do not reach over latents of {tuple(shape)}")
    return params[:, :, :height, :width]


class FastRasterScan(Loop, RasterScanLatentCodec):
    """RasterScanLatentCodec around the compiled loop."""

    def compress(self, y: Tensor, ctx_params: Tensor) -> dict[str, Any]:
        if not _is_compiled(self):
            return _OWN_RASTER_SCAN[0](self, y, ctx_params)
        strings, y_hat = _encode(self, y, _cropped(ctx_params, y.shape[2:]))
        return {"strings": [strings], "y_hat": y_hat, "shape": y.shape[2:4]}

    def decompress(self, strings: Any, shape: Any, ctx_params: Tensor, **kwargs: Any) -> dict[str, Any]:
        if not _is_compiled(self):
            return _OWN_RASTER_SCAN[1](self, strings, shape, ctx_params, **kwargs)
        (y_strings,) = strings
        return {"y_hat": _decode(self, y_strings, _cropped(ctx_params, shape))}


ALL = (FastJoint, FastRasterScan)
