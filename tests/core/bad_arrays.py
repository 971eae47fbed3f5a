"""The same doors with arrays of every dtype, layout and home: the right answer, or a typed error that names them."""

from __future__ import annotations

import array
import contextlib
from functools import partial

import numpy as np
import torch
from bad_inputs import (
    DOORS,
    decode,
    encode,
    make_table,
    right,
    round_trip,
    same,
    same_bytes,
    same_symbols,
    valid,
    wrong,
)

import scalecodec as sc

FITTING = ("int8", "int16", "int32", "int64", ">i2", ">i4", ">i8")
LAYOUTS = {
    "every second": lambda a: np.repeat(a, 2)[::2],
    "reversed": lambda a: np.ascontiguousarray(a[::-1])[::-1],
    "read-only": lambda a: np.frombuffer(a.tobytes(), a.dtype),
    "misaligned": lambda a: np.frombuffer(b"\0" + a.tobytes(), a.dtype, offset=1),
    "a field of records": lambda a: np.rec.fromarrays([np.zeros(a.size, np.int8), a]).f1,
    "of a subclass": lambda a: a.view(type("Sub", (np.ndarray,), {})),
}
TENSORS = {
    "int8": lambda a: torch.from_numpy(a).to(torch.int8),
    "int16": lambda a: torch.from_numpy(a).to(torch.int16),
    "int64": lambda a: torch.from_numpy(a).long(),
    "every second": lambda a: torch.from_numpy(np.repeat(a, 2))[::2],
    "parameter": lambda a: torch.nn.Parameter(torch.from_numpy(a), requires_grad=False),
}
NOT_INTEGERS = {
    "float64": lambda a: a.astype(np.float64),
    "float16": lambda a: a.astype(np.float16),
    "complex64": lambda a: a.astype(np.complex64),
    "bool": lambda a: a.astype(bool),
    "object": lambda a: a.astype(object),
    "datetime64": lambda a: a.astype("datetime64[s]"),
    "timedelta64": lambda a: a.astype("timedelta64[s]"),
    "<U11": lambda a: a.astype(str),
    "[('x',": lambda a: a.view([("x", np.int32)]),
}
NOT_INTEGER_TENSORS = {
    "float32": lambda a: torch.from_numpy(a).float(),
    "float32 with gradient": lambda a: torch.from_numpy(a).float().requires_grad_(),
    "bfloat16": lambda a: torch.from_numpy(a).bfloat16(),
    "complex64": lambda a: torch.from_numpy(a).to(torch.complex64),
    "bool": lambda a: torch.from_numpy(a).bool(),
    "sparse": lambda a: torch.from_numpy(a).to_sparse(),
    "meta": lambda a: torch.from_numpy(a).to("meta"),
}
NOT_ARRAYS = {"NoneType": None, "str": "1234", "dict": {}, "set": {1}, "object": object(), "float": 1.5}


def changed(role, call, door, change):
    """The valid call with one of its arrays changed; the change happens in the child as well."""
    return call(door, **{role: change(getattr(valid(door), role))})


def in_shape(door, shape, order="C"):
    v = valid(door)
    shaped = [a.reshape(shape).copy(order) for a in (v.symbols, v.indexes)]
    assert encode(door, *shaped) == v.data
    same(decode(door, indexes=shaped[1]), v.symbols.reshape(shape))


def given(door, tag):
    """Symbols and indexes."""
    roles = (("symbols", encode, same_bytes), ("indexes", encode, same_bytes), ("indexes", decode, same_symbols))
    for role, call, check in roles:
        what = f"{tag} {call.__name__} {role}"
        kinds = FITTING + (("uint8", "uint32", "uint64", ">u8") if role == "indexes" else ())
        for dtype in kinds:
            right(f"{what} {dtype}", changed, role, check, door, lambda a, dtype=dtype: a.astype(dtype))
        for layout, change in LAYOUTS.items():
            right(f"{what} {layout}", changed, role, check, door, change)
        for kind, change in TENSORS.items():
            right(f"{what} tensor {kind}", changed, role, check, door, change)
        for kind, change in NOT_INTEGERS.items():  # kind: as the message names it
            wrong(f"{what} dtype {kind}", TypeError, f"{role} {kind}", changed, role, call, door, change)
        for kind, change in NOT_INTEGER_TENSORS.items():
            words = f"{role} {kind.split()[0]}"
            wrong(f"{what} tensor {kind}", (TypeError, ValueError), words, changed, role, call, door, change)
        for kind, value in NOT_ARRAYS.items():
            wrong(f"{what} {kind}", TypeError, f"{role} {kind}", call, door, **{role: value})
        wrong(f"{what} ragged list", (TypeError, ValueError), role, call, door, **{role: [[1, 2], [3]]})
    for shape in ((2, 1000), (1, 2000, 1), (1,) * 29 + (2, 5, 200)):
        right(f"{tag} {len(shape)} dimensions", in_shape, door, shape)
    right(f"{tag} Fortran order", in_shape, door, (4, 10, 50), "F")
    right(f"{tag} 0-d", round_trip, door, np.array(3))
    right(f"{tag} shape (3, 0, 2)", round_trip, door, np.zeros((3, 0, 2), np.int32))
    right(
        f"{tag} one index for all", round_trip, door, np.arange(6).reshape(2, 3), np.broadcast_to(np.int32(2), (2, 3))
    )
    right(f"{tag} tensor and array", lambda: same_bytes(door, torch.from_numpy(valid(door).symbols)))
    huge = np.broadcast_to(np.int32(0), (2**42,))
    wrong(f"{tag} encode 2^42 symbols", (MemoryError, ValueError), "", encode, door, huge, huge)
    wrong(f"{tag} decode 2^42 symbols", (MemoryError, ValueError), "", decode, door, indexes=huge)
    for kind, table in {"NoneType": None, "tuple": ([[0, 65536]], [2], [0]), "type": sc.CdfTable, "str": "id"}.items():
        for call in (encode, decode):
            wrong(f"{tag} {call.__name__} table {kind}", TypeError, f"table CdfTable {kind}", call, door, table=table)


