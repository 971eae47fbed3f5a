"""A tensor's channels side by side in one grey picture, and that picture through JPEG and HEVC.

Surprise first: headers that follow from the picture's size and the setting (JPEG's down to its quantization table,
HEVC's parameter sets) are taken off and put back by the decoder, as both ends can agree on them: 81 bytes of HEVC
would otherwise be up to 0.07 bit an element of a small tensor.
"""

from __future__ import annotations

import io
import math
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scalecodec.errors import BackendError, BitstreamError

Bytes = NDArray[np.uint8]

_SMALLEST = 16  # side that x265 takes
_JPEG_TABLES = 0xC4  # marker of the Huffman tables, which are the picture's own
# Intra frames at one QP, tuned for the error; one thread, and no message of x265's own in the stream.
_X265 = "qp={qp}:ipratio=1:keyint=1:bframes=0:rc-lookahead=0:info=0:log-level=none:pools=none:frame-threads=1:wpp=0"


def tile(planes: Bytes) -> Bytes:
    """Channels [C, H, W], row by row, in one picture that is nearly square; what no channel fills is 0.

    Parameters
    ----------
    planes : uint8 [C, H, W], none of them 0

    Returns
    -------
    uint8 [rows * H, columns * W], a copy; at least 16 a side
    """
    channels, height, width = planes.shape
    rows, columns = _grid(channels, height, width)
    filled = np.zeros((rows * columns, height, width), np.uint8)
    filled[:channels] = planes
    picture = filled.reshape(rows, columns, height, width).swapaxes(1, 2).reshape(rows * height, columns * width)
    missing = [(0, max(0, _SMALLEST - side)) for side in picture.shape]
    return np.ascontiguousarray(np.pad(picture, missing))


def untile(picture: Bytes, shape: tuple[int, ...]) -> Bytes:
    """The channels [C, H, W] of ``shape`` that :func:`tile` put there; a copy."""
    channels, height, width = shape
    rows, columns = _grid(channels, height, width)
    inner = picture[: rows * height, : columns * width].reshape(rows, height, columns, width)
    return np.ascontiguousarray(inner.swapaxes(1, 2)).reshape(-1, height, width)[:channels]


class JpegPictures:
    """Baseline JPEG with Huffman tables made for each picture, by Pillow.

    Parameters
    ----------
    quality : 1 to 100

    Raises
    ------
    ValueError
        `quality` is none of these.
    """

    def __init__(self, quality: int) -> None:
        if not 1 <= quality <= 100:
            raise ValueError(f"quality must lie in [1, 100], got {quality}")
        self.quality = quality

    def encode(self, picture: Bytes) -> bytes:
        """The file of a picture uint8 [height, width], from its Huffman tables on."""
        return _jpeg(picture, self.quality)[len(_jpeg_head(*picture.shape, self.quality)) :]

    def decode(self, data: bytes, height: int, width: int) -> Bytes:
        """uint8 [height, width]."""
        whole = _jpeg_head(height, width, self.quality) + data
        return np.asarray(Image.open(io.BytesIO(whole), formats=["JPEG"]))


def _jpeg(picture: Bytes, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, optimize=True)
    return buffer.getvalue()


@cache
def _jpeg_head(height: int, width: int, quality: int) -> bytes:
    """The segments before the Huffman tables, which any picture of this size and quality has."""
    whole = _jpeg(np.zeros((height, width), np.uint8), quality)
    at = 2
    while whole[at + 1] != _JPEG_TABLES:
        at += 2 + int.from_bytes(whole[at + 2 : at + 4], "big")
    return whole[:at]


def has_hevc() -> bool:
    """Whether PyAV is here, with x265."""
    try:
        _pyav()
    except (ImportError, BackendError):
        return False
    return True


class HevcPictures:
    """HEVC intra frames at a constant QP, 4:0:0, preset medium of x265, one thread.

    Parameters
    ----------
    qp : 0 to 51

    Raises
    ------
    ValueError
        `qp` is none of these.
    ImportError
        PyAV is missing; the message names the extra that brings it.
    BackendError
        PyAV was built without x265.
    """

    def __init__(self, qp: int) -> None:
        if not 0 <= qp <= 51:
            raise ValueError(f"QP must lie in [0, 51], got {qp}")
        self.qp, self._av = qp, _pyav()
        self._encoders: dict[tuple[int, ...], Any] = {}

    def encode(self, picture: Bytes) -> bytes:
        """The frame of a picture uint8 [height, width], without the parameter sets."""
        encoder = self._encoder(*picture.shape)
        packets = encoder.encode(self._av.VideoFrame.from_ndarray(picture, "gray"))
        data, head = b"".join(map(bytes, packets)), bytes(encoder.extradata)
        if not data.startswith(head):
            raise BackendError(f"x265 gave {len(data)} bytes for a frame, without its parameter sets before it")
        return data[len(head) :]

    def decode(self, data: bytes, height: int, width: int) -> Bytes:
        """uint8 [height, width]."""
        decoder = self._av.CodecContext.create("hevc", "r")
        decoder.thread_count = 1
        decoder.extradata = bytes(self._encoder(height, width).extradata)
        frames = decoder.decode(self._av.Packet(data)) + decoder.decode(None)
        if len(frames) != 1:
            raise BitstreamError(f"wanted one HEVC frame, got {len(frames)}")
        return frames[0].to_ndarray()

    def _encoder(self, height: int, width: int) -> Any:
        """Opened once a size: its parameter sets are what both ends agree on."""
        if (height, width) not in self._encoders:
            encoder = self._av.CodecContext.create("libx265", "w")
            encoder.width, encoder.height, encoder.pix_fmt = width, height, "gray"
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


def _grid(channels: int, height: int, width: int) -> tuple[int, int]:
    """Rows and columns of tiles."""
    columns = min(channels, max(1, round(math.sqrt(channels * height / width))))
    return -(-channels // columns), columns
