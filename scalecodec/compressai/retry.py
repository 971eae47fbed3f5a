"""A second try at streams whose scales another machine computed: with the networks that choose tables in float64.

A table's index is a float compared with thresholds. Where another processor or library summed in another order, one
index in about a million differs, and all behind it is lost; the end check sees that. In float64 our scales stand where
theirs should, so that the other end's choice is met unless it was its own rounding that crossed the threshold.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Any

from compressai.entropy_models.entropy_models import EntropyModel
from compressai.entropy_models.entropy_models_vbr import EntropyModelVbr
from compressai.latent_codecs import RasterScanLatentCodec
from compressai.models import CompressionModel
from compressai.models.google import JointAutoregressiveHierarchicalPriors
from compressai.models.vbr import JointAutoregressiveHierarchicalPriorsVbr
from torch import Tensor, nn

from scalecodec.errors import BitstreamError

from .accelerated import Accelerated, host_class
from .transforms import TRANSFORMS

_LOOPS = (JointAutoregressiveHierarchicalPriors, JointAutoregressiveHierarchicalPriorsVbr, RasterScanLatentCodec)


class InFloat64(nn.Module):
    """A network in float64, for float32 in and out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network.double()

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.network(*(tensor.double() for tensor in inputs)).float()


class Retrying(Accelerated, nn.Module):
    """Any of CompressAI's models: where a stream does not decode, once more in float64, on a copy."""

    _scalecodec_methods = ("decompress",)
    _scalecodec_text = "strings that do not decode are tried again with scales in float64"
    _scalecodec_wraps = True

    def decompress(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        try:
            return super().decompress(*args, **kwargs)  # type: ignore[misc]
        except BitstreamError as error:
            try:
                result = _in_float64(self).decompress(*args, **kwargs)
            except Exception:  # whatever a twin of networks that we do not know does: the string is what is wrong
                raise error from None
        text = "a string decoded with scales in float64 only: the machine that wrote it rounds otherwise"
        warnings.warn(text, stacklevel=2)
        return result


def retries(model: nn.Module) -> bool:
    """Whether a model has networks that choose tables, and no loop of its own that feeds symbols back to them."""
    loops = any(isinstance(module, _LOOPS) for module in model.modules())
    return isinstance(model, CompressionModel) and not loops and any(True for _ in _networks(model))


def _in_float64(model: nn.Module) -> Any:
    twin = copy.deepcopy(model)
    twin.__class__ = host_class(type(model))
    for parent, name in list(_networks(twin)):
        parent._modules[name] = InFloat64(getattr(parent, name))
    return twin


def _networks(module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """Holders and names of what is neither a transform nor an entropy model, nor holds any."""
    for name, child in module.named_children():
        if name in TRANSFORMS or isinstance(child, (EntropyModel, EntropyModelVbr)):
            continue
        is_container = type(child).forward is nn.Module.forward  # a ModuleDict: looked into, never called
        if is_container or any(isinstance(part, (EntropyModel, EntropyModelVbr)) for part in child.modules()):
            yield from _networks(child)
        elif next(child.parameters(), None) is not None:
            yield module, name
