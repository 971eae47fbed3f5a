"""What CompressAI's coder answers with a crash, a hang or invented values, and what ours must answer.

Run by test_bad_inputs.py as a program: it forks one child for every case, so that a signal, a hang or a memory bomb is
the failure of that case alone, and prints one line of JSON for each. Every case names the errors it may end with and
the words its message must hold, or is a call that checks for the exact right answer.

CompressAI's "decoder used before a stream is set" and "flush twice" have no counterpart: these doors keep no state.
"""

from __future__ import annotations

import contextlib
from functools import cache, partial
from typing import NamedTuple

import numpy as np

import scalecodec as sc
from scalecodec.errors import BitstreamError, TableError

GIVEN = object()  # "as in the valid call"
INT32 = np.iinfo(np.int32)
GROWTH_KIB = 64 << 10  # what a case may make the process grow by


class Case(NamedTuple):
    call: object
    raises: tuple = ()  # empty: must return
    words: tuple = ()
    growth_kib: int = GROWTH_KIB


CASES: dict[str, Case] = {}


def wrong(name, raises, words, call, *args, growth_kib=GROWTH_KIB, **kwargs):
    """The call must raise one of `raises`, with all `words` (any letter case, ~ for a space) in its message."""
    assert name not in CASES, name
    raises = raises if isinstance(raises, tuple) else (raises,)
    words = tuple(word.replace("~", " ") for word in words.split())
    CASES[name] = Case(partial(call, *args, **kwargs), raises, words, growth_kib)


def right(name, call, *args, **kwargs):
    """The call must return; it compares its results itself."""
    assert name not in CASES, name
    CASES[name] = Case(partial(call, *args, **kwargs))


def random_cdf(num_tables=4, symbols=33):
    freq = 1 + np.random.default_rng(1).integers(0, 3000, (num_tables, symbols))
    freq[:, 0] += 65536 - freq.sum(1)
    assert (freq > 0).all()
    return np.concatenate([np.zeros((num_tables, 1)), np.cumsum(freq, 1)], 1).astype(np.int32)


class Valid(NamedTuple):
    symbols: np.ndarray
    indexes: np.ndarray
    table: sc.CdfTable
    data: bytes


@cache
def valid(door) -> Valid:
    rng = np.random.default_rng(2)
    table = make_table()
    symbols, indexes = rng.integers(-16, 15, 2000, np.int32), rng.integers(0, 4, 2000, np.int32)
    return Valid(symbols, indexes, table, door.encode(symbols, indexes, table))


def make_table(cdf=GIVEN, length=GIVEN, offset=GIVEN):
    cdf = random_cdf() if cdf is GIVEN else cdf
    length = np.full(4, 34, np.int32) if length is GIVEN else length
    offset = np.full(4, -16, np.int32) if offset is GIVEN else offset
    return sc.CdfTable.from_cdf(cdf, length, offset)


def row_table(*row, offset=0):
    """One table, made in the child that uses it."""
    return partial(make_table, np.array([row]), np.array([len(row)]), np.array([offset]))


def filled(door, **given):
    """The arguments of a valid call in place of those not given."""
    given = {name: getattr(valid(door), name) if value is GIVEN else value for name, value in given.items()}
    if isinstance(given["table"], partial):
        given["table"] = given["table"]()
    return given.values()


def encode(door, symbols=GIVEN, indexes=GIVEN, table=GIVEN):
    return door.encode(*filled(door, symbols=symbols, indexes=indexes, table=table))


def decode(door, data=GIVEN, indexes=GIVEN, table=GIVEN, **options):
    return door.decode(*filled(door, data=data, indexes=indexes, table=table), **options)


