"""The frozen gain table: 256 log-spaced gains, so that a stream can carry its gain as one integer.

``gain = 1 / step``. ``GAIN_TABLE[i] = 2 ** ((i - UNIT_GAIN_INDEX) / 64)``: 64 steps an octave, from 0.0632 to exactly
1 at index 255. The table is made of IEEE square roots and products only, both exactly rounded, so every machine builds
the same bits.
"""

from __future__ import annotations

import math
from numbers import Real

UNIT_GAIN_INDEX = 255
NUM_GAINS = 256
_STEPS_PER_OCTAVE = 64


def power_of_root(exponent: int) -> float:
    """2 ** (exponent / 64), the same bits on every machine: from square roots of two alone."""
    octave, remainder = divmod(exponent, _STEPS_PER_OCTAVE)
    value, root = 1.0, 2.0
    for bit in reversed(range(6)):  # 64 == 2 ** 6: bit 5 of the remainder stands for 2 ** (1/2), bit 0 for 2 ** (1/64)
        root = math.sqrt(root)
        if remainder >> bit & 1:
            value *= root
    return math.ldexp(value, octave)


GAIN_TABLE = tuple(power_of_root(index - UNIT_GAIN_INDEX) for index in range(NUM_GAINS))


def nearest_gain_index(gain: float) -> int:
    """Index of the table's gain nearest to ``gain`` in the log domain.

    Raises
    ------
    ValueError
        ``gain`` is not a finite number inside the table's range (half a step of slack at both ends).
    """
    if isinstance(gain, bool) or not isinstance(gain, Real) or not 0 < gain < math.inf:
        raise ValueError(f"gain must be a finite positive number, got {gain!r}")
    index = round(UNIT_GAIN_INDEX + _STEPS_PER_OCTAVE * math.log2(gain))
    if not 0 <= index < NUM_GAINS:
        raise ValueError(f"gain must lie in [{GAIN_TABLE[0]:.4f}, {GAIN_TABLE[-1]:.4f}], got {gain}")
    return index


def check_gain_index(gain_index: int) -> int:
    """``gain_index`` itself, or ValueError where it is not an integer in [0, 256)."""
    if isinstance(gain_index, bool) or not isinstance(gain_index, int) or not 0 <= gain_index < NUM_GAINS:
        raise ValueError(f"gain_index must be an integer in [0, {NUM_GAINS}), got {gain_index!r}")
    return gain_index
