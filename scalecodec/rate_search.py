"""The largest file within a budget, in few encodings."""

from __future__ import annotations

import math
from collections.abc import Callable

_CLOSE = 0.98  # a file this near to its budget is near enough
_PATIENCE = 8  # encodings until interpolation gives way to bisection


def largest_within(encode: Callable[[int], bytes], num_settings: int, budget: int) -> bytes:
    """The result of ``encode(i)``, ``i`` in [0, num_settings), that is largest but not over ``budget`` bytes.

    Sizes must grow with ``i``, near enough to exponentially for the search to be short: it interpolates log size
    between the two ends of its bracket, and stops at 98 % of the budget. Five or six encodings on photographs; whatever
    the sizes, no more than 8 and then one for each halving of what is left.

    Raises
    ------
    ValueError
        Even ``encode(0)`` is larger.
    """
    low, high = 0, num_settings - 1
    best = encode(low)
    if len(best) > budget:
        raise ValueError(f"target_bytes is {budget}, but this picture takes {len(best)} bytes at the least")
    top = encode(high)
    if len(top) <= budget:
        return top
    low_size, high_size = len(best), len(top)
    tries = 2
    while high - low > 1 and len(best) < _CLOSE * budget:
        share = math.log(budget * (1 + _CLOSE) / 2 / low_size) / math.log(high_size / low_size)
        # Never less than an eighth of the bracket from its ends: a curve that bends must not make the steps tiny.
        margin = max(1, (high - low) // (8 if tries < _PATIENCE else 2))
        tries += 1
        middle = min(max(round(low + share * (high - low)), low + margin), high - margin)
        blob = encode(middle)
        if len(blob) <= budget:
            low, low_size, best = middle, len(blob), blob
        else:
            high, high_size = middle, len(blob)
    return best
