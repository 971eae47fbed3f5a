"""Hostile bytes: whatever they are, a BitstreamError or a tensor of the size they may have comes out, nothing else.

python tests/features/test_damage.py [COUNT]     # as many of each kind, default 100,000
"""

from __future__ import annotations

import resource
import sys

import numpy as np
import pytest
import torch

from scalecodec import _core, features
from scalecodec.errors import BitstreamError
from scalecodec.features import FeatureCodec, Histogram, messages

MAX_ELEMENTS = 1 << 16
TENSOR = torch.relu(torch.randn(1, 6, 12, 11, generator=torch.Generator().manual_seed(5)))
QUANTIZER = features.design(Histogram(TENSOR), 4, target_bits=1.0)


def seal(data):
    """With a right checksum, so that what is behind it is reached."""
    return data + _core.crc32c(data).to_bytes(4, "little")


def mutated(data, rng):
    """One of: bytes changed, a part cut out, repeated or moved, numbers made large; mostly with a right checksum."""
    data = bytearray(data[:-4])
    for _ in range(rng.integers(1, 4)):
        kind, at = rng.integers(6), int(rng.integers(max(1, len(data))))
        if kind == 0 and data:
            data[at % len(data)] = rng.integers(256)
        elif kind == 1 and data:
            data[at % len(data)] ^= 1 << rng.integers(8)
        elif kind == 2:
            del data[at : at + int(rng.integers(9))]
        elif kind == 3:
            data[at:at] = data[at : at + int(rng.integers(9))]
        elif kind == 4:
            data[at:at] = bytes([255] * int(rng.integers(1, 9)))
        elif len(data) > 4:  # where shape and counts stand
            data[4 + at % min(12, len(data) - 4)] = rng.choice([0, 1, 127, 128, 255])
    return seal(bytes(data)) if rng.random() < 0.95 else bytes(data)


def targets():
    """Names, valid bytes, and what reads them."""
    for coding in ("static", "channel", "context"):
        codec = FeatureCodec(QUANTIZER, coding)
        calibrated = codec.calibrate([TENSOR])
        for dtype in (torch.float32, torch.bfloat16):
            yield (
                f"{coding} {dtype}",
                codec.encode(TENSOR.to(dtype)),
                lambda b: features.decode(b, max_elements=MAX_ELEMENTS),
            )
        decode = lambda b, codec=calibrated: codec.decode(b, max_elements=MAX_ELEMENTS)  # noqa: E731
        yield f"{coding} calibrated", calibrated.encode(TENSOR), decode
        yield f"codec, {coding}", calibrated.to_bytes(), lambda b: FeatureCodec.from_bytes(b).id
    yield "handshake", messages.hello([b"12345678"] * 3), messages.read_hello
    yield "list", messages.pack([b"abc", b"", b"x" * 200]), messages.unpack
    yield "raw tensor", messages.raw(TENSOR), messages.read_raw


def attack(data, read, count, seed):
    """How many of the mutants were refused."""
    rng = np.random.default_rng(seed)
    refused = 0
    for _ in range(count):
        try:
            result = read(mutated(data, rng))
        except BitstreamError:
            refused += 1
        else:
            if isinstance(result, torch.Tensor):
                assert result.numel() <= max(MAX_ELEMENTS, TENSOR.numel())
    return refused


@pytest.mark.parametrize(
    ("data", "read"), [target[1:] for target in targets()], ids=[target[0] for target in targets()]
)
def test_mutants(data, read):
    assert attack(data, read, 400, 1) > 40


@pytest.mark.parametrize(
    "name", ["static torch.float32", "context torch.float32", "context calibrated", "codec, context"]
)
def test_every_truncation(name):
    data, read = next(target[1:] for target in targets() if target[0] == name)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            read(data[:length])
    for length in range(len(data) - 4):
        with pytest.raises(BitstreamError):
            read(seal(data[:length]))


HEAD = b"SCF\x01"
LEVELS = np.array([0, 1], "<f4").tobytes()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x03\x00", "flags 0x3"),
        (b"\x10\x00", "flags 0x10"),
        (b"\x00\x11", "17 axes"),
        (b"\x00\x01\x80\x00", "more bytes than it takes"),
        (b"\x00\x01" + b"\xff" * 9, "beyond 63 bits"),
        (b"\x00\x01\x05\x01" + LEVELS + b"\x00", "0 classes"),
        (b"\x00\x01\x05\x01" + LEVELS + b"\x0d", "13 classes"),
        (b"\x00\x03\x02\x01\x01\x01" + LEVELS + b"\x02\x30", "a channel of class 3, of which there are 2"),
        (b"\x00\x03\x01\x01\x01\x01" + LEVELS + b"\x02\x10", "behind the last channel"),
        (b"\x00\x01\x05\x01" + LEVELS + b"\x01\x01\xff\xff", "has no symbol"),
        (b"\x00\x01\x05\x01" + LEVELS + b"\x01\x03\x00\x00", "beyond the last"),
        (b"\x00\x01\x05\x01" + LEVELS[4:] + LEVELS[:4] + b"\x01", "finite and ascending"),
    ],
)
def test_every_bound_of_a_coded_tensor(content, words):
    with pytest.raises(BitstreamError, match=words):
        features.decode(seal(HEAD + content + bytes(8)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\x03" + bytes(4), "coding 3"),
        (b"\x00" + (1 << 29).to_bytes(4, "little"), "536870912 channels"),
        (b"\x00" + bytes(4) + b"\x01" + LEVELS + b"\x01\x01\x00\x00" + b"\0\0\xc0\x7f", "not finite"),
    ],
)
def test_every_bound_of_a_codec(content, words):
    with pytest.raises(BitstreamError, match=words):
        FeatureCodec.from_bytes(seal(b"SCQ\x01" + content))


def test_every_flipped_bit_is_found():
    data = FeatureCodec(QUANTIZER).encode(TENSOR)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            features.decode(bytes(damaged))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number, (name, data, read) in enumerate(targets()):
        refused = attack(data, read, count, number)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        sys.stdout.write(f"{name}: {count} mutants, {refused} refused, peak memory +{grown:.0f} MB\n")
        sys.stdout.flush()
