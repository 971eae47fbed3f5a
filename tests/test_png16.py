"""16-bit PNG: our reader against a slow encoder and against Pillow, our writer against both, and hostile files."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scalecodec import image, png16, png_filters
from scalecodec.errors import BitstreamError

from . import png_oracle as oracle

RNG = np.random.default_rng(16)
CHANNELS = (1, 2, 3, 4)


def noise(height: int, width: int, channels: int, dtype: type = np.uint16) -> npt.NDArray[np.generic]:
    """Noise on a slope, so that each filter has something to gain."""
    slope = np.arange(height)[:, None, None] * 811 + np.arange(width)[None, :, None] * 389
    return ((slope + RNG.integers(0, 60, (height, width, channels))) % (np.iinfo(dtype).max + 1)).astype(dtype)


def with_pillow(data: bytes) -> npt.NDArray[np.generic]:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("filters", [(0,), (1,), (2,), (3,), (4,), (0, 1, 2), (4, 3, 2, 1, 0), (3, 0, 4)])
def test_every_filter_is_undone(filters: tuple[int, ...], channels: int, interlace: bool) -> None:
    samples = noise(13, 11, channels)
    assert np.array_equal(image.read(oracle.png(samples, filters, interlace)).samples, samples)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of Pillow, on EXIF
@given(st.data())
def test_any_content_under_sound_checksums(data: st.DataObject) -> None:
    bodies = {
        b"IHDR": oracle.header(3, 2, data.draw(st.sampled_from([8, 16])), 2)[8:-4],
        b"iCCP": b"n\0\0" + zlib.compress(b"profile"),
        b"tRNS": bytes(6),
        b"eXIf": b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0",
        b"IDAT": zlib.compress(bytes(38)),
    }
    kind = data.draw(st.sampled_from(list(bodies)))
    body = bytearray(bodies[kind])
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), max_size=4)):
        body[position] = data.draw(st.integers(0, 255))
    bodies[kind] = bytes(body[: data.draw(st.integers(0, len(body)))] if data.draw(st.booleans()) else body)
    chunks = b"".join(oracle.chunk(*item) for item in bodies.items())
    try:
        picture = image.read(oracle.SIGNATURE + chunks + oracle.chunk(b"IEND"))
    except BitstreamError:
        return
    assert picture.samples.size <= 1032 * len(chunks)


@given(st.data())
def test_any_filters_on_any_size(data: st.DataObject) -> None:
    height, width, channels = (data.draw(st.integers(1, most)) for most in (9, 9, 4))
    filters = data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=9))
    flat = data.draw(
        st.lists(st.integers(0, 65535), min_size=height * width * channels, max_size=height * width * channels)
    )
    samples = np.array(flat, np.uint16).reshape(height, width, channels)
    assert np.array_equal(image.read(oracle.png(samples, filters, data.draw(st.booleans()))).samples, samples)
    assert np.array_equal(image.read(png16.encode(samples)).samples, samples)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (2, 3), (5, 5), (8, 8), (9, 17)])
@pytest.mark.parametrize("channels", [1, 3])
def test_interlaced_files_read_as_pillow_reads_them(size: tuple[int, int], channels: int) -> None:
    data = oracle.png(noise(*size, channels), (4, 1, 3), interlace=True)
    ours, theirs = image.read(data).samples, with_pillow(data)
    assert np.array_equal(ours[:, :, 0] if channels == 1 else ours >> 8, theirs)


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_filters_chosen_by_pillow(mode: str) -> None:
    channels = len(mode)
    top, bottom = noise(40, 60, channels, np.uint8), RNG.integers(0, 256, (20, 60, channels)).astype(np.uint8)
    pixels = np.concatenate((top, bottom, np.repeat(bottom[:1], 20, axis=0), np.repeat(bottom[:, :1], 60, axis=1)))
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels).save(buffer, "PNG")
    chunks = png16.parse(buffer.getvalue())
    rows = np.frombuffer(zlib.decompress(chunks.data), np.uint8).reshape(len(pixels), -1)
    assert len(set(rows[:, 0])) >= 4
    assert np.array_equal(png_filters.unfilter_rows(rows, channels), pixels.reshape(len(pixels), -1))


def test_sixteen_bit_grey_written_by_pillow() -> None:
    samples = noise(31, 45, 1)
    buffer = io.BytesIO()
    Image.fromarray(samples[:, :, 0]).save(buffer, "PNG")
    assert np.array_equal(image.read(buffer.getvalue()).samples, samples)


@pytest.mark.parametrize("channels", CHANNELS)
def test_what_we_write_pillow_reads(channels: int) -> None:
    samples = noise(70, 33, channels)
    theirs = with_pillow(png16.encode(samples))
    if channels == 1:
        assert np.array_equal(theirs, samples[:, :, 0])
    else:  # Pillow keeps the high bytes, and has no 16-bit LA: it makes RGBA
        expected = (samples >> 8)[:, :, [0, 0, 0, 1]] if channels == 2 else samples >> 8
        assert np.array_equal(theirs, expected)


@pytest.mark.parametrize("rows", [noise(9, 7, 3, np.uint8), RNG.integers(0, 256, (150, 5, 6)).astype(np.uint8)])
def test_our_filters_cost_the_least_of_five(rows: npt.NDArray[np.uint8]) -> None:
    height, pixel_bytes = rows.shape[0], rows.shape[2]
    flat = rows.reshape(height, -1)
    out = png_filters.filter_rows(flat, pixel_bytes)
    assert np.array_equal(png_filters.unfilter_rows(out, pixel_bytes), flat)

    def cost(filtered: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
        return np.abs(filtered[:, 1:].view(np.int8).astype(np.int64)).sum(axis=1)

    for kind in range(5):
        one = np.frombuffer(oracle.filtered(flat, pixel_bytes, (kind,)), np.uint8).reshape(height, -1)
        assert (cost(out) <= cost(one)).all()
        assert np.array_equal(out[out[:, 0] == kind], one[out[:, 0] == kind])


def test_smooth_pictures_shrink() -> None:
    slope = (np.arange(64)[:, None, None] * 500 + np.arange(64)[None, :, None] * 300 + np.arange(3)).astype(np.uint16)
    assert len(png16.encode(slope)) < slope.nbytes / 20


@pytest.mark.parametrize("channels", [1, 3])
def test_a_transparent_colour_becomes_alpha(channels: int) -> None:
    samples = noise(5, 6, channels)
    key = samples[2, 3].astype(">u2").tobytes()
    picture = image.read(oracle.png(samples, extra=oracle.chunk(b"tRNS", key)))
    alpha = np.where((samples == samples[2, 3]).all(axis=2), 0, 65535)
    assert picture.samples.dtype == np.uint16
    assert alpha[2, 3] == 0
    assert np.array_equal(picture.samples, np.concatenate((samples, alpha[:, :, None]), axis=2))
    with pytest.raises(BitstreamError, match="tRNS of 1 bytes"):
        image.read(oracle.png(samples, extra=oracle.chunk(b"tRNS", b"\0")))


def test_profile_and_pieces() -> None:
    samples, profile = noise(5, 6, 3), bytes(range(256)) * 3
    data = png16.encode(samples, profile)
    assert image.read(data).icc_profile == profile
    assert Image.open(io.BytesIO(data)).info["icc_profile"] == profile
    packed = zlib.compress(oracle.picture_data(samples))
    pieces = b"".join(oracle.chunk(b"IDAT", packed[i : i + 7]) for i in range(0, len(packed), 7)) + oracle.chunk(
        b"IDAT"
    )
    head = oracle.SIGNATURE + oracle.header(6, 5, 16, 2)
    note, palette = oracle.chunk(b"tEXt", b"a\0b"), oracle.chunk(b"PLTE", b"abc")
    whole = head + note + palette + pieces + note + oracle.chunk(b"IEND") + b"trailing bytes are left alone"
    assert np.array_equal(image.read(whole).samples, samples)


SMALL = (
    oracle.png(noise(3, 4, 3), (4, 3, 1)),
    oracle.png(noise(3, 4, 3, np.uint8), (4, 3, 1)),  # goes to Pillow after our check
    png16.encode(noise(2, 2, 2), b"profile"),
)


@pytest.mark.parametrize("data", SMALL)
def test_a_file_cut_anywhere(data: bytes) -> None:
    assert image.read(data)
    for length in range(len(data)):
        with pytest.raises(BitstreamError):
            image.read(data[:length])


@pytest.mark.parametrize("data", SMALL)
def test_a_file_changed_anywhere(data: bytes) -> None:
    for position in range(len(data)):
        for flip in (0x01, 0x20, 0xFF):
            changed = bytearray(data)
            changed[position] ^= flip
            with pytest.raises(BitstreamError):
                image.read(changed)


def test_a_wrong_crc_is_named() -> None:
    data = bytearray(SMALL[1])
    data[-20] ^= 1
    with pytest.raises(BitstreamError, match="wrong CRC in chunk 'IDAT'"):
        image.read(data)


def small(head: bytes = b"", *chunks: bytes) -> bytes:
    return oracle.SIGNATURE + (head or oracle.header(2, 2, 16, 0)) + b"".join(chunks) + oracle.chunk(b"IEND")


PLAIN = oracle.picture_data(np.zeros((2, 2, 1), np.uint16))
IDAT = oracle.chunk(b"IDAT", zlib.compress(PLAIN))
BROKEN = {
    "no header": (oracle.SIGNATURE + oracle.chunk(b"IEND"), "IHDR must be the first"),
    "header late": (oracle.SIGNATURE + IDAT + small()[8:], "IHDR must be the first"),
    "header twice": (small(oracle.header(2, 2, 16, 0) * 2, IDAT), "IHDR must be the first"),
    "header short": (small(oracle.chunk(b"IHDR", b"12 bytes....")), "IHDR of 12 bytes"),
    "depth": (small(oracle.header(2, 2, 4, 2), IDAT), "breaks the standard"),
    "colour type": (small(oracle.header(2, 2, 16, 5), IDAT), "breaks the standard"),
    "palette of 16 bits": (small(oracle.header(2, 2, 16, 3), IDAT), "breaks the standard"),
    "interlacing": (small(oracle.header(2, 2, 16, 0, 2), IDAT), "breaks the standard"),
    "no rows": (small(oracle.header(2, 0, 16, 0), IDAT), "or empty"),
    "no columns": (small(oracle.header(0, 2, 16, 0), IDAT), "or empty"),
    "too wide": (small(oracle.header(32769, 1, 16, 0), IDAT), "32769x1 is over"),
    "too high": (small(oracle.header(1, 32769, 8, 0), IDAT), "1x32769 is over"),
    "no data": (small(), "no picture data"),
    "empty data": (small(b"", oracle.chunk(b"IDAT")), "cannot hold"),
    "data apart": (small(b"", IDAT, oracle.chunk(b"tEXt", b"a\0b"), IDAT), "in two places"),
    "critical chunk": (small(b"", oracle.chunk(b"ABCD"), IDAT), "unknown critical chunk 'ABCD'"),
    "filter 5": (small(b"", oracle.chunk(b"IDAT", zlib.compress(b"\5" + PLAIN[1:]))), "row 0 names PNG filter 5"),
    "data short": (small(b"", oracle.chunk(b"IDAT", zlib.compress(PLAIN[:-1]))), "too short or too long"),
    "data long": (small(b"", oracle.chunk(b"IDAT", zlib.compress(PLAIN + b"\0"))), "too short or too long"),
    "data after": (small(b"", oracle.chunk(b"IDAT", zlib.compress(PLAIN) + b"\0")), "too short or too long"),
    "no checksum": (small(b"", oracle.chunk(b"IDAT", zlib.compress(PLAIN)[:-4])), "too short or too long"),
    "wrong checksum": (small(b"", oracle.chunk(b"IDAT", zlib.compress(PLAIN)[:-1] + b"!")), "damaged"),
    "not deflate": (small(b"", oracle.chunk(b"IDAT", b"not deflate")), "damaged"),
    "profile without end": (small(b"", oracle.chunk(b"iCCP", b"name"), IDAT), "iCCP is damaged"),
    "profile method": (small(b"", oracle.chunk(b"iCCP", b"name\0\1..."), IDAT), "iCCP is damaged"),
    "profile cut": (
        small(b"", oracle.chunk(b"iCCP", b"n\0\0" + zlib.compress(b"p")[:-1]), IDAT),
        "profile is too short",
    ),
    "animation": (small(b"", oracle.chunk(b"acTL", struct.pack(">II", 2, 0)), IDAT), "several pictures"),
    "animation short": (small(b"", oracle.chunk(b"acTL", b"\0"), IDAT), "acTL is too short"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_file_that_breaks_the_standard(name: str) -> None:
    data, message = BROKEN[name]
    with pytest.raises(BitstreamError, match=message):
        image.read(data)


def bomb(width: int, height: int, depth: int, colour_type: int) -> bytes:
    data = small(oracle.header(width, height, depth, colour_type), oracle.chunk(b"IDAT", zlib.compress(bytes(900_000))))
    assert len(data) < 1100
    return data


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(("side", "message"), [(30000, "is over"), (16000, "cannot hold 16000x16000")])
def test_a_claim_of_size_allocates_nothing(side: int, message: str, depth: int) -> None:
    data = bomb(side, side, depth, 6)
    assert _peak_of_reading(data, message) < 1 << 20


def test_data_that_swells_is_stopped_at_the_declared_size() -> None:
    data = small(oracle.header(64, 64, 16, 0), oracle.chunk(b"IDAT", zlib.compress(bytes(50_000_000))))
    assert _peak_of_reading(data, "too short or too long") < 1 << 20


def test_a_profile_that_swells_is_stopped() -> None:
    data = small(b"", oracle.chunk(b"iCCP", b"n\0\0" + zlib.compress(bytes(100_000_000))), IDAT)
    assert _peak_of_reading(data, "profile is too short or too long") < 1 << 26


def _peak_of_reading(data: bytes, message: str) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(BitstreamError, match=message):
            image.read(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_encoding_is_deterministic_and_takes_any_strides() -> None:
    samples = noise(12, 10, 3)
    assert png16.encode(samples[:, ::-1].copy()) == png16.encode(samples[:, ::-1])
    assert png16.encode(samples.astype(">u2")) == png16.encode(samples)
