"""How an accelerated module codes: the kind of stream, and threads."""

from __future__ import annotations

from dataclasses import dataclass

from scalecodec.batches import check_threads
from scalecodec.streams import Stream

from .lane_strings import MARKED_LANES, UNMARKED_RANS64

STREAMS = {"compressai": UNMARKED_RANS64, "lanes": MARKED_LANES}


@dataclass(frozen=True)
class Settings:
    """What :func:`scalecodec.compressai.accelerate` was asked for. Travels with copies of a model."""

    stream_name: str = "compressai"
    threads: int = 1

    def __post_init__(self) -> None:
        if self.stream_name not in STREAMS:
            raise ValueError(f"stream must be 'compressai' or 'lanes', got {self.stream_name!r}")
        check_threads(self.threads)

    @property
    def stream(self) -> Stream:
        return STREAMS[self.stream_name]
