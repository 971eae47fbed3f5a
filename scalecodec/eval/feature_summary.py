"""From accuracies at several settings to one number a codec: the least bits an element that lose at most a point."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .feature_accuracy import Row
from .feature_codecs import NONE

MARGIN = 0.01  # of accuracy that may be lost: one point
_ROUNDING = 1e-9


@dataclass(frozen=True)
class Reach:
    """The least bits an element at which a codec keeps to `target`.

    Attributes
    ----------
    split, codec, metric : str
    uncompressed, target : float
        Accuracy without a codec, and what may be left of it.
    bits_per_element : float or None
        As `least_bits` has it; None where no setting reaches the target.
    is_bound : bool
        The cheapest setting measured reaches it already: fewer bits may do.
    """

    split: str
    codec: str
    metric: str
    uncompressed: float
    target: float
    bits_per_element: float | None
    is_bound: bool


def least_bits(curve: Iterable[tuple[float, float]], target: float) -> tuple[float | None, bool]:
    """The least bits at which accuracy reaches ``target``, and whether that is a bound only.

    Parameters
    ----------
    curve : iterable of (bits an element, accuracy), in any order
    target : accuracy

    Returns
    -------
    bits : float or None
        Where the piecewise-linear curve through the monotone envelope reaches the target: of the settings in order of
        bits, those that beat every cheaper one. None: no setting reaches it.
    is_bound : bool
        The cheapest setting reaches it; nothing is extrapolated below.

    Notes
    -----
    The envelope takes the luckier of two settings, for every codec: with few pictures all results are a little too
    small.
    """
    before: tuple[float, float] | None = None
    for bits, accuracy in sorted(curve, key=lambda point: (point[0], -point[1])):
        if not (math.isfinite(bits) and math.isfinite(accuracy)):
            raise ValueError(f"a curve must be finite, got {bits} bits and accuracy {accuracy}")
        if accuracy >= target - _ROUNDING:
            if before is None:
                return bits, True
            part = min(1.0, (target - before[1]) / (accuracy - before[1]))
            return before[0] + part * (bits - before[0]), False
        if before is None or accuracy > before[1]:
            before = bits, accuracy
    return None, False


def summary(rows: Sequence[Row], margin: float = MARGIN) -> list[Reach]:
    """For each split and codec, the least bits that lose at most ``margin`` of the uncompressed accuracy.

    Raises
    ------
    ValueError
        A split has no row of "none".
    """
    reaches = []
    for split in dict.fromkeys(row.split for row in rows):
        here = [row for row in rows if row.split == split]
        plain = [row for row in here if row.codec == NONE]
        if not plain:
            raise ValueError(f"{split}: no row of {NONE!r} to compare with")
        uncompressed = plain[0].accuracy
        for codec in dict.fromkeys(row.codec for row in here):
            curve = [(row.bits_per_element, row.accuracy) for row in here if row.codec == codec]
            bits, is_bound = least_bits(curve, uncompressed - margin)
            bound = is_bound and len(curve) > 1  # a codec of one setting has no cheaper one
            reaches.append(Reach(split, codec, plain[0].metric, uncompressed, uncompressed - margin, bits, bound))
    return reaches
