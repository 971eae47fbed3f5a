"""The paper's rate: truncated unary bins, each of its own adaptive binary context (arXiv:2105.06002, Section 3).

The states adapt as counts do (Krichevsky and Trofimov 1981), and what an arithmetic coder would spend is added up.
"""

from __future__ import annotations

import numpy as np


def adaptive_bits(symbols, num_levels):
    """Bits for a flat array of symbols: n ones and a zero, the zero left out behind the last."""
    total = 0.0
    for level in range(num_levels - 1):
        goes_on = symbols[symbols >= level] > level
        ones = np.concatenate([[0], np.cumsum(goes_on)[:-1]]) if len(goes_on) else np.zeros(0)
        seen = np.arange(len(goes_on))
        chance = (np.where(goes_on, ones, seen - ones) + 0.5) / (seen + 1)
        total -= np.log2(chance).sum()
    return float(total)
