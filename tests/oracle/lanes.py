"""The lane stream as csrc/FORMAT.md section 5 has it, a symbol at a time in Python integers.

Slow, and written from the page alone: it shares nothing with the core.

"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

SLOTS = 1 << 15
WORD = 1 << 16
LANE_COUNTS = (1, 4, 8, 32)
SEVERAL_CHUNKS = 0x7C
MAX_CELLS = 128
MAX_K = 7
LEAST_STEP = 13
PARTS = 16

NextWord = Callable[[], int]
NextByte = Callable[[], int]


def fail(condition: bool, text: str) -> None:
    if condition:
        raise ValueError(text)


# ---- 5.1 tables


class Cell(NamedTuple):
    """2^k symbols from ``first_symbol`` on, with ``freq * 2^k`` slots from ``start`` on."""

    first_symbol: int
    start: int
    freq: int


class Escape(NamedTuple):
    start: int
    freq: int


@dataclass(frozen=True)
class LaneTable:
    """Cells in ascending order; ``first`` and ``last`` are the first and last symbol of all; ``cost`` is H of 5.5."""

    k: int
    first: int
    last: int
    cells: list[Cell]
    escape: Escape
    cost: int

    def has(self, symbol: int) -> bool:
        return self.first <= symbol <= self.last


def lane_tables(cdf: Any, cdf_length: Any, offset: Any) -> list[LaneTable]:
    """A lane table for each row of CompressAI's three buffers."""
    rows, lengths, offsets = plain(cdf), plain(cdf_length), plain(offset)
    return [lane_table(plain(row)[:n], o) for row, n, o in zip(rows, lengths, offsets, strict=True)]


def plain(values: Any) -> list[Any]:
    return values.tolist() if hasattr(values, "tolist") else list(values)


def lane_table(row: Sequence[int], offset: int) -> LaneTable:
    freqs = [high - low for low, high in pairwise(row)]
    *c, e = freqs
    c = c or [0]
    mode = max(range(len(c)), key=lambda v: (c[v], -abs(offset + v), -v))
    k, u_first, u_last = kept_cells(len(c), mode)

    weights = [0] * (u_last - u_first + 1) + [e]
    for v, weight in enumerate(c):
        u = cell_of(v, mode, k)
        weights[u - u_first if u_first <= u <= u_last else -1] += weight
    f = frequencies(weights, SLOTS >> k)

    starts, free = {}, 0
    for u in mode_first(u_first, u_last):
        starts[u] = free
        free += f[u - u_first] << k

    first = offset + mode - half(k) + (u_first << k)
    cells = [Cell(first + (i << k), starts[u_first + i], freq) for i, freq in enumerate(f[:-1])]
    return LaneTable(k, first, first + (len(cells) << k) - 1, cells, Escape(free, f[-1] << k), expected_cost(freqs))


def half(k: int) -> int:
    return (1 << k) // 2


def cell_of(v: int, mode: int, k: int) -> int:
    return (v - mode + half(k)) // (1 << k)


def kept_cells(count: int, mode: int) -> tuple[int, int, int]:
    """k, and the first and the last cell that a row of ``count`` symbols keeps."""
    for k in range(MAX_K + 1):
        a, b = cell_of(0, mode, k), cell_of(count - 1, mode, k)
        if b - a + 1 <= MAX_CELLS:
            return k, a, b
    u_first = max(a, min(-64, b - 127))
    return MAX_K, u_first, u_first + MAX_CELLS - 1


def mode_first(u_first: int, u_last: int) -> list[int]:
    """0, 1, -1, 2, -2, ... as far as they exist."""
    return sorted(range(u_first, u_last + 1), key=lambda u: (abs(u), u < 0))


