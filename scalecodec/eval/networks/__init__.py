"""Small task networks to put a feature codec into: SqueezeNet 1.1 (classes), FastestDet (boxes).

Torch alone makes them; their weights come from a file at run time and are no part of the package.
"""

from __future__ import annotations

from . import fastestdet, squeezenet
from .fastestdet import FastestDet
from .squeezenet import SqueezeNet

__all__ = ["FastestDet", "SqueezeNet", "fastestdet", "squeezenet"]
