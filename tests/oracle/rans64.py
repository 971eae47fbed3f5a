"""rANS as in the rans64 format, a symbol at a time in Python integers; slow, and it shares nothing with the core.

It knows nothing of reciprocals, blocks, buckets or modes: intervals are searched from the first one on, and words are
pushed where the definition says so.

"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

LOW = 1 << 31
WORD_BITS = 32
PRECISION = 16
NIBBLE_BITS = 4


class Step(NamedTuple):
    """An interval of a distribution with ``2**bits`` counts."""

    start: int
    freq: int
    bits: int


class Tables(NamedTuple):
    """CompressAI's three buffers as lists."""

    cdf: Sequence[Sequence[int]]
    cdf_length: Sequence[int]
    offset: Sequence[int]


def nibbles(raw: int) -> list[int]:
    """Least significant first; none for 0."""
    return [] if raw == 0 else [raw & 15, *nibbles(raw >> NIBBLE_BITS)]


def steps(symbol: int, index: int, tables: Tables) -> Iterator[Step]:
    """What a decoder meets, in its order: the symbol's interval, the count of nibbles, the nibbles."""
    cdf, escape = tables.cdf[index], tables.cdf_length[index] - 2
    value, raw = symbol - tables.offset[index], 0
    if value < 0:
        value, raw = escape, -2 * value - 1
    elif value >= escape:
        value, raw = escape, 2 * (value - escape)
    yield Step(cdf[value], cdf[value + 1] - cdf[value], PRECISION)
    if value == escape:
        count = len(nibbles(raw))
        for nibble in (*[15] * (count // 15), count % 15, *nibbles(raw)):
            yield Step(nibble, 1, NIBBLE_BITS)


def all_steps(symbols: Sequence[int], indexes: Sequence[int], tables: Tables) -> list[Step]:
    return [step for s, k in zip(symbols, indexes, strict=True) for step in steps(s, k, tables)]


def encode(symbols: Sequence[int], indexes: Sequence[int], tables: Tables) -> bytes:
    state, words = LOW, []
    for start, freq, bits in reversed(all_steps(symbols, indexes, tables)):
        if state >= freq * (LOW << WORD_BITS >> bits):
            words.append(state % (1 << WORD_BITS))
            state >>= WORD_BITS
        state = (state // freq << bits) + state % freq + start
    words += [state >> WORD_BITS, state % (1 << WORD_BITS)]
    return b"".join(word.to_bytes(4, "little") for word in reversed(words))


def decode(data: bytes, indexes: Sequence[int], tables: Tables) -> list[int]:
    words = [int.from_bytes(data[i : i + 4], "little") for i in range(0, len(data), 4)]
    low, high, *words = words
    state = high << WORD_BITS | low

    def take(cdf: Sequence[int], bits: int) -> int:
        nonlocal state
        slot = state % (1 << bits)
        value = next(v for v in range(len(cdf)) if cdf[v] <= slot < cdf[v + 1])
        state = (cdf[value + 1] - cdf[value]) * (state >> bits) + slot - cdf[value]
        if state < LOW:
            state = state << WORD_BITS | words.pop(0)
        return value

    def take_nibble() -> int:
        return take(range(17), NIBBLE_BITS)

    symbols = []
    for index in indexes:
        escape = tables.cdf_length[index] - 2
        value = take(tables.cdf[index], PRECISION)
        if value == escape:
            count = part = take_nibble()
            while part == 15:
                part = take_nibble()
                count += part
            raw = sum(take_nibble() << (NIBBLE_BITS * i) for i in range(count))
            value = -(raw >> 1) - 1 if raw & 1 else (raw >> 1) + escape
        symbols.append(value + tables.offset[index])
    if words or state != LOW:
        raise ValueError("the stream does not end as it began")
    return symbols


def ideal_bits(symbols: Sequence[int], indexes: Sequence[int], tables: Tables) -> float:
    """Information content of the steps: what no coder of these tables can go below."""
    return sum(step.bits - math.log2(step.freq) for step in all_steps(symbols, indexes, tables))
