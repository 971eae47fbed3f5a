"""CompressAI's entropy models on the compiled coder: subclasses that stand between a model's class and its base.

They hold methods only, so an instance takes one by a change of its class and gives it back likewise, and a class takes
its methods; buffers, state dicts and all that is not coding stay CompressAI's own code. In the order of resolution they
come after a user's subclass and before CompressAI's base: what a user overrides still wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from compressai.entropy_models import EntropyBottleneck, GaussianConditional
from compressai.entropy_models.entropy_models import EntropyModel
from compressai.entropy_models.entropy_models_vbr import EntropyBottleneckVbr, EntropyModelVbr
from torch import Tensor

from scalecodec import quantize
from scalecodec.entropy_models import coding

from .accelerated import Accelerated, method_of

_TABLE_BITS = 16

# As they stand before any patch; what ours do not suit goes on with these.
_STOCK_BUILD_INDEXES = GaussianConditional.build_indexes
_STOCK_COMPRESS, _STOCK_DECOMPRESS = EntropyModel.compress, EntropyModel.decompress
_STOCK_COMPRESS_VBR, _STOCK_DECOMPRESS_VBR = EntropyModelVbr.compress, EntropyModelVbr.decompress


def _misfit(model: Any) -> str:
    """Why a model's coding is not ours to do; empty where it is."""
    name, bits = getattr(model.entropy_coder, "name", "none"), model.entropy_coder_precision
    if name != "ans":
        return f"its entropy coder is {name!r}, not 'ans'"
    return "" if bits == _TABLE_BITS else f"its tables are of {bits} bits, not {_TABLE_BITS}"


def _encode(model: Any, symbols: Tensor, indexes: Tensor) -> list[bytes]:
    settings = model._scalecodec_settings
    return coding.encode_symbols(symbols, indexes, model._scalecodec_table.of(model), settings.stream, settings.threads)


def _decode(model: Any, strings: Sequence[bytes], indexes: Tensor) -> Tensor:
    settings = model._scalecodec_settings
    return coding.decode_symbols(strings, indexes, model._scalecodec_table.of(model), settings.stream, settings.threads)


def _symbols(model: Any, inputs: Tensor, means: Tensor | None) -> Tensor:
    """``model.quantize(inputs, "symbols", means)``; where that is CompressAI's own: checked, float32 in one pass."""
    own = method_of(model, "quantize") in (EntropyModel.quantize, EntropyModelVbr.quantize)
    plain = all(t is None or t.dtype is torch.float32 for t in (inputs, means))
    if own and plain:
        return quantize.to_symbols(inputs, means, threads=model._scalecodec_settings.threads)
    if own and inputs.is_floating_point():
        values = inputs.detach().clone()
        return quantize.to_symbols(values if means is None else values.sub_(means))  # in the dtype of inputs
    return model.quantize(inputs, "symbols", means).int()  # as EntropyModel.compress does


class _Coded(Accelerated):
    """What all entropy models have in common."""

    _scalecodec_table: coding.PreparedTable
    _scalecodec_methods: ClassVar[tuple[str, ...]] = ("compress", "decompress")
    _scalecodec_text = "batches coded from arrays"

    @staticmethod
    def _scalecodec_misfit(module: Any) -> str:
        return _misfit(module)

    @staticmethod
    def _scalecodec_attributes() -> dict[str, Any]:
        return {"_scalecodec_table": coding.PreparedTable()}


class FastModel(_Coded, EntropyModel):
    """EntropyModel with its coding of a batch compiled."""

    def compress(self, inputs: Tensor, indexes: Tensor, means: Tensor | None = None) -> list[bytes]:
        if _misfit(self):
            return _STOCK_COMPRESS(self, inputs, indexes, means)
        coding.check_inputs(inputs, indexes, means)
        return _encode(self, _symbols(self, inputs, means), indexes)

    def decompress(
        self,
        strings: Sequence[bytes],
        indexes: Tensor,
        dtype: torch.dtype = torch.float,
        means: Tensor | None = None,
    ) -> Tensor:
        if _misfit(self):
            return _STOCK_DECOMPRESS(self, strings, indexes, dtype, means)
        coding.check_strings(strings, indexes, means)
        symbols = _decode(self, strings, indexes)
        if method_of(self, "dequantize") is EntropyModel.dequantize:
            return coding.to_latents(symbols, dtype, means)
        return self.dequantize(symbols, means, dtype)


class FastModelVbr(_Coded, EntropyModelVbr):
    """EntropyModelVbr likewise; ``qs`` is its step size."""

    def compress(
        self, inputs: Tensor, indexes: Tensor, means: Tensor | None = None, qs: Tensor | None = None
    ) -> list[bytes]:
        if _misfit(self):
            return _STOCK_COMPRESS_VBR(self, inputs, indexes, means, qs)
        coding.check_inputs(inputs, indexes, means)
        if qs is None:
            return _encode(self, _symbols(self, inputs, means), indexes)
        return _encode(self, self.quantize_variable(inputs, "symbols", means=means, qs=qs), indexes)

    def decompress(
        self,
        strings: Sequence[bytes],
        indexes: Tensor,
        dtype: torch.dtype = torch.float,
        means: Tensor | None = None,
        qs: Tensor | None = None,
    ) -> Tensor:
        if _misfit(self):
            return _STOCK_DECOMPRESS_VBR(self, strings, indexes, dtype, means, qs)
        coding.check_strings(strings, indexes, means)
        symbols = _decode(self, strings, indexes)
        if qs is None:
            return self.dequantize(symbols, means, dtype)
        return self.dequantize_variable(symbols, means=means, dtype=dtype, qs=qs)


class FastBottleneck(EntropyBottleneck, FastModel):
    """EntropyBottleneck on FastModel."""


class FastBottleneckVbr(EntropyBottleneckVbr, FastModelVbr):
    """EntropyBottleneckVbr on FastModelVbr."""


class FastConditional(GaussianConditional, FastModel):
    """GaussianConditional on FastModel, its 63 passes over the scales one."""

    _scalecodec_methods: ClassVar[tuple[str, ...]] = ("compress", "decompress", "build_indexes")
    _scalecodec_text = "batches coded from arrays, indexes in one pass"

    def build_indexes(self, scales: Tensor) -> Tensor:
        if scales.is_floating_point() and self.scale_table.numel() and self.lower_bound_scale.bound.numel() == 1:
            bound, threads = self.lower_bound_scale.bound, self._scalecodec_settings.threads
            scale_table = self.scale_table.clone()  # one that NumPy has looked into could not be resized any more
            return quantize.build_indexes(scales, scale_table, scale_bound=bound, threads=threads)
        return _STOCK_BUILD_INDEXES(self, scales)


ALL = (FastBottleneck, FastConditional, FastBottleneckVbr, FastModel, FastModelVbr)
