"""CompressAI's own autoregressive loops: with torch's arithmetic, operation by operation, but for their lists; and as
they stand, on our coder.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from scalecodec import rans64
from scalecodec.cdf import CdfTable
from scalecodec.errors import BitstreamError

from . import ans

T = TypeVar("T")

_LIMIT = 2.0**31 - 128  # float32 has none between it and 2^31


@torch.no_grad()
def encode_as_stock(codec: Any, y: Tensor, params: Tensor, table: CdfTable) -> tuple[list[bytes], Tensor]:
    """Strings and decoded latents."""
    items = [_encode_item(codec, y[i : i + 1], params[i : i + 1], table) for i in range(len(y))]
    return [string for string, _ in items], torch.cat([y_hat for _, y_hat in items])


@torch.no_grad()
def decode_as_stock(codec: Any, strings: Sequence[bytes], params: Tensor, table: CdfTable) -> Tensor:
    """Decoded latents; BitstreamError where a string is damaged, or other arithmetic made it."""
    return torch.cat([_decode_item(codec, string, params[i : i + 1], table) for i, string in enumerate(strings)])


def decode_with_fallback(compiled: Callable[[], T], own: Callable[[], T]) -> T:
    """What ``compiled`` gives; where a string does not decode so, what torch's own loop gives, with a warning.

    Raises
    ------
    BitstreamError
        Neither decodes it: that of ``compiled``.
    """
    try:
        return compiled()
    except BitstreamError as error:
        first = error
    try:
        decoded = own()
    except BitstreamError:
        raise first from None
    warnings.warn("a string did not decode with the compiled loop: torch's own was used", stacklevel=4)
    return decoded


def _encode_item(codec: Any, y: Tensor, params: Tensor, table: CdfTable) -> tuple[bytes, Tensor]:
    conditional, encoder = codec.gaussian_conditional, rans64.Encoder()

    def settle(h: int, w: int, indexes: Tensor, means: Tensor) -> Tensor:
        latents = y[:, :, h, w]
        if not bool(((latents - means).abs() < _LIMIT).all()):  # not so for NaN
            raise ValueError(
                f"latents must be finite and, less their mean, round to int32, got one at row {h}, column {w}"
            )
        symbols = conditional.quantize(latents, "symbols", means)
        encoder.append(symbols, indexes, table)
        return symbols

    y_hat = _walk(codec, params, settle)
    return encoder.flush(), y_hat


def _decode_item(codec: Any, string: bytes, params: Tensor, table: CdfTable) -> Tensor:
    decoder = rans64.Decoder(string)
    y_hat = _walk(codec, params, lambda h, w, indexes, means: torch.from_numpy(decoder.decode(indexes, table)))
    decoder.finish()
    return y_hat


def _walk(codec: Any, params: Tensor, settle: Callable[[int, int, Tensor, Tensor], Tensor]) -> Tensor:
    """One item in raster order; ``settle`` gives the symbols of a position from its indexes and means."""
    conditional, context = codec.gaussian_conditional, codec.context_prediction
    kernel, pad = context.kernel_size[0], context.kernel_size[0] // 2
    weight = context.weight * context.mask
    height, width = params.shape[2:]
    y_hat = params.new_zeros(1, context.in_channels, height + 2 * pad, width + 2 * pad)
    for h in range(height):
        for w in range(width):
            ctx = F.conv2d(y_hat[:, :, h : h + kernel, w : w + kernel], weight, bias=context.bias)
            both = codec.entropy_parameters(torch.cat((params[:, :, h : h + 1, w : w + 1], ctx), dim=1))
            scales, means = both.squeeze(3).squeeze(2).chunk(2, 1)
            symbols = settle(h, w, conditional.build_indexes(scales), means)
            y_hat[:, :, h + pad, w + pad] = symbols.type_as(means) + means
    return F.pad(y_hat, (-pad, -pad, -pad, -pad))


def on_our_coder(function: Any) -> Any:
    """A function of CompressAI's with our coder where it says BufferedRansEncoder or RansDecoder.

    Streams that it decodes must end where it stops: BitstreamError otherwise.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        begun: list[ans.RansDecoder] = []

        def begin() -> ans.RansDecoder:
            begun.append(ans.RansDecoder())
            return begun[-1]

        seen = {**function.__globals__, "BufferedRansEncoder": ans.BufferedRansEncoder, "RansDecoder": begin}
        ours = FunctionType(function.__code__, seen, function.__name__, function.__defaults__, function.__closure__)
        result = ours(*args, **kwargs)
        for decoder in begun:
            decoder.finish()
        return result

    return run
