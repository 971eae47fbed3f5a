"""Damaged and hostile .scl files: an error that says so or a picture with a list of what is lost, and nothing else.

Warnings are errors in these tests, so a NaN cast to a sample in silence fails too.
"""

from __future__ import annotations

import random
import struct
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from scalecodec import _core, codec, rans
from scalecodec.container import ALPHA, ICC_PROFILE, Limits, pack, unpack
from scalecodec.container_header import Entry, Head, encode_head
from scalecodec.errors import BitstreamError
from scalecodec.streams import LANES

from .codec_kit import picture, small_model

MODEL = small_model()
ICC = b"\0" * 16 + b"RGB " + b"profile"
ANY_SIZE = Limits(max_side=2**32, max_pixels=2**64, max_tiles=2**32, max_header_bytes=2**32, max_memory_bytes=2**64)


def coded(height, width, channels=3, tile_log2=6, **rate):
    before, codec.TILE_LOG2 = codec.TILE_LOG2, tile_log2
    try:
        return codec.encode(codec.Picture(picture(height, width, channels), ICC), MODEL, **rate)
    finally:
        codec.TILE_LOG2 = before


FOUR_TILES = coded(100, 110, 4)
SMALL = coded(2, 66, 4, quality=5)  # two tiles and both ancillary chunks in a few hundred bytes
ONE_TILE = coded(64, 64)
GOOD = unpack(ONE_TILE)
HEADER, (CHUNK,) = GOOD.header, GOOD.layers[0]
Z_LENGTH = struct.unpack("<I", CHUNK[:4])[0]
Z, Y = CHUNK[4 : 4 + Z_LENGTH], CHUNK[4 + Z_LENGTH :]


def decode(blob, strict, **options):
    """What a file decodes to, None for a BitstreamError; any other exception is the test's failure."""
    try:
        decoded = codec.decode_all(blob, strict=strict, model=MODEL, **options)
    except BitstreamError:
        return None
    header, samples = decoded.header, decoded.picture.samples
    assert samples.shape == (header.height, header.width, header.channels)
    assert samples.dtype == (np.uint16 if header.bit_depth == 16 else np.uint8)
    assert not (strict and decoded.damaged)
    return decoded


def outcome(blob):
    """The strict and the lenient outcome, which must agree."""
    strict, lenient = decode(blob, True), decode(blob, False)
    if strict is not None:
        assert lenient.damaged == ()
        assert np.array_equal(strict.picture.samples, lenient.picture.samples)
    elif lenient is not None:
        assert lenient.damaged
        assert all(isinstance(fault, str) and fault for fault in lenient.damaged)
    return strict, lenient


def one_tile(chunk, header=HEADER):
    """A file with right checksums around a chunk of our choice."""
    return pack(header, [[chunk]], {ICC_PROFILE: ICC})


def headed(header, chunks, kinds=(ICC_PROFILE,)):
    """A file whose header is whatever we say, with right checksums, whatever limits it passes."""
    entries = tuple(Entry(len(chunk), _core.crc32c(chunk)) for chunk in chunks)
    return encode_head(Head(header, kinds, entries), ANY_SIZE) + b"".join(chunks)


# Damage that the checksums see


def test_every_truncation():
    head_size = len(SMALL) - sum(len(chunk) for chunk in [*unpack(SMALL).layers[0], *unpack(SMALL).ancillary.values()])
    for end in range(len(SMALL)):
        strict, lenient = outcome(SMALL[:end])
        assert strict is None, end
        assert (lenient is None) == (end < head_size), end
    assert outcome(SMALL)[0] is not None
    strict, lenient = outcome(SMALL + b"\0")
    assert strict is None
    assert np.array_equal(lenient.picture.samples, decode(SMALL, True).picture.samples)


def test_every_bit():
    for position in range(len(SMALL)):
        for bit in range(8):
            damaged = bytearray(SMALL)
            damaged[position] ^= 1 << bit
            assert decode(bytes(damaged), True) is None, (position, bit)
            if bit == position % 8:
                outcome(bytes(damaged))


def test_a_lost_tile_costs_what_it_shows_and_no_more():
    whole = codec.decode(FOUR_TILES, model=MODEL)
    at = FOUR_TILES.index(unpack(FOUR_TILES).layers[0][0])
    damaged = FOUR_TILES[:at] + bytes([FOUR_TILES[at] ^ 1]) + FOUR_TILES[at + 1 :]
    decoded = decode(damaged, False)
    assert decoded.damaged == ("layer 0 tile 0: checksum mismatch",)
    changed = (decoded.picture.samples != whole).any(2)
    assert changed[:64, :64].mean() > 0.9
    # the others see two latents of it, which are 32 pixels
    assert not changed[96:].any()
    assert not changed[:, 96:].any()
    assert np.array_equal(decoded.picture.samples[..., 3], whole[..., 3])
    assert decoded.picture.icc_profile == ICC


