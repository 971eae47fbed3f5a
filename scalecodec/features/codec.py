"""The feature codec: a tensor of activations to bytes that describe themselves, and back.

Source: Cohen, Choi and Bajic 2021 (arXiv:2105.06002, arXiv:2105.07102): clip, quantize coarsely, code with the symbols'
frequencies, no retraining. Theirs are adaptive binary codes, one context a bin; ours are lanes of rANS, and tables that
may depend on the channel and on four neighbours, which takes about a third of the bytes off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from scalecodec import _core, rans
from scalecodec.batches import check_threads
from scalecodec.cdf import ID_BYTES
from scalecodec.errors import BitstreamError

from .blob import MAX_AXES, Blob, read_blob
from .calibration import Calibration
from .coding import CODINGS, Coding, channel_means, classes_of, layout
from .description import Description, counted
from .quantizer import Quantizer
from .reader import Reader, sealed
from .samples import FloatArray
from .tensors import as_output, as_values, empty, levels_as

MAX_ELEMENTS = 1 << 28  # that a decoder makes room for, unless told otherwise
_CLASSES = 4  # of channels, once their tables weigh little beside the symbols
_LARGE = 1 << 16
_MAGIC = b"SCQ\x01"  # of a codec's own bytes
_HAS_ESTIMATES = 128  # of its flags


class FeatureCodec:
    """Codes tensors of activations with one quantizer.

    Parameters
    ----------
    quantizer : Quantizer
    coding : what a symbol's table depends on: "static" nothing, "channel" the channel's class, "context" that and four
        neighbours in the plane of the last two axes
    known : tables that both ends have (:meth:`calibrate` makes them); None: each tensor's own are counted, and sent
        with it
    """

    def __init__(self, quantizer: Quantizer, coding: str = "context", known: Description | None = None) -> None:
        if coding not in CODINGS:
            raise ValueError(f"coding must be one of {', '.join(CODINGS)}, got {coding!r}")
        if not isinstance(quantizer, Quantizer):
            raise TypeError(f"quantizer must be a Quantizer, got {type(quantizer).__name__}")
        if known is not None and not (
            np.array_equal(known.levels, quantizer.levels) and known.has_context == (coding == "context")
        ):
            raise ValueError("known was calibrated for other levels, or another coding")
        self.quantizer, self.coding, self.known = quantizer, coding, known

    def calibrate(self, tensors: Iterable[FloatArray], *, threads: int = 1) -> FeatureCodec:
        """A codec whose tables are counted here, once, and never sent: for tensors of one place in a network.

        Parameters
        ----------
        tensors : as for :meth:`encode`, all of as many channels; a byte an element is kept meanwhile
        """
        gathered = Calibration(self.quantizer, self.coding)
        for tensor in tensors:
            gathered.update(tensor, self.symbols(tensor, threads=threads))
        return FeatureCodec(self.quantizer, self.coding, gathered.finish(threads))

    def symbols(self, tensor: FloatArray, *, threads: int = 1) -> NDArray[np.uint8]:
        """The symbol of each element, in an array of the tensor's shape; errors as of :meth:`encode`."""
        check_threads(threads)
        return self._symbols(*as_values(tensor), threads)

    def encode(self, tensor: FloatArray, *, threads: int = 1) -> bytes:
        """Code a tensor of floats.

        Parameters
        ----------
        tensor : float32, float16 or bfloat16, NumPy or torch, up to 16 axes, any strides and device; float64 is taken
            as float32
        threads : how many may work at once, 1 to 256; the bytes do not depend on it

        Raises
        ------
        ValueError
            A value is not finite, there are too many axes, or other channels than were calibrated.
        TypeError
            It is no tensor of floats.
        """
        check_threads(threads)
        values, dtype = as_values(tensor)
        if values.ndim > MAX_AXES:
            raise ValueError(f"a tensor may have {MAX_AXES} axes, got {values.ndim}")
        symbols = self._symbols(values, dtype, threads)
        coding = self._coding(symbols)
        parts = list(coding.read(symbols, threads))
        known = self.known or counted(self.quantizer.levels, coding, parts)
        symbols_of, indexes_of = zip(*parts, strict=True)
        streams = rans.encode_batch(symbols_of, indexes_of, known.table, threads=threads)
        return Blob(dtype, values.shape, self.id if self.known else known, known.has_context, streams).to_bytes()

    def decode(
        self, data: Any, *, threads: int = 1, max_elements: int = MAX_ELEMENTS, out: Tensor | None = None
    ) -> Tensor:
        """The tensor that :meth:`encode` quantized, on the CPU, in the dtype it had; the same bits on every machine.

        Parameters
        ----------
        data : bytes-like, of this codec, or of any that sent its tables along
        threads : how many may work at once, 1 to 256
        max_elements : a larger tensor is refused before anything is allocated: few bytes can stand for many elements
        out : contiguous CPU tensor of the coded one's shape and dtype, to decode into, and to return

        Raises
        ------
        BitstreamError
            The bytes are damaged, of another codec, or of too large a tensor.
        ValueError
            ``out`` is not such a tensor.
        """
        check_threads(threads)
        blob = read_blob(data, max_elements)
        if isinstance(blob.key, Description):
            return _decode(blob, blob.key, threads, out)
        if self.known is None or blob.key != self.id:
            ours = self.id.hex() if self.known else "not calibrated"
            raise BitstreamError(f"these bytes are of codec {blob.key.hex()}, this one is {ours}")
        if blob.has_context != self.known.has_context:
            raise BitstreamError("these bytes name the codec, and yet are coded in another way than it codes")
        _check_channels(self.known, blob.shape, BitstreamError)
        return _decode(blob, self.known, threads, out)

    def encode_batch(self, tensors: Sequence[FloatArray], *, threads: int = 1) -> list[bytes]:
        """:meth:`encode` of each, ``threads`` at a time."""
        return _map(self.encode, tensors, threads)

    def decode_batch(self, data: Sequence[Any], *, threads: int = 1, max_elements: int = MAX_ELEMENTS) -> list[Tensor]:
        """:meth:`decode` of each, ``threads`` at a time."""
        return _map(partial(self.decode, max_elements=max_elements), data, threads)

    @cached_property
    def id(self) -> bytes:
        """Eight bytes, of SHA-256 of all that decoding depends on; ValueError without calibration."""
        known = self._calibrated()
        kind = bytes([known.has_context]) + len(known.classes).to_bytes(4, "little")
        content = kind + known.to_bytes() + _floats(known.estimates)
        return hashlib.sha256(b"scalecodec features v1" + content).digest()[:ID_BYTES]

    def to_bytes(self) -> bytes:
        """A calibrated codec for :meth:`from_bytes`, thresholds and all (FORMAT.md, section 8.4)."""
        known = self._calibrated()
        flags = CODINGS.index(self.coding) | (0 if known.estimates is None else _HAS_ESTIMATES)
        head = bytes([flags]) + len(known.classes).to_bytes(4, "little") + known.to_bytes()
        return sealed(_MAGIC, head + _floats(self.quantizer.thresholds) + _floats(known.estimates))

    @classmethod
    def from_bytes(cls, data: Any) -> FeatureCodec:
        """The codec that :meth:`to_bytes` wrote; BitstreamError where the bytes are no such thing."""
        reader = Reader(data, _MAGIC, "a feature codec")
        flags, channels = reader.byte(), int.from_bytes(reader.take(4), "little")
        kind = flags & ~_HAS_ESTIMATES
        if kind >= len(CODINGS):
            raise BitstreamError(f"coding {kind} is not of this version")
        if channels > MAX_ELEMENTS:
            raise BitstreamError(f"{channels} channels, of which at most {MAX_ELEMENTS} are allowed")
        known = Description.read(reader, channels, CODINGS[kind] == "context")
        thresholds = _read_floats(reader, len(known.levels) - 1)
        if flags & _HAS_ESTIMATES:
            rows = known.num_classes * _core.ESTIMATE_BINS
            estimates = _read_floats(reader, rows * len(known.levels)).reshape(rows, len(known.levels))
            known = replace(known, estimates=estimates)
        reader.finish()
        try:
            quantizer = Quantizer(known.levels, thresholds)
        except ValueError as error:
            raise BitstreamError(str(error)) from error
        return cls(quantizer, CODINGS[kind], known)

    def _calibrated(self) -> Description:
        if self.known is None:
            raise ValueError("the codec is not calibrated: its tables are counted for each tensor")
        return self.known

    def _symbols(self, values: NDArray[Any], dtype: str, threads: int) -> NDArray[np.uint8]:
        symbols = np.empty(values.shape, np.uint8)
        bad = _core.feature_quantize(values, dtype == "bfloat16", self.quantizer.thresholds, symbols, threads)
        if bad is not None:
            raise ValueError(f"activations must be finite, element {bad} is not")
        return symbols

    def _coding(self, symbols: NDArray[np.uint8]) -> Coding:
        if self.known is not None:
            _check_channels(self.known, symbols.shape, ValueError)
            return self.known.coding(symbols.shape)
        channels = layout(symbols.shape)[0]
        many = self.coding != "static" and channels >= _CLASSES and symbols.size >= _LARGE
        classes = classes_of(channel_means(symbols), _CLASSES) if many else np.zeros(channels, np.uint8)
        return Coding(symbols.shape, self.coding == "context", classes, _CLASSES if many else 1)


