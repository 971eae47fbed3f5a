"""What coding a symbol costs on this machine, beside other coders where they are installed: ``scalecodec bench``."""

from . import report, rivals, workloads
from .measure import FULL, QUICK, Plan, Result, Row, WrongResultError, measure
from .trial import Trial

__all__ = [
    "FULL",
    "QUICK",
    "Plan",
    "Result",
    "Row",
    "Trial",
    "WrongResultError",
    "measure",
    "report",
    "rivals",
    "workloads",
]
