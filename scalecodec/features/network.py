"""A network that runs as before, with real bytes between its halves: calibrated in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Any

import torch
from torch import Tensor, nn

from .calibration import Calibration
from .codec import FeatureCodec
from .design import design
from .histogram import Histogram
from .split import crossing, split


class SplitNetwork(nn.Module):
    """``back(decode(encode(front(x))))``: what is decoded goes to the device and dtype that the front gave.

    Attributes
    ----------
    front, back : nn.Module, as :func:`~.split.split` gives them
    codecs : list of FeatureCodec, one for each tensor that crosses
    num_bytes, num_elements : of the last call, all tensors together
    """

    def __init__(self, front: nn.Module, back: nn.Module, codecs: Sequence[FeatureCodec]) -> None:
        super().__init__()
        self.front, self.back, self.codecs = front, back, list(codecs)
        self.num_bytes = self.num_elements = 0

    def forward(self, *inputs: Any) -> Any:
        tensors = crossing(self.front(*inputs))
        messages = self.encode(tensors)
        self.num_bytes, self.num_elements = sum(map(len, messages)), sum(one.numel() for one in tensors)
        return self.back(*(one.to(old) for one, old in zip(self.decode(messages), tensors, strict=True)))

    def encode(self, tensors: Sequence[Tensor]) -> list[bytes]:
        """The message of each tensor that crosses."""
        return [codec.encode(tensor) for codec, tensor in zip(self.codecs, tensors, strict=True)]

    def decode(self, messages: Sequence[Any]) -> list[Tensor]:
        """The tensors, on the CPU; BitstreamError as of :meth:`FeatureCodec.decode`."""
        return [codec.decode(message) for codec, message in zip(self.codecs, messages, strict=True)]

    @property
    def bits_per_element(self) -> float:
        """Of the last call."""
        return 8 * self.num_bytes / max(1, self.num_elements)


@torch.no_grad()
def calibrate(
    module: nn.Module,
    names: str | Sequence[str],
    loader: Iterable[Any],
    *,
    levels: int = 4,
    coding: str = "context",
    example: Tensor | None = None,
    progress: Callable[[float, str], None] | None = None,
    **design_options: Any,
) -> SplitNetwork:
    """Split a network and fit a codec to each tensor that crosses.

    Parameters
    ----------
    module, names, example : as for :func:`~.split.split`
    loader : batches of inputs, walked through twice: a DataLoader or a list; of a batch that is a tuple or a list the
        first item is the input
    levels : of each quantizer
    coding : as of a FeatureCodec
    progress : called with a share in [0, 1] and what is being done
    design_options : of :func:`~.design.design`: lagrangian, c_min, c_max, target_bits

    Raises
    ------
    ValueError
        As of split and design, or the loader can be walked through but once, or is empty.
    """
    if iter(loader) is loader:
        raise ValueError("the loader is walked through twice: give a list or a DataLoader, no iterator")
    front, back = split(module, names, example)
    tell = progress or (lambda done, text: None)
    counted: list[Histogram] = []
    for tensors in _walk(front, loader, lambda done: tell(done / 2, "counting")):
        counted = counted or [Histogram() for _ in tensors]
        for histogram, tensor in zip(counted, tensors, strict=True):
            histogram.update(tensor)
    if not counted:
        raise ValueError("the loader gives nothing to calibrate with")
    plain = [FeatureCodec(design(one, levels, **design_options), coding) for one in counted]
    gathered = [Calibration(codec.quantizer, coding) for codec in plain]
    for tensors in _walk(front, loader, lambda done: tell(0.5 + done / 2, "tables")):
        for one, codec, tensor in zip(gathered, plain, tensors, strict=True):
            one.update(tensor, codec.symbols(tensor))
    codecs = [FeatureCodec(one.quantizer, coding, found.finish(1)) for one, found in zip(plain, gathered, strict=True)]
    tell(1, "")
    return SplitNetwork(front, back, codecs)


def _walk(front: nn.Module, loader: Iterable[Any], tell: Callable[[float], None]) -> Iterable[tuple[Tensor, ...]]:
    total = len(loader) if isinstance(loader, Sized) else 0
    for number, batch in enumerate(loader):
        tell(number / total if total else 0.0)
        yield crossing(front(batch[0] if isinstance(batch, list | tuple) else batch))
