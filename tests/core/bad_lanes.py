"""Bad inputs that only the lane stream's doors can be given: threads, batches, heads that promise much."""

from __future__ import annotations

import numpy as np
from bad_inputs import GIVEN, decode, encode, right, row_table, valid, wrong

import scalecodec as sc
from scalecodec.errors import BitstreamError

DOOR = sc.rans
MANY = 200_000  # symbols: what a stream may make the decoder hold is little beside them
MOST_CHUNKS = MANY // 128 + 16
SMALL_GROWTH_KIB = 8 << 10
ENOUGH = b"\xff" * 4096


def varint(value):
    """Unsigned LEB128 in its shortest spelling."""
    low, high = value % 128, value // 128
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def threaded(call, threads):
    if call is encode:
        return DOOR.encode(valid(DOOR).symbols, valid(DOOR).indexes, valid(DOOR).table, threads=threads)
    return decode(DOOR, threads=threads)


def threads():
    for call in (encode, decode):
        for count in (0, -1, 257, 2**31, 2**63, 10**30):
            wrong(f"{call.__name__} threads {count}", ValueError, f"threads [1,~256] {count}", threaded, call, count)
        for what, count in {"1.0": 1.0, "'2'": "2", "None": None, "int64": np.int64(2)}.items():
            wrong(f"{call.__name__} threads {what}", TypeError, f"threads int {what}", threaded, call, count)
        right(f"{call.__name__} threads True", threaded, call, True)


def batch(call, **changed):
    """A good batch of three with some of its lists changed."""
    v = valid(DOOR)
    lists = {"symbols": [v.symbols] * 3, "indexes": [v.indexes] * 3, "data": [v.data] * 3, **changed}
    if call is encode:
        return DOOR.encode_batch(lists["symbols"], lists["indexes"], v.table)
    return DOOR.decode_batch(lists["data"], lists["indexes"], v.table, outs=lists.get("outs"))


def bad_batch(what, raises, words, call, **changed):
    wrong(f"{call.__name__} batch {what}", raises, words, batch, call, **changed)


def with_last(role, value):
    return {role: [getattr(valid(DOOR), role)] * 2 + [value]}


def put(array, place, value):
    array = array.astype(np.int64)
    array[place] = value
    return array


def batches():
    v = valid(DOOR)
    for count in (0, 2, 4):
        lists = {"indexes": [v.indexes] * count, "data": [v.data] * count}
        outs = [np.zeros(2000, np.int32) for _ in range(count)]
        bad_batch(f"{count} indexes", ValueError, f"as~many 3~and~{count}", encode, indexes=lists["indexes"])
        bad_batch(f"{count} data", ValueError, f"as~many {count},~3~and~3", decode, data=lists["data"])
        bad_batch(f"{count} outs", ValueError, f"as~many 3,~3~and~{count}", decode, outs=outs)
    index = with_last("indexes", put(v.indexes, 1999, 4))
    for call in (encode, decode):
        bad_batch("last index", ValueError, "index 4 [0,~4) 1999", call, **index)
        bad_batch("of floats", TypeError, "index float64", call, **with_last("indexes", v.indexes / 1))
        bad_batch("of lists", TypeError, "index list", call, **with_last("indexes", [0] * 2000))
        bad_batch("None", TypeError, "", call, indexes=None)
    symbol = with_last("symbols", put(v.symbols, 77, 2**31))
    bad_batch("last symbol", ValueError, "symbol int32 2147483648 77", encode, **symbol)
    bad_batch("last shape", ValueError, "shape 1999 2000", encode, **with_last("symbols", v.symbols[1:]))
    bad_batch("last data", BitstreamError, "", decode, **with_last("data", v.data[:-1]))
    bad_batch("first data", BitstreamError, "", decode, data=[v.data[:-1], v.data, v.data])
    bad_batch("data str", TypeError, "bytes str", decode, **with_last("data", "text"))
    outs = [np.zeros(2000, dtype) for dtype in (np.int32, np.int32, np.uint8)]
    bad_batch("last out", ValueError, "out", decode, outs=outs)


def refused(name, words, data, table=GIVEN):
    wrong(name, BitstreamError, words, many, data, table, growth_kib=SMALL_GROWTH_KIB)


def many(data, table=GIVEN):
    """MANY symbols of a stream that cannot have them."""
    return decode(DOOR, data, np.zeros(MANY, np.int32), table)


def heads():
    """Heads that promise more than there is, or that an encoder does not write."""
    lanes = {1: 0, 4: 1, 8: 2, 32: 3}
    ones = row_table(0, 1, 65536)  # all but one slot are the escape's
    for k, code in lanes.items():
        for filler in (b"", b"\0", b"\xff", b"\0" * 300, ENOUGH):
            for first in (code, code | 31 << 2, code | 128):
                name = f"head {first:#x}, {len(filler)} bytes of {filler[:1].hex() or 'nothing'}"
                refused(name, "", bytes([first]) + filler, ones)
        if k == 1:
            continue
        for size in (MANY + 1, 2**31, 2**32 - 1, 2**32, 2**35 - 1):
            refused(f"{k} lanes, tail of {size}", "head", bytes([code]) + varint(size) + ENOUGH)
        refused(f"{k} lanes, tail of 5 bytes for 0", "head", bytes([code]) + b"\x80\x80\x80\x80\0" + ENOUGH)
        refused(f"{k} lanes, tail of 6 bytes", "head", bytes([code]) + b"\x80" * 5 + b"\1" + ENOUGH)
        refused(f"{k} lanes, all in the tail", "", bytes([code]) + varint(MANY) + ENOUGH)
    for size in (0, 1, MOST_CHUNKS + 1, MANY, MANY + 1, 2**32, 2**35 - 1):
        refused(f"{size} chunks", "head", b"\x7c" + varint(size) + ENOUGH)
    refused("chunks by 5 bytes for 2", "head", b"\x7c\x82\x80\x80\x80\0" + ENOUGH)
    refused("as many chunks as symbols, no data", "head", b"\x7c" + varint(MANY))
    refused("chunks of one symbol", "", b"\x7c" + varint(MANY) + b"\0" * (MANY - 1) + bytes(2 * MANY))
    refused("as many empty chunks as there may be", "", b"\x7c" + varint(MOST_CHUNKS) + b"\0" * (MOST_CHUNKS - 1))
    for size in (4096, 2**32, 2**35 - 1):
        for count in (2, 3, 1000):
            lengths = varint(size) * (count - 1)
            refused(f"{count} chunks of {size} bytes", "", b"\x7c" + varint(count) + lengths + bytes(4000))
    for length in (0, 2**32, 2**35 - 1):
        refused(f"side stream of {length} bytes", "head", b"\x08" + varint(length) + ENOUGH)
    wrong("nothing of nothing", BitstreamError, "head", decode, DOOR, b"", np.zeros(0, np.int32))
    wrong(
        "two chunks of nothing",
        BitstreamError,
        "head",
        decode,
        DOOR,
        b"\x7c\2\4" + b"\0\0\0\1" * 2,
        np.zeros(0, np.int32),
    )
    for value in (2**32, 2**32 + 1, 2**33 - 1, 2**33, 2**35 - 1):  # that far from the only symbol, 0
        side = varint(value)[::-1]
        refused(f"escape of {value}", "escape symbol~0", b"\x08" + bytes([len(side), 1, 128, 1]) + side, ones)
    for side in (b"\0\x81", b"\1" + b"\x80" * 5, b"\x80"):
        refused(f"escape {side.hex()}", "escape symbol~0", b"\x08" + bytes([len(side), 1, 128, 1]) + side, ones)


threads()
batches()
heads()
