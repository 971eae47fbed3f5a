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
from types import FunctionType
from typing import Any

import torch
from compressai.latent_codecs import RasterScanLatentCodec
from compressai.models.google import JointAutoregressiveHierarchicalPriors
from compressai.models.vbr import JointAutoregressiveHierarchicalPriorsVbr
from torch import Tensor

from scalecodec.context import ContextNetwork
from scalecodec.entropy_models.coding import PreparedTable
from scalecodec.errors import BitstreamError

from . import ans
from .accelerated import Accelerated, method_of
from .context_networks import PackedNetwork, misfit
from .lane_strings import mark, refuse_marked, unmark
from .stock_loop import decode_as_stock, encode_as_stock


def on_our_coder(function: Any) -> Any:
    """A copy of a function of CompressAI's that sees our coder where it says BufferedRansEncoder or RansDecoder."""
    seen = {**function.__globals__, **{name: getattr(ans, name) for name in ans.__all__}}
    return FunctionType(function.__code__, seen, function.__name__, function.__defaults__, function.__closure__)


# As they stand before any patch; what the loop does not suit goes on with these.
_STOCK_JOINT = JointAutoregressiveHierarchicalPriors.compress, JointAutoregressiveHierarchicalPriors.decompress
_STOCK_RASTER_SCAN = RasterScanLatentCodec.compress, RasterScanLatentCodec.decompress


# What the stock methods call and ours do by themselves.
_STOCK_STEPS = (
    (JointAutoregressiveHierarchicalPriors, "_compress_ar", JointAutoregressiveHierarchicalPriors._compress_ar),
    (JointAutoregressiveHierarchicalPriors, "_decompress_ar", JointAutoregressiveHierarchicalPriors._decompress_ar),
    (RasterScanLatentCodec, "merge", RasterScanLatentCodec.merge),
)


class _Loop(Accelerated):
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
    own = [name for cls, name, stock in _STOCK_STEPS if isinstance(codec, cls) and method_of(codec, name) is not stock]
    return f"it has {' and '.join(own)} of its own" if own else misfit(codec)


def _is_compiled(codec: Any) -> bool:
    weight = codec.context_prediction.weight
    on_cpu = (weight.device.type, weight.dtype) == ("cpu", torch.float32) and not torch.is_autocast_enabled("cpu")
    return on_cpu and not _misfit(codec)


def _arguments(codec: Any, params: Tensor) -> tuple[Any, ...]:
    conditional = codec.gaussian_conditional
    table = codec._scalecodec_table.of(conditional)
    scale_table = conditional.scale_table.clone()  # one that NumPy has looked into could not be resized any more
    return params, scale_table, conditional.lower_bound_scale.bound, table


def _network(codec: Any) -> tuple[ContextNetwork, bool]:
    like_torch = codec._scalecodec_settings.stream_name == "compressai"
    return codec._scalecodec_network.of(codec.context_prediction, codec.entropy_parameters, like_torch)


def _encode(codec: Any, y: Tensor, params: Tensor) -> tuple[list[bytes], Tensor]:
    (network, is_torchs), settings, arguments = _network(codec), codec._scalecodec_settings, _arguments(codec, params)
    if len(y) == 0:
        return [], torch.empty_like(y)
    if settings.stream_name == "lanes":
        strings, y_hat = network.encode(y, *arguments, threads=settings.threads, order="wavefront")
        return [mark(string) for string in strings], y_hat
    if is_torchs:
        return network.encode(y, *arguments, threads=settings.threads)
    text = "torch sums here in an order that could not be found: its own loop encodes, for the sake of the same bytes"
    warnings.warn(text, stacklevel=3)
    return encode_as_stock(codec, y, params, arguments[-1])


def _decode(codec: Any, strings: Sequence[bytes], params: Tensor) -> Tensor:
    (network, _), settings, arguments = _network(codec), codec._scalecodec_settings, _arguments(codec, params)
    if len(params) == len(strings) == 0:
        return params.new_empty(0, network.num_channels, *params.shape[2:])
    if settings.stream_name == "lanes":
        plain = [unmark(string) for string in strings]
        return network.decode(plain, *arguments, threads=settings.threads, order="wavefront")
    refuse_marked(strings)
    try:
        return network.decode(strings, *arguments, threads=settings.threads)
    except BitstreamError as error:
        first = error
    try:
        y_hat = decode_as_stock(codec, strings, params, arguments[-1])
    except BitstreamError:
        raise first from None
    warnings.warn("a string did not decode with the compiled loop: torch's own was used", stacklevel=3)
    return y_hat


class FastJoint(_Loop, JointAutoregressiveHierarchicalPriors):
    """mbt2018 and cheng2020 (arXiv:1809.02736, arXiv:2001.01568): compress and decompress around the compiled loop."""

    def compress(self, x: Tensor) -> dict[str, Any]:
        if not _is_compiled(self):
            return _STOCK_JOINT[0](self, x)
        y = self.g_a(x)
        z = self.h_a(y)
        z_strings = self.entropy_bottleneck.compress(z)
        params = self.h_s(self.entropy_bottleneck.decompress(z_strings, z.size()[-2:]))
        y_strings, _ = _encode(self, y, params)
        return {"strings": [y_strings, z_strings], "shape": z.size()[-2:]}

    def decompress(self, strings: Any, shape: Any) -> dict[str, Any]:
        if not _is_compiled(self):
            return _STOCK_JOINT[1](self, strings, shape)
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


class FastRasterScan(_Loop, RasterScanLatentCodec):
    """RasterScanLatentCodec around the compiled loop."""

    def compress(self, y: Tensor, ctx_params: Tensor) -> dict[str, Any]:
        if not _is_compiled(self):
            return _STOCK_RASTER_SCAN[0](self, y, ctx_params)
        strings, y_hat = _encode(self, y, _cropped(ctx_params, y.shape[2:]))
        return {"strings": [strings], "y_hat": y_hat, "shape": y.shape[2:4]}

    def decompress(self, strings: Any, shape: Any, ctx_params: Tensor, **kwargs: Any) -> dict[str, Any]:
        if not _is_compiled(self):
            return _STOCK_RASTER_SCAN[1](self, strings, shape, ctx_params, **kwargs)
        (y_strings,) = strings
        return {"y_hat": _decode(self, y_strings, _cropped(ctx_params, shape))}


class FastJointVbr(Accelerated, JointAutoregressiveHierarchicalPriorsVbr):
    """mbt2018-vbr (arXiv:2402.18930): its own loop, whose offsets ours does not have, on our coder."""

    _scalecodec_methods = ("_compress_ar", "_decompress_ar")
    _scalecodec_text = "its loop on the compiled coder"

    _compress_ar = on_our_coder(JointAutoregressiveHierarchicalPriorsVbr._compress_ar)
    _decompress_ar = on_our_coder(JointAutoregressiveHierarchicalPriorsVbr._decompress_ar)


ALL = (FastJointVbr, FastJoint, FastRasterScan)