def frequencies(weights: Sequence[int], total: int) -> list[int]:
    """Frequencies of at least 1 that sum to ``total``."""
    f = [max(1, (2 * weight * total + 65536) // 131072) for weight in weights]
    while sum(f) < total:
        f[max(range(len(f)), key=lambda i: weights[i] * gain(f[i]))] += 1  # max and min take the first of equals
    while sum(f) > total:
        donors = [i for i in range(len(f)) if f[i] > 1]
        f[min(donors, key=lambda i: weights[i] * gain(f[i] - 1))] -= 1
    return f


def gain(f: int) -> int:
    """About 2^47 ln(1 + 1 / f)."""
    d = 2 * f + 1
    return (1 << 48) // d + (1 << 48) // (3 * d**3)


def expected_cost(freqs: Iterable[int]) -> int:
    """H of a row: bits a symbol, in 1/256 bit."""
    return sum(c * (4096 - log2_256(c)) for c in freqs) // 65536


def log2_256(c: int) -> int:
    j = c.bit_length() - 1
    return 256 * j + 256 * (c - (1 << j)) // (1 << j)


# ---- 5.2 steps, varints, the side stream


class Step(NamedTuple):
    start: int
    freq: int
    k: int
    raw: int


def step_of(symbol: int, table: LaneTable) -> Step:
    if not table.has(symbol):
        return Step(*table.escape, 0, 0)
    i, raw = divmod(symbol - table.first, 1 << table.k)
    return Step(table.cells[i].start, table.cells[i].freq, table.k, raw)


def puts_word(x: int, step: Step) -> bool:
    return x >= step.freq << 17


def push(x: int, step: Step, words: list[int]) -> int:
    """Encode one step; a word that is put out is appended to ``words``."""
    if puts_word(x, step):
        words.append(x % WORD)
        x //= WORD
    return x // step.freq * SLOTS + step.start + ((x % step.freq) << step.k) + step.raw


def pop(x: int, table: LaneTable, next_word: NextWord, next_side: NextByte) -> tuple[int, int]:
    """Decode one symbol: the new state and the symbol."""
    slot = x % SLOTS
    symbol, start, freq, k = find(slot, table)
    x = freq * (x // SLOTS) + ((slot - start) >> k)
    if x < WORD:
        x = x * WORD + next_word()
    if symbol is None:
        symbol = unescape(read_varint(next_side, 33), table)
    else:
        symbol += (slot - start) % (1 << k)
    fail(not is_int32(symbol), f"symbol {symbol} is no int32")
    return x, symbol


def find(slot: int, table: LaneTable) -> tuple[int | None, int, int, int]:
    """The first symbol (None for the escape), start, freq and k of what holds a slot."""
    for first_symbol, start, freq in table.cells:
        if start <= slot < start + (freq << table.k):
            return first_symbol, start, freq, table.k
    return None, *table.escape, 0


def is_int32(symbol: int) -> bool:
    return -(1 << 31) <= symbol < 1 << 31


def escape_value(symbol: int, table: LaneTable) -> int:
    return 2 * (table.first - symbol) - 1 if symbol < table.first else 2 * (symbol - table.last - 1)


def unescape(value: int, table: LaneTable) -> int:
    return table.first - (value + 1) // 2 if value % 2 else table.last + 1 + value // 2


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    low, high = value % 128, value // 128
    return bytes([low | 128]) + varint(high) if high else bytes([low])


def read_varint(next_byte: NextByte, bits: int = 32) -> int:
    value = 0
    for i in range(5):
        byte = next_byte()
        value += (byte % 128) << (7 * i)
        if byte < 128:
            fail(i > 0 and byte == 0, "a varint is not in its shortest spelling")
            fail(value >= 1 << bits, f"a varint has more than {bits} bits")
            return value
    raise ValueError("a varint is longer than 5 bytes")


def words_to_bytes(words: Iterable[int]) -> bytes:
    return b"".join(word.to_bytes(2, "little") for word in words)


# ---- 5.3 a chunk, encoding

Message = list[tuple[int, LaneTable]]  # symbols, each with its table


def encode_chunk(message: Message, lanes: int, place: int | None, max_tail: int) -> bytes:
    return encode_single(message) if lanes == 1 else encode_lanes(message, lanes, place, max_tail)


def side_stream(message: Message) -> bytes:
    """In the order in which it lies in the chunk: the first escape at its end."""
    values = [escape_value(symbol, table) for symbol, table in message if not table.has(symbol)]
    return b"".join(map(varint, values))[::-1]


def encode_single(message: Message) -> bytes:
    x, put_out, side = WORD, [], side_stream(message)
    for symbol, table in reversed(message):
        x = push(x, step_of(symbol, table), put_out)
    state = x.to_bytes((x.bit_length() + 7) // 8, "little")
    w = len(state) - 3 + (2 if side else 0)
    return bytes([w << 2]) + (varint(len(side)) if side else b"") + state + words_to_bytes(reversed(put_out)) + side


def encode_tail(message: Message, end: int, lanes: int, max_tail: int) -> tuple[int, list[int], int]:
    """How many symbols before ``end`` the tail takes, the seeds that they make, and how many words are in these."""
    x, put_out, taken = WORD, [], 0
    for symbol, table in reversed(message[:end]):
        step = step_of(symbol, table)
        if taken == max_tail or (puts_word(x, step) and len(put_out) == lanes - 2):
            break
        x = push(x, step, put_out)
        taken += 1
    seeds = [x % WORD, x // WORD, *reversed(put_out)]
    return taken, seeds + [0] * (lanes - len(seeds)), len(put_out)


def encode_lanes(message: Message, lanes: int, place: int | None, max_tail: int) -> bytes:
    end = end_of_tail(place, len(message))
    taken, seeds, w = encode_tail(message, end, lanes, max_tail)
    others = message[: end - taken] + message[end:]
    side = side_stream(others + message[end - taken : end])

    states, put_out = [WORD + seed for seed in seeds], []
    for j in reversed(range(len(others))):
        symbol, table = others[j]
        states[j % lanes] = push(states[j % lanes], step_of(symbol, table), put_out)

    head = [LANE_COUNTS.index(lanes) + 4 * w + (0 if place is None else 128)]
    head += [] if place is None else [place]
    return bytes(head) + varint(taken) + states_to_bytes(states) + words_to_bytes(reversed(put_out)) + side


def end_of_tail(place: int | None, count: int) -> int:
    return count if place is None else place * count // 256


def states_to_bytes(states: Sequence[int]) -> bytes:
    """Lengths, rests and lows."""
    lengths = rests = used = 0
    for lane, x in enumerate(states):
        high = x // WORD
        b = high.bit_length()
        lengths |= (b - 1) << (4 * lane)
        rests |= (high - (1 << (b - 1))) << used
        used += b - 1
    lows = words_to_bytes(x % WORD for x in states)
    return lengths.to_bytes(len(states) // 2, "little") + rests.to_bytes((used + 7) // 8, "little") + lows


# ---- 5.3 a chunk, decoding


class Reader:
    """Bytes from the front and, for the side stream, from the back."""

    def __init__(self, data: bytes) -> None:
        self.data, self.front, self.back = data, 0, len(data)

    def take(self, count: int) -> bytes:
        fail(self.back - self.front < count, "the stream ends inside its head")
        self.front += count
        return self.data[self.front - count : self.front]

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "little")

    def word(self) -> int:
        fail(self.back - self.front < 2, "the words end too early")
        return self.number(2)

    def side_byte(self) -> int:
        fail(self.back == self.front, "the side stream ends too early")
        self.back -= 1
        return self.data[self.back]


def decode_chunk(data: bytes, tables: Sequence[LaneTable]) -> list[int]:
    """The symbols of a chunk; ``tables`` has one table for each of them."""
    reader = Reader(data)
    head = reader.byte()
    lanes, w, has_place = LANE_COUNTS[head % 4], head // 4 % 32, head >= 128
    if lanes == 1:
        fail(w > 3 or has_place, f"no chunk of one lane starts with {head:02x}")
        return decode_single(reader, w % 2 + 3, w >= 2, tables)
    fail(w > lanes - 2, f"{w} words in a tail of {lanes} lanes")
    return decode_lanes(reader, lanes, w, has_place, tables)


def decode_single(reader: Reader, state_bytes: int, has_side: bool, tables: Sequence[LaneTable]) -> list[int]:
    side_length = read_varint(reader.byte) if has_side else 0
    fail(has_side and side_length == 0, "an empty side stream")
    x = reader.number(state_bytes)
    fail(x < 1 << (8 * (state_bytes - 1)), "the first state has a zero byte at its end")
    body = reader.take(reader.back - reader.front)
    fail(side_length > len(body), "the side stream is longer than the chunk")
    words, side = Reader(body[: len(body) - side_length]), Reader(body[len(body) - side_length :])
    fail(words.back % 2 != 0, "half a word")
    symbols = decode_state(x, tables, words, side.side_byte)
    fail(side.back != 0, "the side stream ends too late")
    return symbols


def decode_state(x: int, tables: Sequence[LaneTable], words: Reader, next_side: NextByte) -> list[int]:
    """K = 1, and the tail of the others: a state of its own, which ends at 2^16, with words of its own."""
    symbols = []
    for table in tables:
        x, symbol = pop(x, table, words.word, next_side)
        symbols.append(symbol)
    fail(words.front < words.back, "the words end too late")
    fail(x != WORD, f"the state ends at {x}, not at 2^16")
    return symbols


def decode_lanes(reader: Reader, lanes: int, w: int, has_place: bool, tables: Sequence[LaneTable]) -> list[int]:
    place = reader.byte() if has_place else None
    fail(place == 0, "a place of 0")
    end = end_of_tail(place, len(tables))
    taken = read_varint(reader.byte)
    fail(taken > end, f"a tail of {taken} symbols before symbol {end}")
    states = read_states(reader, lanes)

    others = []
    for j, table in enumerate([*tables[: end - taken], *tables[end:]]):
        states[j % lanes], symbol = pop(states[j % lanes], table, reader.word, reader.side_byte)
        others.append(symbol)

    fail(any(not WORD <= x < 2 * WORD for x in states), "a lane does not end in [2^16, 2^17)")
    tail = decode_tail([x - WORD for x in states], w, tables[end - taken : end], reader.side_byte)
    fail(reader.front != reader.back, "words and side stream do not end at one place")
    return others[: end - taken] + tail + others[end - taken :]


def read_states(reader: Reader, lanes: int) -> list[int]:
    packed = reader.number(lanes // 2)
    lengths = [(packed >> (4 * lane)) & 15 for lane in range(lanes)]
    rests = reader.number((sum(lengths) + 7) // 8)
    highs = []
    for length in lengths:
        highs.append((1 << length) + rests % (1 << length))
        rests >>= length
    fail(rests != 0, "the bits after the rests are not zero")
    return [high * WORD + reader.number(2) for high in highs]


def decode_tail(seeds: Sequence[int], w: int, tables: Sequence[LaneTable], next_side: NextByte) -> list[int]:
    x = seeds[0] + WORD * seeds[1]
    fail(x < WORD, "the state of the tail is below 2^16")
    fail(any(seeds[2 + w :]), "a seed after the tail's words is not 0")
    return decode_state(x, tables, Reader(words_to_bytes(seeds[2 : 2 + w])), next_side)


# ---- 5.4 a stream


def chunk_bounds(count: int, num_chunks: int) -> list[tuple[int, int]]:
    return [(i * count // num_chunks, (i + 1) * count // num_chunks) for i in range(num_chunks)]


def most_chunks(count: int) -> int:
    return min(count, count // 128 + 16)


def join(chunks: Sequence[bytes]) -> bytes:
    if len(chunks) == 1:
        return chunks[0]
    head = bytes([SEVERAL_CHUNKS]) + varint(len(chunks)) + b"".join(varint(len(chunk)) for chunk in chunks[:-1])
    return head + b"".join(chunks)


def split(data: bytes, count: int) -> list[bytes]:
    if data[:1] != bytes([SEVERAL_CHUNKS]):
        return [data]
    reader = Reader(data[1:])
    n = read_varint(reader.byte)
    fail(not 2 <= n <= most_chunks(count), f"{n} chunks of {count} symbols")
    chunks = [reader.take(length) for length in [read_varint(reader.byte) for _ in range(n - 1)]]
    return [*chunks, reader.take(reader.back - reader.front)]


def decode(data: bytes, indexes: Any, tables: Sequence[LaneTable]) -> list[int]:
    """The symbols of a stream, or a ValueError for whatever section 5 says a decoder refuses."""
    of_symbol = [tables[index] for index in plain(indexes)]
    chunks = split(bytes(data), len(of_symbol))
    bounds = chunk_bounds(len(of_symbol), len(chunks))
    parts = [decode_chunk(chunk, of_symbol[i:j]) for chunk, (i, j) in zip(chunks, bounds, strict=True)]
    return [symbol for part in parts for symbol in part]


# ---- 5.5 what our encoder chooses


def encode(symbols: Any, indexes: Any, tables: Sequence[LaneTable]) -> bytes:
    """The bytes that our encoder writes."""
    message = make_message(symbols, indexes, tables)
    count, size = len(message), expected_bytes(message)
    n = choose_chunks(size, count)
    chunks = []
    for i, j in chunk_bounds(count, n):
        lanes = choose_lanes(size // n, j - i)
        chunks.append(encode_chunk(message[i:j], lanes, choose_place(message[i:j]) if lanes > 1 else None, 4096))
    return join(chunks)


def encode_with(
    symbols: Any,
    indexes: Any,
    tables: Sequence[LaneTable],
    *,
    num_chunks: int,
    lanes: int,
    place: int | None = None,
    max_tail: int = 4096,
) -> bytes:
    """A valid stream of so many chunks, each with K = ``lanes``; a place of None is no place, not our encoder's."""
    message = make_message(symbols, indexes, tables)
    fail(not 1 <= num_chunks <= max(1, most_chunks(len(message))), f"{num_chunks} chunks of {len(message)} symbols")
    fail(lanes not in LANE_COUNTS, f"{lanes} lanes")
    fail(place is not None and (lanes == 1 or not 1 <= place < 256), f"place {place} with {lanes} lanes")
    bounds = chunk_bounds(len(message), num_chunks)
    return join([encode_chunk(message[i:j], lanes, place, max_tail) for i, j in bounds])


def make_message(symbols: Any, indexes: Any, tables: Sequence[LaneTable]) -> Message:
    message = [(symbol, tables[index]) for symbol, index in zip(plain(symbols), plain(indexes), strict=True)]
    fail(not all(is_int32(symbol) for symbol, _ in message), "a symbol is no int32")
    return message


def sample_step(count: int, samples: int) -> int:
    return max(LEAST_STEP, count // samples | 1)


def expected_bytes(message: Message) -> int:
    costs = [table.cost for _, table in message[:: sample_step(len(message), 4096)]]
    return len(message) * sum(costs) // (2048 * len(costs)) if costs else 0


def choose_chunks(size: int, count: int) -> int:
    return max(1, min(size // 12288, max(4, size // 16384), count // 4096))


def choose_lanes(size: int, count: int) -> int:
    if size < 2000 or count < 1024:
        return 1
    if size < 2800:
        return 4
    return 8 if size < 7000 else 32


def choose_place(message: Message) -> int | None:
    parts: list[list[int]] = [[] for _ in range(PARTS)]
    for i in range(0, len(message), sample_step(len(message), 512)):
        parts[PARTS * i // len(message)].append(message[i][1].cost)
    means = [Fraction(sum(part), len(part)) if part else Fraction(0) for part in parts]
    densest = means.index(max(means))
    return 16 * (densest + 1) if means[densest] > 2 * means[-1] else None