def same(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    np.testing.assert_array_equal(actual, expected)


def round_trip(door, symbols, indexes=None, table=GIVEN):
    indexes = np.zeros(np.shape(symbols), np.int32) if indexes is None else indexes
    data = encode(door, symbols, indexes, table)
    same(decode(door, data, indexes, table), symbols)


def same_bytes(door, symbols=GIVEN, indexes=GIVEN):
    assert encode(door, symbols, indexes) == valid(door).data


def same_symbols(door, data=GIVEN, indexes=GIVEN):
    same(decode(door, data, indexes), valid(door).symbols.reshape(np.shape(indexes) if indexes is not GIVEN else -1))


def streams(door, tag):
    """Bytes that are no stream, or not the stream of these indexes."""
    rng = np.random.default_rng(3)
    no_stream = partial(wrong, raises=BitstreamError, words="", call=decode, door=door)
    for size in (0, 1, 3, 4, 7):
        no_stream(f"{tag} {size} bytes", data=b"\x77" * size)
    cut = {"half": lambda d: d[: len(d) // 8 * 4], "4 bytes short": lambda d: d[:-4], "1 byte short": lambda d: d[:-1]}
    junk = {"4 bytes of junk behind": lambda d: d + b"junk", "1 byte of junk behind": lambda d: d + b"\0"}
    words = "stream" if door is sc.rans64 else ""  # the lane stream's words say which of its parts is at fault
    for what, change in (cut | junk).items():
        wrong(f"{tag} {what}", BitstreamError, words, lambda change: decode(door, change(valid(door).data)), change)
    no_stream(f"{tag} random bytes", data=rng.bytes(1 << 16))
    no_stream(f"{tag} zero bytes", data=bytes(64))
    no_stream(f"{tag} 0xFF bytes", data=b"\xff" * 64)
    escapes = row_table(0, 1, 65536)  # nearly every slot starts an escape, and 0xFF never ends one
    no_stream(f"{tag} escapes without end", data=b"\xff" * (1 << 16), indexes=np.zeros(2000, np.int32), table=escapes)
    right(f"{tag} every bit flipped", every_bit_flipped, door)
    for what, change in {
        "all indexes of other tables": lambda i: (i + 1) % 4,
        "one index of another table": lambda i: np.where(np.arange(i.size) == 7, (i + 1) % 4, i),
        "fewer indexes": lambda i: i[:-5],
        "no indexes": lambda i: i[:0],
    }.items():
        wrong(f"{tag} {what}", BitstreamError, "", lambda f: decode(door, indexes=f(valid(door).indexes)), change)
    more = np.tile(valid(door).indexes, 50)
    wrong(f"{tag} 50 times more indexes", BitstreamError, "", decode, door, indexes=more)
    other = partial(make_table, 65536 - random_cdf()[:, ::-1])
    wrong(f"{tag} stream of other tables", BitstreamError, "", decode, door, table=other)


def every_bit_flipped(door):
    """The end check may miss about one flip in ten thousand: a symbol swapped for one of equal frequency."""
    v, missed = valid(door), 0
    flipped = bytearray(v.data)
    for bit in range(8 * len(flipped)):
        flipped[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(BitstreamError):
            missed += decode(door, bytes(flipped)).shape == v.symbols.shape
        flipped[bit // 8] ^= 1 << bit % 8
    assert missed <= len(flipped) * 8 // 1000, missed


def lenient(door, change_data, change_indexes):
    """Without the end check a prefix of the symbols is the right answer; running out of words never is."""
    v = valid(door)
    same(door.decode(change_data(v.data), change_indexes(v.indexes), v.table, strict=False), v.symbols[:1990])


def one_index(door, call, index):
    changed = valid(door).indexes.astype(np.int64)
    changed[1234] = index
    return call(door, indexes=changed)


def indexes(door, tag):
    """Indexes without a table, and the wrong number of them."""
    bad = {"-1": -1, "one past": 4, "10^6": 10**6, "int32 min": INT32.min, "int32 max": INT32.max, "2^32": 2**32}
    for what, index in bad.items():
        for call in (encode, decode):
            name = f"{tag} {call.__name__} index {what}"
            wrong(name, ValueError, f"index {index} [0,~4)", one_index, door, call, index)
    wrong(
        f"{tag} encode index uint64 max", ValueError, "index", encode, door, indexes=np.full(2000, 2**64 - 1, np.uint64)
    )
    wrong(f"{tag} indexes shorter", ValueError, "shape 1999 2000", encode, door, indexes=np.zeros(1999, np.int32))
    wrong(f"{tag} indexes longer", ValueError, "shape 2001 2000", encode, door, indexes=np.zeros(2001, np.int32))
    wrong(f"{tag} indexes empty", ValueError, "shape 0 2000", encode, door, indexes=np.zeros(0, np.int32))
    turned = np.zeros((3, 2), np.int32)
    wrong(f"{tag} indexes transposed", ValueError, "shape", encode, door, np.zeros((2, 3), np.int32), turned)
    wrong(f"{tag} indexes to broadcast", ValueError, "shape", encode, door, np.zeros((2, 3), np.int32), turned[0])


def symbols(door, tag):
    """Few symbols, rare symbols, and every size of escape."""
    for count in (0, 1, 2, 3):
        right(f"{tag} {count} symbols", round_trip, door, np.arange(count))
        right(f"{tag} {count} escapes", round_trip, door, np.full(count, INT32.min))
    right(f"{tag} two rare symbols", round_trip, door, np.array([0, 1]), table=row_table(0, 1, 2, 65536))
    one = row_table(0, 65536, offset=5)
    right(f"{tag} one-symbol table", round_trip, door, np.array([5, 5, 5, 4, 6, -100, 2**31 - 1]), table=one)
    sizes = [2**20, 2**26, 2**27 - 20, 2**27 + 20, -(2**27) - 20, 2**28, -(2**28), 2**30, INT32.min, INT32.max]
    for size in sizes:
        right(f"{tag} symbol {size}", round_trip, door, np.array([0, size, 1]))
    for offset in (INT32.min, INT32.max - 40):
        table = row_table(*random_cdf()[0], offset=offset)
        right(f"{tag} offset {offset}", round_trip, door, np.array([INT32.max, INT32.min, 0, offset + 1]), table=table)
    wrong(f"{tag} decoded symbol past int32", TableError, "int32", symbol_past_int32, door)
    for size in (2**31, -(2**31) - 1, 2**40, INT32.max * 2 + 2, -(2**63)):
        array = np.array([0, size])
        wrong(f"{tag} int64 symbol {size}", ValueError, f"symbol {size}", encode, door, array, np.zeros(2, int))
    wrong(
        f"{tag} uint64 symbol", ValueError, "symbol", encode, door, np.array([2**64 - 1], np.uint64), np.zeros(1, int)
    )


def symbol_past_int32(door):
    """A stream that an encoder with this offset cannot have written."""
    row = random_cdf()[0]
    data = encode(door, np.full(100, 20), np.zeros(100, int), row_table(*row))
    return decode(door, data, np.zeros(100, int), row_table(*row, offset=INT32.max - 10))


def tables():
    """Tables that break their contract never become a CdfTable."""
    good = random_cdf()
    swapped, flat = good.copy(), good.copy()
    swapped[1, [3, 4]] = swapped[1, [4, 3]]
    flat[2, 9] = flat[2, 8]
    short_of = partial(np.where, np.arange(34) == 33)
    for what, cdf, words in (
        ("not monotone", swapped, "1 increas"),
        ("with a symbol of frequency 0", flat, "2 frequency"),
        ("all zero", np.zeros_like(good), "0"),
        ("ending at 65535", short_of(65535, good), "65536"),
        ("ending at 65537", short_of(65537, good), "65536"),
        ("starting at 1", np.where(np.arange(34) == 0, 1, good), "start 0"),
        ("with a negative entry", np.where(np.arange(34) == 1, -5, good), "increas"),
        ("without columns", good[:, :0], "cdf"),
    ):
        wrong(f"cdf {what}", TableError, words, make_table, cdf)
    past_int32 = np.where(np.arange(34) == 33, 2**32 + 65536, good.astype(np.int64))
    wrong("cdf past int32", ValueError, "cdf int32 4295032832", make_table, past_int32)
    wrong("cdf without rows", (ValueError, TableError), "(0,) (4,)", make_table, good[:0])
    for what, length in {"0": 0, "1": 1, "negative": -34, "past the row": 35, "10^6": 10**6}.items():
        wrong(f"cdf_length {what}", TableError, "cdf_length 3", make_table, length=np.array([34, 34, 34, length]))
    wrong("no tables", TableError, "table", make_table, good[:0], np.zeros(0, np.int32), np.zeros(0, np.int32))
    for name in ("length", "offset"):
        for what, value in (("short", np.full(3, 34)), ("empty", np.zeros(0, int)), ("2-D", np.full((4, 1), 34))):
            wrong(f"cdf {name} {what}", (ValueError, TableError), f"{name} 4", make_table, **{name: value})
        wrong(f"cdf {name} float", TypeError, f"{name} float64", make_table, **{name: np.full(4, 34.0)})
        wrong(f"cdf {name} None", TypeError, name, make_table, **{name: None})
        wrong(f"cdf {name} past int32", ValueError, name, make_table, **{name: np.full(4, 2**40)})
    for what, cdf in (("1-D", good[0]), ("3-D", good[None]), ("0-D", np.int32(3))):
        wrong(f"cdf {what}", (ValueError, TableError), "cdf", make_table, cdf)
    wrong("cdf float", TypeError, "cdf float64", make_table, good.astype(float))
    wrong(
        "cdf of huge broadcast shape",
        (ValueError, MemoryError),
        "",
        make_table,
        np.broadcast_to(good[:1, :1], (4, 2**44)),
    )


def pmfs():
    """Probabilities that cannot be quantized."""
    for what, pmf in {
        "negative": [0.5, -0.5],
        "NaN": [0.5, np.nan],
        "infinite": [0.5, np.inf],
        "empty": [],
        "zero": [0.0, 0.0],
        "huge": [3e38, 1.0],
        "sum past uint32": [40000.0, 40000.0],
        "wider than 2^16": np.full(65537, 1 / 65537),
        "2-D": np.full((2, 2), 0.25),
    }.items():
        wrong(f"pmf {what}", ValueError, "pmf", sc.pmf_to_quantized_cdf, pmf, 16)
    wrong("pmf text", (TypeError, ValueError), "", sc.pmf_to_quantized_cdf, "abc", 16)
    wrong("pmf None", (TypeError, ValueError), "pmf", sc.pmf_to_quantized_cdf, None, 16)
    wrong("pmf complex", TypeError, "complex", sc.pmf_to_quantized_cdf, np.array([0.5j, 0.5]), 16)
    half = [0.5, 0.5]
    for precision in (-1, 0, 17, 31, 32, 64, 10**10):
        wrong(f"precision {precision}", ValueError, f"precision {precision}", sc.pmf_to_quantized_cdf, half, precision)
    wrong("precision 12.5", TypeError, "12.5", sc.pmf_to_quantized_cdf, half, 12.5)


DOORS = {name: getattr(sc, name) for name in ("rans64", "rans") if hasattr(sc, name)}
for _tag, _door in DOORS.items():
    streams(_door, _tag)
    indexes(_door, _tag)
    symbols(_door, _tag)
right("rans64 lenient, fewer indexes", lenient, sc.rans64, lambda data: data, lambda i: i[:1990])
right("rans64 lenient, junk behind", lenient, sc.rans64, lambda data: data + bytes(40), lambda i: i[:1990])
wrong("rans64 lenient, half", BitstreamError, "stream", lenient, sc.rans64, lambda data: data[:400], lambda i: i)
tables()
pmfs()
