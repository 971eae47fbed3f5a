"""The .scl file: what is packed comes back, and every fault of the bytes is an error or is listed."""

from __future__ import annotations

import mmap
import random
import re
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scalecodec import _core
from scalecodec.container import ALPHA, ICC_PROFILE, Header, Limits, pack, unpack
from scalecodec.errors import BitstreamError
from scalecodec.streams import LANES, RANS64

MAGIC = b"\x89SCL\r\n\x1a\n"

# csrc/FORMAT.md, 3.4
HEADER = Header(b"model-01", b"table-01", 100, 60, 3, 8, gain_index=32, tile_log2=6, num_layers=2, stream=RANS64)
LAYERS = [[b"base-0", b"base-1"], [b"enh-0", b""]]
EXTRA = {ICC_PROFILE: b"icc"}
CHUNKS = [b"base-0", b"base-1", b"enh-0", b"", b"icc"]
GOLDEN = bytes.fromhex("""
    89 53 43 4c 0d 0a 1a 0a 01 00 30 6d 6f 64 65 6c 2d 30 31 74 61 62 6c 65 2d 30 31 63 3b 02 61 20 11 02
    06 1b 8f 91 76 06 18 0c fa 84 05 80 97 79 6e 00 00 00 00 00 03 05 99 b8 1d 65 1b 3e ec
    62 61 73 65 2d 30 62 61 73 65 2d 31 65 6e 68 2d 30 69 63 63
""")
HEAD_SIZE = 63