@pytest.mark.parametrize("kind", [ALPHA, ICC_PROFILE])
def test_lost_alpha_is_opaque_and_a_lost_profile_is_none(kind):
    whole = decode(FOUR_TILES, True).picture
    at = FOUR_TILES.index(unpack(FOUR_TILES).ancillary[kind])
    decoded = decode(FOUR_TILES[:at] + bytes([FOUR_TILES[at] ^ 1]) + FOUR_TILES[at + 1 :], False)
    assert decoded.damaged[0] == f"ancillary kind {kind}: checksum mismatch"
    assert np.array_equal(decoded.picture.samples[..., :3], whole.samples[..., :3])
    assert (decoded.picture.samples[..., 3] == 255).all() == (kind == ALPHA)
    assert decoded.picture.icc_profile == (None if kind == ICC_PROFILE else ICC)


# Headers with a right checksum


HEADERS = {
    "wider, same tile": replace(HEADER, width=60),
    "another tile": replace(HEADER, width=65),
    "a whole row of tiles": replace(HEADER, width=32768),
    "one pixel": replace(HEADER, width=1, height=1),
    "grey": replace(HEADER, channels=1),
    "grey and alpha that is not there": replace(HEADER, channels=2),
    "alpha that is not there": replace(HEADER, channels=4),
    "deep": replace(HEADER, bit_depth=16),
    "two layers": replace(HEADER, num_layers=2),
    "another model": replace(HEADER, model_id=b"12345678"),
    "other tables": replace(HEADER, table_id=b"12345678"),
    "largest side": replace(HEADER, width=2**32, height=1),
    "largest tile": replace(HEADER, tile_log2=14),
    "largest tile of the largest picture": replace(HEADER, width=16384, height=16384, tile_log2=14),
    "largest picture in one tile of a legal size": replace(HEADER, width=8192, height=32768, tile_log2=13),
    **{f"gain {i}": replace(HEADER, gain_index=i) for i in (0, 1, 127, 129, 255)},
    **{f"tile {1 << i}": replace(HEADER, tile_log2=i) for i in range(7, 12)},
}
HARMLESS = {"wider, same tile", "one pixel", "grey", "deep", "largest tile", *(f"tile {1 << i}" for i in range(7, 12))}


@pytest.mark.parametrize("name", HEADERS)
def test_a_hostile_header(name):
    strict, lenient = outcome(headed(HEADERS[name], [CHUNK, ICC]))
    if "alpha" in name:
        assert strict is None
        assert lenient.damaged == ("the alpha plane is missing",)
    elif not name.startswith("gain"):  # a wrong gain may choose the right tables by chance
        assert (strict is not None) == (name in HARMLESS)
        assert (lenient is not None) == (name in HARMLESS)


def test_the_index_may_not_cut_elsewhere():
    good = unpack(FOUR_TILES)
    tiles, ancillary = list(good.layers[0]), {ALPHA: good.ancillary[ALPHA]}
    for shift in (1, 4, 17):
        cut = [tiles[0] + tiles[1][:shift], tiles[1][shift:], *tiles[2:]]
        strict, lenient = outcome(pack(good.header, [cut], ancillary))
        assert strict is None
        assert len(lenient.damaged) == 2
    strict, _ = outcome(pack(good.header, [tiles], {ALPHA: good.ancillary[ALPHA][:-1]}))
    assert strict is None


def test_limits_are_the_callers():
    big = headed(replace(HEADER, width=2000, height=2000, tile_log2=10), [CHUNK] * 4 + [ICC])
    for strict in (True, False):
        assert decode(big, strict, limits=Limits(max_memory_bytes=2000 * 2000 * 3 - 1)) is None
        assert decode(big, strict, limits=Limits(max_pixels=2000 * 2000 - 1)) is None
    assert decode(big, True) is None
    assert len(decode(big, False).damaged) == 4


# Chunks with a right checksum

