"""Entropy models: the factorized prior (EntropyBottleneck) and the Gaussian conditional, on the compiled coder.

Names, buffers, state_dict keys and arithmetic are CompressAI's, so its checkpoints load and its streams decode; the
tables are prepared once and no list is ever made. Source: Balle et al. 2018 (arXiv:1802.01436), sections 3 and 6.1.
"""

from .base import TABLE_BUFFERS, EntropyModel
from .bottleneck import EntropyBottleneck
from .gaussian import GaussianConditional
from .stepped import EXPONENTS, MAX_TABLE_ENTRIES, SteppedBottleneck, nearest_exponents

__all__ = [
    "EXPONENTS",
    "MAX_TABLE_ENTRIES",
    "TABLE_BUFFERS",
    "EntropyBottleneck",
    "EntropyModel",
    "GaussianConditional",
    "SteppedBottleneck",
    "nearest_exponents",
]