def leb128(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + leb128(value >> 7)


def seal(body: bytes, *, major: int = 1, minor: int = 0, length: bytes | None = None) -> bytes:
    """Put magic, version, length and a right checksum around a header body."""
    front = MAGIC + bytes([major, minor]) + (leb128(len(body)) if length is None else length) + body
    return front + _core.crc32c(front).to_bytes(4, "little")


def entry(chunk: bytes) -> bytes:
    return leb128(len(chunk)) + _core.crc32c(chunk).to_bytes(4, "little")


A_AND_B = entry(b"a") + entry(b"b")


def header_body(
    *, width=b"\x63", height=b"\x3b", sample=2, coding=0x61, counts=0x00, kinds=b"", index=A_AND_B
) -> bytes:
    """Two tiles in one layer with the chunks b"a" and b"b", unless told otherwise."""
    return b"model-01table-01" + width + height + bytes([sample, coding, 32, counts]) + kinds + index


def outcome(data: bytes) -> list[bytes | None]:
    """All chunks of a file in file order, read leniently."""
    container = unpack(data, strict=False)
    return [chunk for layer in container.layers for chunk in layer] + list(container.ancillary.values())


# Laying out


def test_header_names_the_kind_of_stream():
    """Both kinds are read back; what nobody chooses is lanes."""
    for stream in (RANS64, LANES):
        content = unpack(pack(replace(HEADER, stream=stream), LAYERS, EXTRA))
        assert content.header.stream is stream
    assert replace(HEADER, stream=LANES) == Header(b"model-01", b"table-01", 100, 60, 3, 8, 32, 6, 2)


def test_golden_file_and_the_documented_example_are_these_bytes():
    assert pack(HEADER, LAYERS, EXTRA) == GOLDEN
    text = (Path(__file__).parents[1] / "csrc" / "FORMAT.md").read_text()
    example = text[text.index("### 3.4 Example") :].split("```")[1]
    assert bytes.fromhex("".join(re.match(r"(?:[0-9a-f]{2} *)*", line)[0] for line in example.splitlines())) == GOLDEN


def test_golden_file_reads_back():
    container = unpack(GOLDEN)
    assert container.header == HEADER
    assert container.layers == ((b"base-0", b"base-1"), (b"enh-0", b""))
    assert container.ancillary == {ICC_PROFILE: b"icc"}
    assert container.damaged == ()
    assert container.complete


@st.composite
def files(draw):
    header = Header(
        draw(st.binary(min_size=8, max_size=8)),
        draw(st.binary(min_size=8, max_size=8)),
        draw(st.integers(1, 300)),
        draw(st.integers(1, 300)),
        draw(st.integers(1, 4)),
        draw(st.sampled_from([8, 16])),
        draw(st.integers(0, 255)),
        draw(st.integers(6, 14)),
        draw(st.integers(1, 16)),
    )
    pool = draw(st.lists(st.binary(max_size=300), min_size=1, max_size=7))
    count = header.num_layers * header.num_tiles
    chunks = [pool[i % len(pool)] for i in range(count)]
    layers = [chunks[i : i + header.num_tiles] for i in range(0, count, header.num_tiles)]
    return header, layers, draw(st.dictionaries(st.sampled_from([ALPHA, ICC_PROFILE]), st.binary(max_size=50)))


@settings(deadline=None, max_examples=200)
@given(files())
def test_every_file_reads_back_as_packed(file):
    header, layers, ancillary = file
    data = pack(header, layers, ancillary)
    for strict in (True, False):
        container = unpack(data, strict=strict)
        assert container.header == header
        assert [list(layer) for layer in container.layers] == layers
        assert container.ancillary == ancillary
        assert container.complete
    assert pack(container.header, container.layers, container.ancillary) == data


def test_the_order_of_ancillary_and_the_kind_of_buffer_do_not_change_the_bytes():
    both = pack(HEADER, LAYERS, {ALPHA: b"alpha", ICC_PROFILE: b"icc"})
    assert pack(HEADER, LAYERS, {ICC_PROFILE: b"icc", ALPHA: b"alpha"}) == both
    buffers = [[bytearray(b"base-0"), memoryview(b"base-1")], [np.frombuffer(b"enh-0", np.uint8), np.empty(0, "i4")]]
    assert pack(HEADER, buffers, {ALPHA: np.frombuffer(b"alpha", "S1"), ICC_PROFILE: b"icc"}) == both
    assert pack(HEADER, LAYERS, EXTRA) == GOLDEN


def test_chunks_lie_base_first_and_ancillary_last():
    assert GOLDEN.endswith(b"base-0base-1enh-0icc")
    assert pack(HEADER, LAYERS, {ICC_PROFILE: b"icc", ALPHA: b"alpha"}).endswith(b"base-0base-1enh-0alphaicc")


def test_any_buffer_can_be_read():
    for data in (bytearray(GOLDEN), memoryview(GOLDEN), np.frombuffer(GOLDEN, np.uint8)):
        assert unpack(data) == unpack(GOLDEN)
    for data in ("text", None, np.frombuffer(GOLDEN, np.uint8)[::2]):
        with pytest.raises(TypeError):
            unpack(data)


def test_a_small_photograph_pays_45_bytes():
    header = Header(bytes(8), bytes(8), 768, 512, 3, 8, 0, 10)
    assert len(pack(header, [[bytes(5000)]])) - 5000 == 45


@pytest.mark.parametrize(("width", "height", "tiles"), [(1, 1, (1, 1)), (64, 65, (1, 2)), (129, 128, (3, 2))])
def test_tiles_are_counted_upward(width, height, tiles):
    header = replace(HEADER, width=width, height=height)
    assert (header.tiles_x, header.tiles_y) == tiles
    assert header.num_tiles == tiles[0] * tiles[1]


# The caller's own faults


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("width", (1, 2**32), (0, 2**32 + 1)),
        ("height", (1, 2**32), (0, 2**32 + 1)),
        ("channels", (1, 4), (0, 5)),
        ("bit_depth", (8, 16), (7, 9, 12, 17, 24)),
        ("gain_index", (0, 255), (-1, 256)),
        ("tile_log2", (6, 14), (5, 15)),
        ("num_layers", (1, 16), (0, 17)),
    ],
)
def test_a_header_field_keeps_its_range_and_becomes_a_python_int(field, good, bad):
    for value in good:
        assert type(getattr(replace(HEADER, **{field: np.uint64(value)}), field)) is int
    for value in bad:
        with pytest.raises(ValueError, match=field):
            replace(HEADER, **{field: value})
    for value in (8.0, "8", None):
        with pytest.raises(TypeError, match=field):
            replace(HEADER, **{field: value})


@pytest.mark.parametrize("field", ["model_id", "table_id"])
def test_an_id_is_eight_bytes(field):
    for value in (b"", bytes(7), bytes(9)):
        with pytest.raises(ValueError, match=field):
            replace(HEADER, **{field: value})
    for value in ("model-01", bytearray(8), 8):
        with pytest.raises(TypeError, match=field):
            replace(HEADER, **{field: value})


