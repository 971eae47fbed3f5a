"""What a split network's tensors are compared under: no compression, 8 bits, uniform quantizers, ECSQ, JPEG and HEVC.

Surprise first: what both ends can agree on beforehand is not counted, for anyone. That is the tensor's shape, tables
and ranges from calibration, JPEG's and HEVC's headers; a range of the tensor's own is sent with it and counted.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scalecodec import features
from scalecodec.features.samples import as_samples

from .feature_pictures import JpegPictures, tile, untile
from .hevc import HevcPictures, has_hevc

Shape = tuple[int, ...]

NONE = "none"
_ECSQ_LEVELS = 16
_ENDS = struct.Struct("<2f")  # of the tensor's own range


@dataclass(frozen=True)
class TensorCodec:
    """A codec at one setting, all that an evaluation knows of it.

    Attributes
    ----------
    label : str
        Names the codec, the same at all settings.
    setting : float
        Bits, levels, target bits, quality or QP.
    encode : callable, float32 tensor [1, C, H, W] -> bytes
    decode : callable, (bytes, shape) -> float32 tensor of that shape, on the CPU
    """

    label: str
    setting: float
    encode: Callable[[Tensor], bytes]
    decode: Callable[[bytes, Shape], Tensor]


class Calibration:
    """Tensors of other pictures at the same place of the network, and what follows from them.

    Parameters
    ----------
    tensors : sequence of float32 tensor [1, C, H, W]
        Kept, not copied; C is the same for all.

    Raises
    ------
    TypeError, ValueError
        There are none, one is no such tensor, or a value is not finite.
    """

    def __init__(self, tensors: Sequence[Tensor]) -> None:
        if not tensors:
            raise ValueError("calibration needs at least one tensor")
        self.tensors = [checked(tensor) for tensor in tensors]
        self.histogram = features.Histogram(self.tensors)
        # Ranges begin at 0 only where nothing lies below it.
        self.is_rectified = self.histogram.lowest >= 0
        self._designed: dict[float, features.Quantizer] = {}

    def designed(self, target_bits: float) -> features.Quantizer:
        """ECSQ of 16 levels, at most, for a target of bits an element; once for all that ask."""
        if target_bits not in self._designed:
            self._designed[target_bits] = features.design(
                self.histogram, _ECSQ_LEVELS, c_min=0.0 if self.is_rectified else None, target_bits=target_bits
            )
        return self._designed[target_bits]


def checked(tensor: Tensor) -> Tensor:
    """The tensor itself; TypeError or ValueError where it is no float32 [1, C, H, W]."""
    if not isinstance(tensor, Tensor) or tensor.dtype is not torch.float32:
        got = tensor.dtype if isinstance(tensor, Tensor) else type(tensor).__name__
        raise TypeError(f"what crosses must be a float32 tensor, got {got}")
    if tensor.ndim != 4 or tensor.shape[0] != 1 or 0 in tensor.shape:
        raise ValueError(f"what crosses must be [1, C, H, W], got shape {tuple(tensor.shape)}")
    return tensor


def names() -> tuple[str, ...]:
    """All that can run here: "hevc" needs PyAV with x265."""
    return tuple(name for name in _FAMILIES if name != "hevc" or has_hevc())


def ladder(name: str, calibration: Calibration, settings: Sequence[float] | None = None) -> tuple[TensorCodec, ...]:
    """One codec at several settings.

    Parameters
    ----------
    name : str
        "none": float32 as it is. "linear8": 256 levels from the tensor's least to its greatest value; "linear8-zlib":
        these behind zlib's level 6. "uniform-full": a uniform quantizer of the whole range met in calibration;
        "uniform-clipped": of the range of least distortion, that of the lightweight feature codec. "ecsq-static":
        entropy-constrained quantizers, one table for all; "ecsq-context": the same quantizers, tables by channel and
        neighbours. "jpeg", "hevc": the channels side by side in one picture of 8-bit grey.
    calibration : Calibration
    settings : sequence of float, optional
        Levels of the uniform quantizers, target bits an element of "ecsq", quality 1 to 100 of JPEG, QP 0 to 51 of
        HEVC; the first three have one setting. By default those of an evaluation.

    Raises
    ------
    ValueError
        The name is unknown, or a setting is out of its range.
    ImportError
        "hevc" without PyAV; the message names the extra that brings it.
    BackendError
        "hevc" with a PyAV that was built without x265.

    Notes
    -----
    Cohen, Choi and Bajic 2021, arXiv:2105.06002: clipped range, uniform quantizer, adaptive binary codes. Here its
    symbols are coded by the frequencies met in calibration.
    """
    if name not in _FAMILIES:
        raise ValueError(f"no codec {name!r}: there are {', '.join(_FAMILIES)}")
    family = _FAMILIES[name]
    chosen = family.settings if settings is None else tuple(settings)
    if not chosen:
        raise ValueError(f"{name}: a ladder needs at least one setting")
    return tuple(TensorCodec(name, setting, *family.make(calibration, setting)) for setting in chosen)


_Pair = tuple[Callable[[Tensor], bytes], Callable[[bytes, Shape], Tensor]]


@dataclass(frozen=True)
class _Family:
    settings: tuple[float, ...]
    make: Callable[[Calibration, float], _Pair]


def _plain(calibration: Calibration, setting: float) -> _Pair:
    return lambda tensor: as_samples(tensor).tobytes(), lambda data, shape: _tensor(np.frombuffer(data, "<f4"), shape)


def to_bytes8(values: NDArray[np.float32]) -> tuple[NDArray[np.uint8], bytes]:
    """Values in 256 even steps between the least and the greatest, an array of their shape; and both ends, 8 bytes."""
    low, high = float(values.min()), float(values.max())
    step = (high - low) / 255 or 1.0  # all equal: all 0
    return np.rint((values.astype(np.float64) - low) / step).astype(np.uint8), _ENDS.pack(low, high)


def from_bytes8(bytes8: NDArray[np.uint8], ends: bytes) -> NDArray[np.float32]:
    """The values that :func:`to_bytes8` rounded."""
    low, high = _ENDS.unpack(ends)
    return (low + bytes8 * ((high - low) / 255)).astype(np.float32)


def _linear8(calibration: Calibration, setting: float, *, level: int = 0) -> _Pair:
    def encode(tensor: Tensor) -> bytes:
        bytes8, ends = to_bytes8(as_samples(tensor))
        return ends + (zlib.compress(bytes8.tobytes(), level) if level else bytes8.tobytes())

    def decode(data: bytes, shape: Shape) -> Tensor:
        body = data[_ENDS.size :]
        bytes8 = np.frombuffer(zlib.decompress(body) if level else body, np.uint8)
        return _tensor(from_bytes8(bytes8, data[: _ENDS.size]), shape)

    return encode, decode


def _uniform_full(calibration: Calibration, setting: float) -> _Pair:
    ends = calibration.histogram.span()
    return _coded(features.Quantizer.uniform(*ends, _whole(setting)), "static", calibration)


def _uniform_clipped(calibration: Calibration, setting: float) -> _Pair:
    activation = "relu" if calibration.is_rectified else None
    choice = features.choose_range(calibration.histogram, _whole(setting), activation)
    return _coded(features.Quantizer.uniform(choice.c_min, choice.c_max, choice.levels), "static", calibration)


def _ecsq(coding: str, calibration: Calibration, setting: float) -> _Pair:
    return _coded(calibration.designed(setting), coding, calibration)


def _coded(quantizer: features.Quantizer, coding: str, calibration: Calibration) -> _Pair:
    codec = features.FeatureCodec(quantizer, coding).calibrate(calibration.tensors)
    return codec.encode, lambda data, shape: codec.decode(data)


def _picture(kind: type[JpegPictures] | type[HevcPictures], calibration: Calibration, setting: float) -> _Pair:
    codec = kind(_whole(setting))

    def encode(tensor: Tensor) -> bytes:
        bytes8, ends = to_bytes8(as_samples(tensor))
        return ends + codec.encode(tile(bytes8[0]))

    def decode(data: bytes, shape: Shape) -> Tensor:
        size = _tiled_size(shape[1:])
        return _tensor(
            from_bytes8(untile(codec.decode(data[_ENDS.size :], *size), shape[1:]), data[: _ENDS.size]), shape
        )

    return encode, decode


@cache
def _tiled_size(planes: Shape) -> tuple[int, int]:
    height, width = tile(np.empty(planes, np.uint8)).shape
    return height, width


def _tensor(values: NDArray[np.float32], shape: Shape) -> Tensor:
    if values.size != math.prod(shape):
        raise ValueError(f"wanted a tensor of shape {shape}, got {values.size} elements")
    return torch.from_numpy(np.array(values, np.float32).reshape(shape))


def _whole(setting: float) -> int:
    if setting != int(setting):
        raise ValueError(f"wanted a whole number, got {setting}")
    return int(setting)


_LEVELS = (2, 3, 4, 6, 8, 12, 16)
_TARGET_BITS = (0.3, 0.5, 0.8, 1.0, 1.2, 1.4, 1.6, 2.2, 3.0)

_FAMILIES = {
    NONE: _Family((32,), _plain),
    "linear8": _Family((8,), _linear8),
    "linear8-zlib": _Family((8,), partial(_linear8, level=6)),
    "uniform-full": _Family((*_LEVELS, 24, 32, 64), _uniform_full),  # outliers take most levels from the bulk
    "uniform-clipped": _Family(_LEVELS, _uniform_clipped),
    "ecsq-static": _Family(_TARGET_BITS, partial(_ecsq, "static")),
    "ecsq-context": _Family(_TARGET_BITS, partial(_ecsq, "context")),
    "jpeg": _Family((5, 10, 20, 35, 50, 70, 85, 95), partial(_picture, JpegPictures)),
    "hevc": _Family((12, 18, 24, 30, 36, 42, 48), partial(_picture, HevcPictures)),
}