PREFIXES = {0, 1, 3, 4, 7, 8, Z_LENGTH - 4, Z_LENGTH - 1, Z_LENGTH + 4, len(Z + Y), len(Z + Y) + 1, 2**31, 2**32 - 1}
GARBAGE = random.Random(1)
CHUNKS = {
    "empty": b"",
    **{f"{n} bytes": CHUNK[:n] for n in (1, 3, 4, 5, 11, 12, 4 + Z_LENGTH, len(CHUNK) - 1, len(CHUNK) - 4)},
    **{f"z_length {n}": struct.pack("<I", n) + Z + Y for n in sorted(PREFIXES - {Z_LENGTH})},
    "streams the other way round": struct.pack("<I", len(Y)) + Y + Z,
    "a word more": CHUNK + bytes(4),
    "twice": CHUNK * 2,
    "zeros": bytes(len(CHUNK)),
    "ones": b"\xff" * len(CHUNK),
    **{f"noise of {n}": struct.pack("<I", n // 8 * 4) + GARBAGE.randbytes(n) for n in range(8, 400, 8)},
    **{f"noise after z {n}": CHUNK[: 4 + Z_LENGTH] + GARBAGE.randbytes(n) for n in range(8, 400, 16)},
}


@pytest.mark.parametrize("name", CHUNKS)
def test_a_hostile_chunk(name):
    strict, lenient = outcome(one_tile(CHUNKS[name]))
    assert strict is None
    assert len(lenient.damaged) == 1
    assert lenient.damaged[0].startswith("layer 0 tile 0: ")


def test_most_flipped_bits_under_a_right_checksum_are_seen():
    missed = 0
    for position in range(len(CHUNK)):
        damaged = bytearray(CHUNK)
        damaged[position] ^= 1 << position % 8
        missed += outcome(one_tile(bytes(damaged)))[0] is not None
    assert missed < 0.1 * len(CHUNK)  # the raw bits of escaped values, of which this model has many, carry no check


# Latents that no encoder makes


def chunk_of(z, y, gain_index):
    """The chunk of a tile whose z symbols are all `z` and whose y symbols are `y`, [M, 4, 4]."""
    bottleneck, conditional = MODEL.entropy_bottleneck, MODEL.gaussian_conditional
    indexes = np.arange(bottleneck.channels, dtype=np.int32)
    z_stream = rans.encode(np.full(len(indexes), z, np.int64), indexes, bottleneck.table)
    tables = MODEL._known([z_stream], (1, 1), gain_index, LANES, ValueError)[0][0]
    return struct.pack("<I", len(z_stream)) + z_stream + rans.encode(y, tables, conditional.table)


@pytest.mark.parametrize("gain_index", [0, 255])
@pytest.mark.parametrize("z", [0, 1000, 10**6, 2**31 - 1, -(2**31)])
@pytest.mark.parametrize("y", ["0", "1000", "1000000", "largest", "smallest", "both", "one"])
def test_latents_up_to_the_edges_of_int32(z, y, gain_index):
    shape = (MODEL.latent_channels, 4, 4)
    pick = np.random.default_rng(0)
    symbols = {
        "largest": np.full(shape, 2**31 - 1),
        "smallest": np.full(shape, -(2**31)),
        "both": pick.choice([-(2**31), 2**31 - 1], shape),
        "one": np.where(np.arange(16 * shape[0]).reshape(shape) == 100, 2**31 - 1, 0),
    }.get(y)
    symbols = np.full(shape, int(y)) if symbols is None else symbols
    blob = one_tile(chunk_of(z, symbols, gain_index), replace(HEADER, gain_index=gain_index))
    strict, lenient = outcome(blob)
    assert lenient is not None
    if y == "0" and abs(z) <= 1000:
        assert strict is not None
    if y == "both":
        assert strict is None
        assert any("not finite" in fault for fault in lenient.damaged)


def test_an_overflow_in_one_tile_spoils_no_far_one():
    good = unpack(FOUR_TILES)
    spoilt = chunk_of(0, np.full((MODEL.latent_channels, 4, 4), 2**31 - 1), good.header.gain_index)
    blob = pack(good.header, [[spoilt, *good.layers[0][1:]]], good.ancillary)
    strict, lenient = outcome(blob)
    assert strict is None
    assert 1 <= len(lenient.damaged) <= 4
    whole = codec.decode(FOUR_TILES, model=MODEL)
    assert np.array_equal(lenient.picture.samples[96:, 96:], whole[96:, 96:])
    assert np.array_equal(codec.decode(blob, roi=(100, 90, 10, 10), model=MODEL, strict=False), whole[90:, 100:])


@pytest.fixture
def one_torch_thread():
    """Threads that wait for each other on a busy machine burn processor time, whatever is decoded."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_torch_thread")
def test_no_damage_takes_longer_than_three_valid_decodings():
    def seconds(blob, strict):
        start = time.process_time()
        decode(blob, strict)
        return time.process_time() - start

    valid = sorted(seconds(ONE_TILE, True) for _ in range(9))[4]
    files = [one_tile(chunk) for chunk in CHUNKS.values()]
    files += [headed(header, [CHUNK, ICC]) for header in HEADERS.values()]
    files += [one_tile(chunk_of(z, np.full((MODEL.latent_channels, 4, 4), 2**31 - 1), 0)) for z in (0, 2**31 - 1)]
    assert len(files) > 100
    for blob in files:
        for strict in (True, False):
            # the best of a few: another process may have the caches
            assert min(seconds(blob, strict) for _ in range(3)) < 3 * valid + 0.02