def decode(data: Any, *, threads: int = 1, max_elements: int = MAX_ELEMENTS) -> Tensor:
    """:meth:`FeatureCodec.decode` of bytes that bring their tables along: no codec is needed."""
    check_threads(threads)
    blob = read_blob(data, max_elements)
    if isinstance(blob.key, Description):
        return _decode(blob, blob.key, threads, None)
    raise BitstreamError(f"these bytes are of the calibrated codec {blob.key.hex()}: it must decode them")


def _check_channels(known: Description, shape: tuple[int, ...], error: type[Exception]) -> None:
    """Only where a table depends on the channel do they have to be those that were calibrated."""
    channels = layout(shape)[0]
    if known.num_classes > 1 and channels != len(known.classes):
        raise error(f"the codec is calibrated for {len(known.classes)} channels, got {channels} in {shape}")


def _decode(blob: Blob, known: Description, threads: int, out: Tensor | None) -> Tensor:
    tensor, values = empty(blob.shape, blob.dtype) if out is None else (out, as_output(out, blob.shape, blob.dtype))
    symbols = np.empty(blob.shape, np.uint8)

    def stream(at: int, indexes: NDArray[np.uint8]) -> NDArray[np.uint8]:
        out = np.empty(len(indexes), np.uint8)
        try:
            return rans.decode(blob.streams[at], indexes, known.table, threads=threads, out=out)
        except BitstreamError:
            raise
        except ValueError as error:  # an escaped symbol that no byte holds
            raise BitstreamError(f"stream {at} of the tensor: {error}") from error

    coding = known.coding(blob.shape)
    coding.fill(symbols, stream, threads)
    if known.estimates is None:
        _core.feature_reconstruct(symbols, levels_as(known.levels, blob.dtype), values, threads)
    else:
        planes, classes = coding.planes(symbols)
        _core.feature_estimate(planes, classes, levels_as(known.estimates, blob.dtype), values, threads)
    return tensor


def _floats(values: NDArray[np.float32] | None) -> bytes:
    return b"" if values is None else values.astype("<f4").tobytes()


def _read_floats(reader: Reader, count: int) -> NDArray[np.float32]:
    values = np.frombuffer(reader.take(4 * count), "<f4").astype(np.float32)
    if not np.isfinite(values).all():
        raise BitstreamError("a threshold or an estimate is not finite")
    return values


def _map(action: Any, items: Sequence[Any], threads: int) -> list[Any]:
    check_threads(threads)
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(action, items))
