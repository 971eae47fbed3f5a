"""Alpha planes come back bit for bit, and nothing but a whole plane of the right size comes back at all."""

from __future__ import annotations

import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from scalecodec.alpha import decode_alpha, encode_alpha
from scalecodec.errors import BitstreamError

planes = st.one_of(
    npst.arrays(dtype, st.tuples(st.integers(1, 30), st.integers(1, 30))) for dtype in (np.uint8, np.uint16)
)


def decoded(data, plane):
    return decode_alpha(data, *plane.shape, 8 * plane.itemsize)


@given(plane=planes)
def test_every_plane_comes_back(plane):
    before = plane.copy()
    out = decoded(encode_alpha(plane), plane)
    assert out.dtype == plane.dtype
    assert out.dtype.isnative
    assert np.array_equal(out, before)
    assert np.array_equal(plane, before), "the caller's array was changed"


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_strides_do_not_matter(dtype):
    plane = np.random.default_rng(1).integers(0, np.iinfo(dtype).max + 1, (40, 50, 3)).astype(dtype)
    for view in (plane[..., 1], plane[::-2, ::3, 0], plane[..., 2].T):
        assert np.array_equal(decoded(encode_alpha(view), view), view)
        assert encode_alpha(view) == encode_alpha(view.copy())


def test_the_format_is_the_documented_one():
    plane = np.array([[1, 2], [0, 2], [255, 3]], np.uint8)
    assert zlib.decompress(encode_alpha(plane)) == bytes([1, 2, 255, 0, 255, 1])
    deep = np.array([[0x0102, 0xFFFF], [0x0101, 0x0001]], np.uint16)
    low, high = [0x02, 0xFF, 0xFF, 0x02], [0x01, 0xFF, 0xFF, 0x00]
    assert zlib.decompress(encode_alpha(deep)) == bytes(low + high)
    assert np.array_equal(decoded(zlib.compress(bytes(low + high), 0), deep), deep)


def test_plain_planes_are_small():
    ramp = np.arange(1000, dtype=np.uint16)[:, None] * 60 + np.zeros((1, 800), np.uint16)
    for plane in (np.full((1000, 800), 255, np.uint8), ramp):
        assert len(encode_alpha(plane)) < 2500


@given(plane=planes, data=st.data())
@settings(max_examples=200)
def test_damage_is_an_error_or_goes_unseen_by_the_values(plane, data):
    coded = bytearray(encode_alpha(plane))
    position = data.draw(st.integers(0, len(coded) - 1))
    coded[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        out = decoded(bytes(coded), plane)
    except BitstreamError:
        return
    assert np.array_equal(out, plane)  # a bit of the zlib header that says nothing of the content


def test_every_truncation_and_every_tail_is_an_error():
    plane = np.random.default_rng(2).integers(0, 256, (9, 11), dtype=np.uint8)
    coded = encode_alpha(plane)
    for damaged in (*(coded[:end] for end in range(len(coded))), coded + b"\0", coded * 2):
        with pytest.raises(BitstreamError, match="alpha plane"):
            decoded(damaged, plane)


@pytest.mark.parametrize(("height", "width", "depth"), [(9, 10, 8), (10, 9, 8), (9, 11, 16), (1, 1, 8), (12, 11, 8)])
def test_a_plane_of_another_size_is_an_error(height, width, depth):
    with pytest.raises(BitstreamError, match=f"{height * width * depth // 8} bytes exactly"):
        decode_alpha(encode_alpha(np.zeros((9, 11), np.uint8)), height, width, depth)


def test_a_bomb_takes_no_more_than_the_plane():
    bomb = zlib.compress(bytes(100 << 20), 9)
    tracemalloc.start()
    try:
        with pytest.raises(BitstreamError):
            decode_alpha(bomb, 1000, 1000, 8)
        assert tracemalloc.get_traced_memory()[1] < 4e6
    finally:
        tracemalloc.stop()
