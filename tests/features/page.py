"""A decoder of coded activations written from FORMAT.md, section 8, alone: slow, and knowing nothing of the package.

Only its lane streams are decoded by the package (``tests/oracle`` has another decoder of those).
"""

from __future__ import annotations

import math
import struct

import numpy as np

import scalecodec as sc

EDGES = (0, 1, 2, 3, 4, 6, 8, 12, 20)
WEIGHTS = (16777216, 16065917, 15384775, 14732511, 14107901, 13509772, 12937002, 12388516, 11863283, 11360319)
WEIGHTS += (10878679, 10417458, 9975792, 9552851, 9147842, 8760003)


class Bytes:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self):
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value


def description(source, channels, has_context):
    num_levels = source.take(1)[0] + 1
    levels = np.array(struct.unpack(f"<{num_levels}f", source.take(4 * num_levels)), np.float32)
    num_classes = source.take(1)[0]
    classes = [0] * channels
    if num_classes > 1:
        packed = source.take((channels + 1) // 2)
        classes = [packed[c // 2] >> 4 * (c % 2) & 15 for c in range(channels)]
    num_tables = num_classes * (21 if has_context else 1)
    used = source.take((num_tables + 7) // 8)
    rows = []
    for table in range(num_tables):
        if used[table // 8] >> table % 8 & 1:
            rows.append(frequencies(source.take(num_levels)))
        else:
            rows.append([65535 - num_levels + 1] + [1] * (num_levels - 1))
    return levels, classes, rows


def frequencies(codes):
    weights = [0 if c == 255 else WEIGHTS[c % 16] >> c // 16 for c in codes]
    row = [1 + w * (65535 - len(codes)) // sum(weights) for w in weights]
    row[weights.index(max(weights))] += 65535 - sum(row)
    return row


def table_of(rows):
    cdf = [[0, *np.cumsum(row).tolist(), 65536] for row in rows]
    return sc.CdfTable.from_cdf(np.array(cdf), np.full(len(cdf), len(cdf[0])), np.zeros(len(cdf), int))


def neighbour(plane, i, j, by_i, by_j, distance):
    rows, columns = (-(-side // distance) for side in plane.shape)

    def place(at, by, count):
        if by == 0 or 0 <= at + by < count:
            return at + by
        return at - by if 0 <= at - by < count else None

    y, x = place(i, by_i, rows), place(j, by_j, columns)
    return 0 if y is None or x is None else min(15, int(plane[y * distance, x * distance]))


def places(plane, index):
    """(y, x, context) of a pass, the contexts from what the plane holds now."""
    distance = (4, 2, 2, 1, 1)[index]
    diagonal = index in (1, 3)
    for i in range(-(-plane.shape[0] // distance)):
        for j in range(-(-plane.shape[1] // distance)):
            odd = i % 2 + j % 2
            if index and odd != (2 if diagonal else 1):
                continue
            context = 0
            if index:
                around = [(1, 1), (1, -1), (-1, 1), (-1, -1)] if diagonal else [(1, 0), (-1, 0), (0, 1), (0, -1)]
                total = sum(neighbour(plane, i, j, *by, distance) for by in around)
                context = (1 if diagonal else 11) + sum(total > edge for edge in EDGES)
            yield i * distance, j * distance, context


ESTIMATE_EDGES = (0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50)


def estimates(symbols, kinds, table):
    """The entry of a table [class * 14 + bin, symbol] for every place."""
    found = np.zeros(symbols.shape, np.float32)
    for p, plane in enumerate(symbols):
        for i, j in np.ndindex(plane.shape):
            around = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
            total = sum(neighbour(plane, i, j, y, x, 1) for y, x in around)
            found[p, i, j] = table[14 * kinds[p] + sum(total > edge for edge in ESTIMATE_EDGES), plane[i, j]]
    return found


def decode(data, codec=None):
    """Shape, dtype name, and what all symbols stand for as float32."""
    source = Bytes(data[:-4])
    assert source.take(4) == b"SCF\x01"
    flags, num_axes = source.take(2)
    shape = tuple(source.varint() for _ in range(num_axes))
    channels, height, width = (1, 1, 1, *shape)[-3:]
    has_context = bool(flags & 4)
    if flags & 8:
        source.take(8)
        known = Bytes(codec[:-4])
        coding = known.take(9)[4]
        levels, classes, rows = description(known, int.from_bytes(codec[5:9], "little"), has_context)
    else:
        levels, classes, rows = description(source, channels, has_context)
    table = table_of(rows)
    symbols = np.zeros((math.prod(shape[:-2]) if math.prod(shape) else 0, height, width), int)
    kinds = [classes[p % channels] if len(classes) == channels else 0 for p in range(len(symbols))]
    for index in range(5 if has_context else 1):
        stream = source.take(source.varint())
        if not has_context:
            indexes = np.repeat(kinds, height * width).astype(int)
            symbols.reshape(-1)[:] = sc.rans.decode(stream, indexes, table)
            continue
        found = [(p, y, x, 21 * kinds[p] + c) for p, plane in enumerate(symbols) for y, x, c in places(plane, index)]
        values = sc.rans.decode(stream, np.array([c for *_, c in found], int), table)
        for (p, y, x, _), value in zip(found, values, strict=True):
            symbols[p, y, x] = value
    assert source.at == len(source.data)
    values = levels[symbols]
    if flags & 8 and coding & 128:
        known.take(4 * (len(levels) - 1))
        table = np.frombuffer(known.data[known.at :], "<f4").reshape(-1, len(levels))
        values = estimates(symbols, kinds, table)
    return shape, ("float32", "float16", "bfloat16")[flags & 3], values.reshape(shape)