def buffers(door, tag):
    """The bytes of a stream, as anything that is not bytes."""
    for kind, change in {
        "bytearray": bytearray,
        "memoryview": memoryview,
        "uint8 array": lambda d: np.frombuffer(d, np.uint8),
        "array.array": lambda d: array.array("B", d),
        "a slice": lambda d: memoryview(b"junk" + d + b"junk")[4:-4],
    }.items():
        right(f"{tag} data {kind}", lambda change: same_symbols(door, change(valid(door).data)), change)
    every_second = memoryview(bytes(4000))[::2]
    wrong(f"{tag} data not contiguous", (TypeError, ValueError, BufferError), "contiguous", decode, door, every_second)
    for kind, data in {"str": "text of eight", "NoneType": None, "int": 64, "list": [0] * 64, "float": 1.0}.items():
        wrong(f"{tag} data {kind}", TypeError, f"bytes {kind}", decode, door, data)
    words = np.frombuffer(valid(door).data[: len(valid(door).data) // 4 * 4], np.int32)
    either(f"{tag} data int32 array", lambda: same_symbols(door, words))
    either(f"{tag} data 2-D array", lambda: same_symbols(door, words.view(np.uint8).reshape(2, -1)))


def either(name, check):
    """Refusing is as right as the right answer; only a wrong answer is wrong."""

    def call():
        with contextlib.suppress(TypeError, ValueError):
            check()

    right(name, call)


def outputs(door, tag):
    """`out`: of the wrong kind, or lying on the memory that is read meanwhile."""
    for kind, out, error, words in (
        ("short", np.zeros(1999, np.int32), ValueError, "shape 1999 2000"),
        ("2-D", np.zeros((2, 1000), np.int32), ValueError, "shape"),
        ("float", np.zeros(2000, np.float32), TypeError, "float32"),
        ("bool", np.zeros(2000, bool), TypeError, "bool"),
        ("read-only", np.frombuffer(bytes(8000), np.int32), ValueError, "writ"),
        ("every second", np.zeros(4000, np.int32)[::2], (TypeError, ValueError), "contiguous"),
        ("big-endian", np.zeros(2000, ">i4"), (TypeError, ValueError), "out"),
        ("list", [0] * 2000, TypeError, "list"),
        ("float tensor", torch.zeros(2000), TypeError, "float32"),
        ("meta tensor", torch.zeros(2000, dtype=torch.int32, device="meta"), (TypeError, ValueError), "meta"),
        ("unable to hold -16", np.zeros(2000, np.uint8), ValueError, "out"),
    ):
        wrong(f"{tag} out {kind}", error, f"out {words}", decode, door, out=out)
    for dtype in ("int8", "int32", "int64"):
        right(f"{tag} out {dtype}", lambda dtype: into(door, np.zeros(2000, dtype)), dtype)
    right(f"{tag} out tensor", lambda: into(door, torch.zeros(2000, dtype=torch.int32)))
    for shift in (-1, 0, 1):
        either(f"{tag} out on indexes, {shift}", partial(out_on_indexes, door, shift))
    either(f"{tag} out on data", partial(out_on_data, door))


def into(door, out):
    assert decode(door, out=out) is out
    same(out, valid(door).symbols)


def out_on_indexes(door, shift):
    memory = np.zeros(2002, np.int32)
    memory[1:2001] = valid(door).indexes
    same(decode(door, indexes=memory[1:2001], out=memory[1 + shift : 2001 + shift]), valid(door).symbols)


def out_on_data(door):
    memory = bytearray(8000)
    memory[: len(valid(door).data)] = valid(door).data
    out = np.frombuffer(memory, np.int32)
    same(decode(door, memoryview(memory)[: len(valid(door).data)], out=out), valid(door).symbols)


def tables_are_copies():
    cdf, length, offset = np.array([[0, 30000, 65000, 65536]]), np.array([4]), np.array([0])
    table = make_table(cdf, length, offset)
    for buffer in (cdf, length, offset):
        buffer[:] = 7
    round_trip(sc.rans64, np.array([0, 1, 9]), table=table)


for _tag, _door in DOORS.items():
    given(_door, _tag)
    buffers(_door, _tag)
    outputs(_door, _tag)
right("tables are copies", tables_are_copies)