@pytest.mark.parametrize(
    "layers",
    [[], LAYERS[:1], [*LAYERS, LAYERS[0]], [[b""], [b""]], [[b"", b""], [b""]], [[b"", b"", b""], [b""]]],
)
def test_pack_wants_a_chunk_for_each_tile_of_each_layer(layers):
    with pytest.raises(ValueError, match="wanted 2 layers of 2 chunks"):
        pack(HEADER, layers)


@pytest.mark.parametrize("kind", [0, 3, 0x7F, 0x80, 255, -1])
def test_pack_knows_two_ancillary_kinds(kind):
    with pytest.raises(ValueError, match="ancillary kinds"):
        pack(HEADER, LAYERS, {kind: b""})


def test_pack_names_the_chunk_that_is_not_bytes():
    with pytest.raises(TypeError, match="layer 1 tile 0"):
        pack(HEADER, [LAYERS[0], [None, b""]])
    with pytest.raises(TypeError, match="ancillary kind 2"):
        pack(HEADER, LAYERS, {ICC_PROFILE: np.zeros((4, 4), np.uint8)[:, ::2]})


def test_a_chunk_of_4_gib_has_no_place_in_the_format(tmp_path):
    with open(tmp_path / "sparse", "wb+") as file:
        file.truncate(2**32)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as huge:
            header = replace(HEADER, width=1, num_layers=1)
            with pytest.raises(ValueError, match=r"layer 0 tile 0: 4294967296 bytes .* 4294967295"):
                pack(header, [[huge]], limits=Limits(max_chunk_bytes=2**40))


# Limits, both doors, both sides of each


@pytest.mark.parametrize(
    ("limit", "header", "asked"),
    [
        ("max_side", HEADER, 100),
        ("max_side", replace(HEADER, width=60, height=100), 100),
        ("max_pixels", HEADER, 6000),
        ("max_layers", HEADER, 2),
        ("max_tiles", HEADER, 2),
        ("max_header_bytes", HEADER, 48),
        ("max_chunk_bytes", HEADER, 6),
        ("max_memory_bytes", HEADER, 18000),
        ("max_memory_bytes", replace(HEADER, bit_depth=16, channels=4), 48000),
    ],
)
def test_each_limit_holds_for_writer_and_reader(limit, header, asked):
    data = pack(header, LAYERS, EXTRA, limits=Limits(**{limit: asked}))
    assert unpack(data, limits=Limits(**{limit: asked})).complete
    tight = Limits(**{limit: asked - 1})
    with pytest.raises(ValueError, match=f"limit of {asked - 1}") as caught:
        pack(header, LAYERS, EXTRA, limits=tight)
    assert type(caught.value) is ValueError
    for strict in (True, False):
        with pytest.raises(BitstreamError, match=f"limit of {asked - 1}"):
            unpack(data, strict=strict, limits=tight)


def test_the_default_limits():
    assert Limits() == Limits(32768, 2**28, 16, 65535, 65536, 2**28, 2**31)
    largest = Header(bytes(8), bytes(8), 16384, 16384, 4, 16, 255, 14, 16)
    assert unpack(pack(largest, [[b""]] * 16)).header == largest


def test_a_header_may_fill_its_64_kib_and_no_more():
    full = header_body() + bytes(65536 - len(header_body()))
    assert unpack(seal(full, minor=1) + b"ab").layers == ((b"a", b"b"),)
    with pytest.raises(BitstreamError, match="65537 bytes"):
        unpack(seal(full + b"\0", minor=1) + b"ab")
    with pytest.raises(ValueError, match="larger tiles"):
        pack(Header(bytes(8), bytes(8), 8192, 8192, 3, 8, 0, 6), [[b""] * 16384])


# Hostile headers, each with a right checksum

