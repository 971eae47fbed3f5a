"""HEVC intra frames by x265, through PyAV: of tensors as grey pictures, and of pictures."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scalecodec.errors import BackendError, BitstreamError

from .ladder import Rung, Samples

Bytes = NDArray[np.uint8]

# Intra frames at one QP, tuned for the error; one thread, and no message of x265's own in the stream.
_X265 = "qp={qp}:ipratio=1:keyint=1:bframes=0:rc-lookahead=0:info=0:log-level=none:pools=none:frame-threads=1:wpp=0"
_QPS = (17, 21, 25, 29, 33, 37, 41, 45)


def has_hevc() -> bool:
    """Whether PyAV is here, with x265."""
    try:
        _pyav()
    except (ImportError, BackendError):
        return False
    return True


class HevcPictures:
    """HEVC intra frames at a constant QP, preset medium of x265, one thread.

    Parameters
    ----------
    qp : 0 to 51
    form : "gray" for pictures [H, W], "yuv420p" or "yuv444p" for RGB [H, W, 3]

    Raises
    ------
    ValueError
        `qp` is none of these.
    ImportError
        PyAV is missing; the message names the extra that brings it.
    BackendError
        PyAV was built without x265.
    """

    def __init__(self, qp: int, form: str = "gray") -> None:
        if not 0 <= qp <= 51:
            raise ValueError(f"QP must lie in [0, 51], got {qp}")
        self.qp, self._form, self._av = qp, form, _pyav()
        self._array = "gray" if form == "gray" else "rgb24"
        self._encoders: dict[tuple[int, ...], Any] = {}

    def encode(self, picture: Bytes) -> bytes:
        """The frame of a picture, without the parameter sets."""
        encoder = self._encoder(*picture.shape[:2])
        frame = self._av.VideoFrame.from_ndarray(picture, self._array)
        packets = encoder.encode(frame if self._array == self._form else frame.reformat(format=self._form))
        data, head = b"".join(map(bytes, packets)), self.head(*picture.shape[:2])
        if not data.startswith(head):
            raise BackendError(f"x265 gave {len(data)} bytes for a frame, without its parameter sets before it")
        return data[len(head) :]

    def decode(self, data: bytes, height: int, width: int) -> Bytes:
        """uint8 [height, width], or [height, width, 3]."""
        decoder = self._av.CodecContext.create("hevc", "r")
        decoder.thread_count = 1
        decoder.extradata = self.head(height, width)
        frames = decoder.decode(self._av.Packet(data)) + decoder.decode(None)
        if len(frames) != 1:
            raise BitstreamError(f"wanted one HEVC frame, got {len(frames)}")
        found: Bytes = frames[0].to_ndarray(format=self._array)
        return found

    def head(self, height: int, width: int) -> bytes:
        """The parameter sets of a size."""
        return bytes(self._encoder(height, width).extradata)

    def _encoder(self, height: int, width: int) -> Any:
        """Opened once a size: its parameter sets are what both ends agree on."""
        if (height, width) not in self._encoders:
            encoder = self._av.CodecContext.create("libx265", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, self._form
            encoder.time_base, encoder.framerate = Fraction(1, 25), Fraction(25)
            encoder.flags |= self._av.codec.context.Flags.global_header
            encoder.options = {"preset": "medium", "tune": "psnr", "x265-params": _X265.format(qp=self.qp)}
            encoder.open()
            self._encoders[height, width] = encoder
        return self._encoders[height, width]


def _pyav() -> Any:
    try:
        import av
    except ImportError as error:
        raise ImportError("HEVC needs PyAV: pip install 'scalecodec-core[video]'") from error
    if "libx265" not in av.codecs_available:
        raise BackendError("this PyAV was built without x265")
    return av


def ladder(qps: Sequence[int] = _QPS) -> tuple[Rung, ...]:
    """Pictures as HEVC intra frames, 4:2:0, parameter sets counted; errors as of :class:`HevcPictures`."""
    return tuple(Rung("hevc", qp, partial(_encode, qp), partial(_decode, qp)) for qp in qps)


def _encode(qp: int, samples: Samples) -> bytes:
    codec = HevcPictures(qp, "yuv420p")
    size = b"".join(side.to_bytes(2, "little") for side in samples.shape[:2])
    # chroma has half the samples, and a block is no smaller than 16
    fill = [(0, max(side % 2, 16 - side)) for side in samples.shape[:2]]
    padded = np.ascontiguousarray(np.pad(samples, [*fill, (0, 0)], mode="edge"))
    return size + codec.head(*padded.shape[:2]) + codec.encode(padded)


def _decode(qp: int, data: bytes) -> Samples:
    codec = HevcPictures(qp, "yuv420p")
    height, width = int.from_bytes(data[:2], "little"), int.from_bytes(data[2:4], "little")
    coded = [side + max(side % 2, 16 - side) for side in (height, width)]
    return codec.decode(data[4 + len(codec.head(*coded)) :], *coded)[:height, :width]
