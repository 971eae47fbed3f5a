"""Between floats and the whole numbers that stand for them."""

from __future__ import annotations

from torch import Tensor

OUTPUT_FRACTION = 16  # a network's outputs are integers in units of 2^-16
OUTPUT_LIMIT = 2**30


def as_integers(values: Tensor, fraction: int) -> Tensor:
    """Int32, of the shape of ``values``: in units of ``2^-fraction``, half to even, clamped to ``[-2^30, 2^30]``."""
    # Clamped as floats: what a cast makes of larger ones is the processor's affair.
    return (values.double() * 2.0**fraction).round().clamp(-OUTPUT_LIMIT, OUTPUT_LIMIT).int()


def from_integers(values: Tensor) -> Tensor:
    """Float32 of a network's outputs, int32."""
    return values.float() * 2.0**-OUTPUT_FRACTION