HOSTILE = {
    "width": (header_body(width=leb128(32768)), "width"),
    "height": (header_body(height=leb128(32768)), "height"),
    "width 2^32": (header_body(width=leb128(2**32 - 1)), "width, 4294967296"),
    "pixels": (header_body(width=leb128(32767), height=leb128(8192), coding=0xE1), "pixels"),
    "tiles": (header_body(width=leb128(32767), height=leb128(8191)), "tiles, 65536"),
    "many chunks": (header_body(width=leb128(16383), height=leb128(16319), counts=0x0F), "cut off"),
    "chunk": (header_body(index=leb128(2**28 + 1) + bytes(4) + entry(b"b")), "chunk of 268435457"),
    "no chunk left": (header_body(index=entry(b"a")), "cut off"),
    "half an entry": (header_body(index=A_AND_B[:-1]), "cut off"),
    "empty": (b"", "cut off"),
    "left over": (header_body() + b"\0", "1 bytes left over"),
    "varint of 33 bits": (header_body(width=b"\xff\xff\xff\xff\x1f"), "32 bits"),
    "varint of 6 bytes": (header_body(width=b"\x80\x80\x80\x80\x80\x01"), "32 bits"),
    "varint of 5 bytes and no end": (header_body(width=b"\x80\x80\x80\x80\x80"), "32 bits"),
    "padded zero": (header_body(width=b"\x80\x00"), "padded"),
    "padded number": (header_body(width=b"\xe3\x80\x00"), "padded"),
    "padded length": (header_body(index=b"\x81\x00" + entry(b"a")[1:] + entry(b"b")), "padded"),
    "sample format": (header_body(sample=0x08), "sample format 8"),
    "sample format, high bit": (header_body(sample=0x82), "sample format 130"),
    "stream 0": (header_body(coding=0x60), "stream 0"),
    "stream 3": (header_body(coding=0x63), "stream 3"),
    "tile_log2 5": (header_body(coding=0x51), "tile_log2"),
    "tile_log2 15": (header_body(coding=0xF1), "tile_log2"),
    "nine ancillary": (
        header_body(counts=0x90, kinds=bytes(range(128, 137)), index=A_AND_B + entry(b"") * 9),
        "9 ancillary",
    ),
    "kind 0": (header_body(counts=0x10, kinds=b"\0", index=A_AND_B + entry(b"")), "chunk 0"),
    "kind 3": (header_body(counts=0x10, kinds=b"\3", index=A_AND_B + entry(b"")), "chunk 3"),
    "kind twice": (header_body(counts=0x20, kinds=b"\1\1", index=A_AND_B + entry(b"") * 2), "ascend"),
    "kinds descending": (header_body(counts=0x20, kinds=b"\2\1", index=A_AND_B + entry(b"") * 2), "ascend"),
}


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_header_is_refused_before_anything_is_allocated(case, strict):
    body, message = HOSTILE[case]
    data = seal(body) + b"ab"
    tracemalloc.start()
    try:
        with pytest.raises(BitstreamError, match=message):
            unpack(data, strict=strict)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_a_claimed_chunk_is_not_allocated():
    data = seal(header_body(index=leb128(2**28) + bytes(4) + entry(b"b"))) + b"ab"
    tracemalloc.start()
    try:
        container = unpack(data, strict=False)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()
    assert container.layers == ((None, None),)
    assert container.damaged[0] == "layer 0 tile 0: cut off, 2 of 268435456 bytes are there"


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (b"\xff\xff\xff\xff\x0f", "4294967295 bytes"),
        (b"\x80\x80\x80\x80\x10", "32 bits"),
        (b"\x80\x80\x80\x80\x80\x01", "32 bits"),
        (b"\x80\x00", "padded"),
        (leb128(200), "cut off"),
    ],
)
def test_a_hostile_header_length_is_refused(length, message):
    with pytest.raises(BitstreamError, match=message):
        unpack(seal(header_body(), length=length) + b"ab")


