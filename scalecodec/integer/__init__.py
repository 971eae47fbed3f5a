"""Networks in integers: what selects coding tables must be the same on every machine, and floats are not.

A float network's outputs differ in their last bits from one machine, thread count or layout to the next; next to a
step of the scale table one such bit changes a symbol's table, and all behind it is noise. Here the network that makes
scales and means is converted to integers after training (:func:`fit`, :func:`assemble`), at a rate cost too small to
measure, and every sum is proved not to overflow (Balle, Johnston and Minnen, ICLR 2019; Koyuncu et al. 2023,
arXiv:2312.11209).
"""

from .network import IntegerNetwork
from .numbers import (
    WEIGHT_BITS,
    LayerNumbers,
    Numbers,
    assemble,
    exponents,
    fit,
    round_weights,
)
from .structure import Exp, stages
from .thresholds import integer_indexes, scale_thresholds
from .units import as_integers, from_integers

__all__ = [
    "WEIGHT_BITS",
    "Exp",
    "IntegerNetwork",
    "LayerNumbers",
    "Numbers",
    "as_integers",
    "assemble",
    "exponents",
    "fit",
    "from_integers",
    "integer_indexes",
    "round_weights",
    "scale_thresholds",
    "stages",
]
