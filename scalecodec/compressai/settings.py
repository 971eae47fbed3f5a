"""How an accelerated module codes: the kind of stream, threads, and which scales."""

from __future__ import annotations

from dataclasses import dataclass

from scalecodec.batches import check_threads
from scalecodec.streams import Stream

from .lane_strings import UNMARKED_RANS64, Marks

STREAMS = ("compressai", "lanes")


@dataclass(frozen=True)
class Settings:
    """What :func:`scalecodec.compressai.accelerate` was asked for. Travels with copies of a model.

    ``scales_id``: of the integer networks that make the scales, empty where those are floats.
    """

    stream_name: str = "compressai"
    threads: int = 1
    scales_id: bytes = b""

    def __post_init__(self) -> None:
        if self.stream_name not in STREAMS:
            raise ValueError(f"stream must be 'compressai' or 'lanes', got {self.stream_name!r}")
        check_threads(self.threads)

    @property
    def marks(self) -> Marks:
        return Marks(self.scales_id)

    @property
    def stream(self) -> Stream:
        return UNMARKED_RANS64 if self.stream_name == "compressai" else self.marks.stream()