def test_the_plain_forms_of_the_hostile_headers_are_read():
    assert unpack(seal(header_body()) + b"ab").layers == ((b"a", b"b"),)
    for sample in range(8):
        header = unpack(seal(header_body(sample=sample)) + b"ab").header
        assert (header.channels, header.bit_depth) == (sample % 4 + 1, 8 + 8 * (sample // 4))


def test_another_major_version_is_named():
    for major in (0, 2, 255):
        with pytest.raises(BitstreamError, match=rf"version {major}\.7; this reader knows version 1"):
            unpack(seal(header_body(), major=major, minor=7) + b"ab", strict=False)


def test_a_later_minor_version_may_add_to_the_header():
    data = seal(header_body() + b"what we cannot know", minor=1) + b"ab"
    assert unpack(data).layers == ((b"a", b"b"),)
    with pytest.raises(BitstreamError, match="19 bytes left over"):
        unpack(seal(header_body() + b"what we cannot know", minor=0) + b"ab")


def test_an_unknown_chunk_that_may_be_ignored_is_checked_and_skipped():
    index = A_AND_B + entry(b"icc") + entry(b"later")
    data = seal(header_body(counts=0x20, kinds=bytes([ICC_PROFILE, 0x80]), index=index)) + b"abicclater"
    assert unpack(data).ancillary == {ICC_PROFILE: b"icc"}
    with pytest.raises(BitstreamError, match="ancillary kind 128: checksum mismatch"):
        unpack(data[:-1] + b"R")


@pytest.mark.parametrize("data", [b"\x89PNG\r\n\x1a\n" + bytes(60), GOLDEN.replace(b"\r\n", b"\n"), bytes(8)])
def test_another_kind_of_file_is_named(data):
    with pytest.raises(BitstreamError, match=r"not a \.scl file"):
        unpack(data, strict=False)


# Damage


def test_a_prefix_gives_exactly_the_chunks_wholly_received():
    with pytest.raises(BitstreamError):
        unpack(b"")
    for size in range(len(GOLDEN)):
        with pytest.raises(BitstreamError):
            unpack(GOLDEN[:size])
        if size < HEAD_SIZE:
            with pytest.raises(BitstreamError, match="cut off"):
                unpack(GOLDEN[:size], strict=False)
            continue
        received, end = [], HEAD_SIZE
        for chunk in CHUNKS:
            end += len(chunk)
            received.append(chunk if end <= size or not chunk else None)
        assert outcome(GOLDEN[:size]) == received
        container = unpack(GOLDEN[:size], strict=False)
        assert not container.complete
        assert len(container.damaged) == received.count(None)


def test_a_fault_is_told_in_words():
    container = unpack(GOLDEN[:-5], strict=False)
    assert container.damaged == (
        "layer 1 tile 0: cut off, 3 of 5 bytes are there",
        "ancillary kind 2: cut off, 0 of 3 bytes are there",
    )
    with pytest.raises(BitstreamError, match=r"layer 1 tile 0: cut off.*first of 2 faults"):
        unpack(GOLDEN[:-5])
    damaged = unpack(GOLDEN.replace(b"base-1", b"BASE-1"), strict=False)
    assert damaged.damaged == ("layer 0 tile 1: checksum mismatch",)
    assert damaged.layers == ((b"base-0", None), (b"enh-0", b""))


def test_bytes_after_the_last_chunk_are_a_fault():
    with pytest.raises(BitstreamError, match="1 bytes follow the last chunk"):
        unpack(GOLDEN + b"\0")
    container = unpack(GOLDEN + b"\0", strict=False)
    assert container.damaged == ("1 bytes follow the last chunk",)
    assert outcome(GOLDEN + b"\0") == CHUNKS


def test_every_flipped_bit_is_found_and_costs_one_chunk():
    for bit in range(8 * len(GOLDEN)):
        data = bytearray(GOLDEN)
        data[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BitstreamError):
            unpack(data)
        if bit < 8 * HEAD_SIZE:
            with pytest.raises(BitstreamError):
                unpack(data, strict=False)
        else:
            got = outcome(data)
            assert got.count(None) == 1
            assert all(chunk in (None, whole) for chunk, whole in zip(got, CHUNKS, strict=True))


def test_every_burst_within_32_bits_is_found():
    whole = int.from_bytes(GOLDEN, "little")
    patterns = [(1 << length) - 1 for length in range(1, 33)]
    patterns += [random.Random(7).getrandbits(32) | 1 for _ in range(32)]
    for pattern in patterns:
        for shift in range(8 * len(GOLDEN) - pattern.bit_length() + 1):
            with pytest.raises(BitstreamError):
                unpack((whole ^ pattern << shift).to_bytes(len(GOLDEN), "little"))


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_whatever_the_bytes_only_a_bitstream_error_comes_out(data):
    body = data.draw(st.binary(max_size=80))
    file = data.draw(
        st.sampled_from([body, MAGIC + body, seal(body), seal(header_body()[:18] + body), seal(header_body(), minor=1)])
    )
    accepted = []
    for strict in (True, False):
        try:
            accepted.append(unpack(file, strict=strict).complete)
        except BitstreamError:
            accepted.append(False)
    assert accepted[0] == accepted[1]
