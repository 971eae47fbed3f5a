"""The largest file within a budget, in few encodings."""

from __future__ import annotations

import math
from collections.abc import Callable

_CLOSE = 0.99  # a file this near to its budget is near enough
_REACH = 1.02  # one this far over it may be shrunk into it
_MOST_SHRINK = 0.12
_PATIENCE = 8  # encodings until interpolation gives way to bisection
# Over the share u of the settings, the log size of photographs goes with u - _BEND * u^2; from end to end it grows by
# _GROWTH (Kodak, means over 24 pictures: 0.126 bits a pixel at u = 0, 0.626 at 1/2, 1.464 at 1).
_BEND, _GROWTH = 0.38, 2.45

Encode = Callable[[int, float], bytes]


def largest_within(encode: Encode, num_settings: int, budget: int) -> bytes:
    """The largest of the results of ``encode(i, shrink)`` that were tried and are not over ``budget`` bytes.

    Sizes must grow with ``i`` in [0, num_settings), near enough as those of photographs do for the search to be short:
    it knows how their logarithms bend, interpolates along that, and stops at 99 % of the budget. Where a setting is up
    to 2 % over, its file is shrunk: ``shrink``, in steps, is what the encoder takes off every residual's size before it
    rounds it. A few hundredths cost no more quality than a lower setting would. Three to six encodings on photographs;
    whatever the sizes, no more than 8, then one for each halving of what is left, and three for each of two shrinkings.

    Raises
    ------
    ValueError
        Even ``encode(0, 0.0)`` is larger.
    """
    low, high = -1, num_settings  # settings up to `low` fit, those from `high` on do not
    sizes: dict[int, int] = {}
    best = b""
    shrunk: set[int] = set()
    while high - low > 1:
        setting = _next_setting(sizes, low, high, num_settings, budget)
        blob = encode(setting, 0.0)
        sizes[setting] = len(blob)
        if len(blob) <= budget:
            low, best = setting, max(best, blob, key=len)
        else:
            high = setting
        if high == 0:
            raise ValueError(f"target_bytes is {budget}, but this picture takes {sizes[0]} bytes at the least")
        if len(best) >= _CLOSE * budget:
            return best
        is_time = not shrunk or high - low == 1  # the first that is near enough, and the last
        if is_time and high not in shrunk and sizes.get(high, math.inf) <= _REACH * budget:
            best = max(best, _shrunk(encode, high, sizes[high], budget), key=len)
            shrunk.add(high)
            if len(best) >= _CLOSE * budget:
                return best
    return best


def _next_setting(sizes: dict[int, int], low: int, high: int, num_settings: int, budget: int) -> int:
    """Strictly between ``low`` and ``high``."""
    if not sizes or len(sizes) >= _PATIENCE:
        return (low + high) // 2
    last = num_settings - 1

    def bent(setting: int) -> float:
        share = setting / max(1, last)
        return share - _BEND * share**2

    # The two settings known around the budget, or the two nearest to it on one side.
    known = sorted(sizes, key=lambda setting: abs(math.log(sizes[setting] / budget)))
    around = [setting for setting in (low, high) if setting in sizes]
    one, other = around if len(around) == 2 else (known[0], known[1] if len(known) > 1 else None)
    slope = _GROWTH / (1 - _BEND)
    if other is not None and sizes[one] != sizes[other]:
        found = math.log(sizes[one] / sizes[other]) / (bent(one) - bent(other))
        slope = min(max(found, slope / 3), slope * 3)
    wanted = bent(known[0]) + math.log(1.003 * budget / sizes[known[0]]) / slope
    # The root of share - _BEND * share^2 = wanted.
    share = (1 - math.sqrt(max(0.0, 1 - 4 * _BEND * min(wanted, 1 / (4 * _BEND))))) / (2 * _BEND)
    return min(max(round(share * last), low + 1), high - 1)


def _shrunk(encode: Encode, setting: int, size: int, budget: int) -> bytes:
    """The largest of three shrunk results that is within the budget; empty where none is."""
    best = b""
    wanted = math.log((1 + _CLOSE) / 2 * budget / size)  # of the log size: to grow by this, which is below 0
    slope = -1.2  # of the log size over the shrink, of photographs at middling rates
    for _ in range(3):
        shrink = min(wanted / slope, _MOST_SHRINK)
        blob = encode(setting, shrink)
        change = math.log(len(blob) / size)
        if len(blob) <= budget:
            best = max(best, blob, key=len)
        if len(best) >= _CLOSE * budget or change >= 0:  # some models cannot shrink
            break
        slope = change / shrink
    return best
