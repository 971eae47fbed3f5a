"""CRC-32C against the vectors of RFC 3720 (appendix B.4) and against its definition, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecodec import _core

# a SCSI read (10) command, as the RFC has it
READ_COMMAND = bytes.fromhex(
    "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018 28000000 00000000 02000000 00000000"
)
VECTORS = {
    "32 zeros": (bytes(32), 0x8A9136AA),
    "32 ones": (b"\xff" * 32, 0x62A8AB43),
    "ascending": (bytes(range(32)), 0x46DD794E),
    "descending": (bytes(range(31, -1, -1)), 0x113FDB5C),
    "read command": (READ_COMMAND, 0xD9963A56),
    "digits": (b"123456789", 0xE3069283),
    "nothing": (b"", 0),
}


def slow_crc32c(data: bytes, value: int = 0) -> int:
    crc = value ^ 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


@pytest.mark.parametrize("name", VECTORS)
def test_vectors_of_the_rfc(name):
    data, expected = VECTORS[name]
    assert _core.crc32c(data) == expected
    assert slow_crc32c(data) == expected


@given(data=st.binary(max_size=300), value=st.integers(0, 2**32 - 1), cut=st.integers(0, 300))
def test_definition_and_continuation(data, value, cut):
    expected = slow_crc32c(data, value)
    assert _core.crc32c(data, value) == expected
    assert _core.crc32c(data[cut:], _core.crc32c(data[:cut], value)) == expected


def test_any_contiguous_buffer_at_any_address():
    data = np.random.default_rng(0).bytes(1024)
    for first in range(17):
        expected = slow_crc32c(data[first:])
        assert _core.crc32c(memoryview(data)[first:]) == expected
        assert _core.crc32c(bytearray(data[first:])) == expected
    assert _core.crc32c(np.frombuffer(data, ">u4").reshape(4, 64)) == slow_crc32c(data)
    with pytest.raises(ValueError, match="contiguous"):
        _core.crc32c(memoryview(data)[::2])


@pytest.mark.parametrize("value", [-1, 2**32])
def test_value_must_be_32_bits(value):
    with pytest.raises(TypeError):
        _core.crc32c(b"", value)
