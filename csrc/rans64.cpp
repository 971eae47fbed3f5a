/// The rans64 stream: encoder and decoder.
#include "rans64.hpp"

#include <algorithm>
#include <limits>
#include <new>

namespace scalecodec {

namespace {

// An escaped value is 33 bits at most (two int32 apart, zigzag): 9 nibbles, and one nibble that counts them.
constexpr int kMaxNibbles = 9;
// Words one symbol can push: 16 bits of the symbol, 40 of nibbles, and what the state holds.
constexpr std::size_t kMaxWordsPerSymbol = 2;
constexpr std::size_t kStateWords = 2;

inline void store_word(std::uint8_t* to, Word word) {
  for (int i = 0; i < kWordBytes; ++i) to[i] = static_cast<std::uint8_t>(word >> (8 * i));
}

inline Word load_word(const std::uint8_t* from) {
  return static_cast<Word>(from[0]) | static_cast<Word>(from[1]) << 8 | static_cast<Word>(from[2]) << 16 |
         static_cast<Word>(from[3]) << 24;
}

/// What a symbol is in its table: a value, and for the escape value the zigzag code of the distance outside.
struct Located {
  std::uint32_t value;
  std::uint64_t escaped;
};

inline Located locate(std::int32_t symbol, const SymbolRange& row) {
  const std::int64_t value = std::int64_t{symbol} - row.offset;
  if (value < 0) return {row.escape, static_cast<std::uint64_t>(-2 * value - 1)};
  if (value >= row.escape) return {row.escape, static_cast<std::uint64_t>(2 * (value - row.escape))};
  return {static_cast<std::uint32_t>(value), 0};
}

/// False where the code stands for no int32.
inline bool unescape(std::uint64_t escaped, const SymbolRange& row, std::int32_t& symbol) {
  const std::int64_t half = static_cast<std::int64_t>(escaped >> 1);
  const std::int64_t value = (escaped & 1 ? -half - 1 : half + row.escape) + row.offset;
  symbol = static_cast<std::int32_t>(value);
  return value >= std::numeric_limits<std::int32_t>::min() &&
         value <= std::numeric_limits<std::int32_t>::max();
}

/// Pushes words towards lower addresses.
struct Pusher {
  std::uint8_t* next;
  State x;

  void renorm(State limit) {
    if (x >= limit) {
      next -= kWordBytes;
      store_word(next, static_cast<Word>(x));
      x >>= kWordBits;
    }
  }

  void put(const EncodeStep& step) {
    renorm(step.limit());
    x = step.put(x);
  }

  void put_nibble(std::uint32_t nibble) {
    renorm(State{1} << (63 - kNibbleBits));
    x = x << kNibbleBits | nibble;
  }

  void put_escaped(std::uint64_t escaped) {
    int nibbles = 0;
    while (escaped >> (kNibbleBits * nibbles)) ++nibbles;
    for (int i = nibbles - 1; i >= 0; --i) put_nibble(escaped >> (kNibbleBits * i) & 15);
    put_nibble(static_cast<std::uint32_t>(nibbles));
  }
};

/// Pulls words towards higher addresses; a word that is not there leaves `next` null.
struct Puller {
  const std::uint8_t* next;
  const std::uint8_t* end;
  State x;

  std::uint32_t get_nibble() {
    const std::uint32_t nibble = x & 15;
    x >>= kNibbleBits;
    if (x < kStateLow && next) {
      next = next == end ? nullptr : next + kWordBytes;
      if (next) x = x << kWordBits | load_word(next - kWordBytes);
    }
    return nibble;
  }

  Status get_escaped(std::uint64_t& escaped) {
    const int nibbles = static_cast<int>(get_nibble());
    if (nibbles > kMaxNibbles) return Status::kStreamEscape;
    escaped = 0;
    for (int i = 0; i < nibbles; ++i) escaped |= std::uint64_t{get_nibble()} << (kNibbleBits * i);
    return next ? Status::kOk : Status::kStreamShort;
  }
};

/// Copy one block of indexes and check the copy: the caller's array may change under us, or be our own
/// output.
Result load_indexes(const IntegerSource& indexes, std::size_t first, std::size_t count,
                    std::size_t num_tables, std::int32_t* to) {
  const std::size_t fitting = indexes.load(first, count, to);
  // Its top bit says that one was below 0 or above the last table: a sum of bits, so that it is vectorised.
  const std::uint32_t last_table = static_cast<std::uint32_t>(num_tables) - 1;
  std::uint32_t signs = 0;
  for (std::size_t i = 0; i < fitting; ++i) {
    const std::uint32_t index = static_cast<std::uint32_t>(to[i]);
    signs |= index | (last_table - index);
  }
  if (fitting == count && !(signs >> 31)) return {};
  const auto outside = [&](std::int32_t index) { return static_cast<std::uint32_t>(index) >= num_tables; };
  return {Status::kIndexRange,
          first + static_cast<std::size_t>(std::find_if(to, to + fitting, outside) - to)};
}

}  // namespace

Status Rans64Encoder::reserve(std::size_t num_words) {
  const std::size_t wanted = num_words * kWordBytes;
  if (position_ >= wanted) return Status::kOk;
  const std::size_t used = num_bytes();
  try {
    std::vector<std::uint8_t> larger(std::max(2 * buffer_.size(), used + wanted));
    std::copy(bytes(), bytes() + used, larger.end() - static_cast<std::ptrdiff_t>(used));
    position_ = larger.size() - used;
    buffer_.swap(larger);
  } catch (const std::bad_alloc&) {
    return Status::kNoMemory;
  }
  return Status::kOk;
}

/// Blocks of symbols from the last one on; `put(block, first, count)` codes one that there is room for.
template <class Put>
Result Rans64Encoder::encode_blocks(const IntegerSource& symbols, Put&& put) {
  std::int32_t scratch[kBlock];
  for (std::size_t last = symbols.size; last > 0;) {
    const std::size_t count = std::min(kBlock, last);
    const std::size_t first = last - count;
    std::size_t fitting;
    const std::int32_t* block = symbols.view(first, count, scratch, fitting);
    if (fitting != count) return {Status::kSymbolRange, first + fitting};
    Result result{reserve(kMaxWordsPerSymbol * count), first};
    if (result.ok()) result = put(block, first, count);
    if (!result.ok()) return result;
    last = first;
  }
  return {};
}

Result Rans64Encoder::encode_reverse(const IntegerSource& symbols, const IntegerSource& indexes,
                                     const CdfTable& table) {
  std::int32_t index_block[kBlock];
  return encode_blocks(symbols, [&](const std::int32_t* block, std::size_t first, std::size_t count) {
    const Result result = load_indexes(indexes, first, count, table.num_tables(), index_block);
    if (result.ok()) put_block(block, index_block, count, table);
    return result;
  });
}

Result Rans64Encoder::encode_reverse(const IntegerSource& symbols, const RowsView& tables) {
  return encode_blocks(symbols, [&](const std::int32_t* block, std::size_t first, std::size_t count) {
    Pusher pusher{buffer_.data() + position_, state_};
    for (std::size_t i = count; i-- > 0;) {
      const SymbolRange range = tables.range(first + i);
      const Located located = locate(block[i], range);
      if (located.value == range.escape) pusher.put_escaped(located.escaped);
      const std::int32_t* const entry = tables.rows[first + i] + located.value;
      pusher.put(
          EncodeStep(static_cast<std::uint32_t>(entry[0]), static_cast<std::uint32_t>(entry[1] - entry[0])));
    }
    position_ = static_cast<std::size_t>(pusher.next - buffer_.data());
    state_ = pusher.x;
    return Result{};
  });
}

void Rans64Encoder::put_block(const std::int32_t* symbols, const std::int32_t* indexes, std::size_t count,
                              const CdfTable& table) {
  Pusher pusher{buffer_.data() + position_, state_};
  for (std::size_t i = count; i-- > 0;) {
    const TableRow& row = table.row(static_cast<std::size_t>(indexes[i]));
    const Located located = locate(symbols[i], row);
    if (located.value == row.escape) pusher.put_escaped(located.escaped);
    pusher.put(row.steps[located.value]);
  }
  position_ = static_cast<std::size_t>(pusher.next - buffer_.data());
  state_ = pusher.x;
}

Result Rans64Encoder::finish() {
  const Status status = reserve(kStateWords);
  if (status != Status::kOk) return {status, 0};
  position_ -= kStateWords * kWordBytes;
  store_word(buffer_.data() + position_, static_cast<Word>(state_));
  store_word(buffer_.data() + position_ + kWordBytes, static_cast<Word>(state_ >> kWordBits));
  return {};
}

Result Rans64Decoder::start(const std::uint8_t* bytes, std::size_t num_bytes) {
  if (num_bytes < kStateWords * kWordBytes || num_bytes % kWordBytes)
    return {Status::kStreamLength, num_bytes};
  state_ = load_word(bytes) | static_cast<State>(load_word(bytes + kWordBytes)) << kWordBits;
  if (state_ < kStateLow || state_ >> 63) return {Status::kStreamStart, 0};
  next_ = bytes + kStateWords * kWordBytes;
  end_ = bytes + num_bytes;
  return {};
}

Result Rans64Decoder::decode(const IntegerSource& indexes, const CdfTable& table, const IntegerSink& out) {
  std::int32_t index_block[kBlock], symbol_scratch[kBlock];
  for (std::size_t first = 0; first < indexes.size; first += kBlock) {
    const std::size_t count = std::min(kBlock, indexes.size - first);
    const Result result = load_indexes(indexes, first, count, table.num_tables(), index_block);
    if (!result.ok()) return result;
    std::int32_t* symbols = out.target(first, symbol_scratch);
    std::size_t done = 0;
    const Status status = get_block(index_block, count, table, symbols, done);
    if (status != Status::kOk) return {status, first + done};
    const std::size_t stored = out.store(first, count, symbols);
    if (stored != count) return {Status::kOutputRange, first + stored};
  }
  return {};
}

Result Rans64Decoder::decode(const RowsView& tables, const IntegerSink& out) {
  std::int32_t scratch[kBlock];
  for (std::size_t first = 0; first < out.size; first += kBlock) {
    const std::size_t count = std::min(kBlock, out.size - first);
    std::int32_t* symbols = out.target(first, scratch);
    for (std::size_t i = 0; i < count; ++i) {
      const Status status = get_one(tables.rows[first + i], tables.range(first + i), symbols[i]);
      if (status != Status::kOk) return {status, first + i};
    }
    const std::size_t stored = out.store(first, count, symbols);
    if (stored != count) return {Status::kOutputRange, first + stored};
  }
  return {};
}

Status Rans64Decoder::get_one(const std::int32_t* cdf, const SymbolRange& range, std::int32_t& symbol) {
  const std::int32_t slot = static_cast<std::int32_t>(state_ & ((1u << kPrecision) - 1));
  // Halving without a branch: where a slot lies cannot be predicted.
  const std::int32_t* entry = cdf;
  for (std::size_t count = range.escape + std::size_t{1}; count > 1;) {
    const std::size_t half = count / 2;
    entry = entry[half] <= slot ? entry + half : entry;
    count -= half;
  }
  state_ = advance(state_, static_cast<std::uint32_t>(slot - entry[0]),
                   static_cast<std::uint32_t>(entry[1] - entry[0]));
  if (state_ < kStateLow) {
    if (next_ == end_) return Status::kStreamShort;
    state_ = state_ << kWordBits | load_word(next_);
    next_ += kWordBytes;
  }
  const std::uint32_t value = static_cast<std::uint32_t>(entry - cdf);
  if (value == range.escape) return get_escape(range, symbol);
  symbol = static_cast<std::int32_t>(value) + range.offset;
  return Status::kOk;
}

Status Rans64Decoder::get_escape(const SymbolRange& row, std::int32_t& symbol) {
  Puller puller{next_, end_, state_};
  std::uint64_t escaped;
  const Status status = puller.get_escaped(escaped);
  if (status != Status::kOk) return status;
  next_ = puller.next;
  state_ = puller.x;
  return unescape(escaped, row, symbol) ? Status::kOk : Status::kStreamEscape;
}

Status Rans64Decoder::get_block(const std::int32_t* indexes, std::size_t count, const CdfTable& table,
                                std::int32_t* symbols, std::size_t& done) {
  // Locals, so that state and position stay in registers.
  State x = state_;
  const std::uint8_t* next = next_;
  const std::uint8_t* const end = end_;
  for (std::size_t i = 0; i < count; ++i) {
    const TableRow& row = table.row(static_cast<std::size_t>(indexes[i]));
    const std::uint32_t slot = x & ((1u << kPrecision) - 1);
    // Most symbols are their table's mode: predicting that keeps the look-up out of the chain of states.
    const std::uint32_t slot_in_mode = slot - row.mode_start;
    const bool is_mode = slot_in_mode <= row.mode_last;
    std::uint32_t value = row.escape;
    if (is_mode) {
      x = advance(x, slot_in_mode, row.mode_last + 1);
    } else {
      value = row.buckets[slot >> 8];
      Interval interval = row.intervals[value];
      while (slot - interval.start > interval.last) interval = row.intervals[++value];
      x = advance(x, slot - interval.start, interval.last + 1u);
    }
    if (x < kStateLow) {
      if (next == end) return done = i, Status::kStreamShort;
      x = x << kWordBits | load_word(next);
      next += kWordBytes;
    }
    if (is_mode || value != row.escape) {
      symbols[i] = is_mode ? row.mode_symbol : static_cast<std::int32_t>(value) + row.offset;
      continue;
    }
    state_ = x;
    next_ = next;
    const Status status = get_escape(row, symbols[i]);
    if (status != Status::kOk) return done = i, status;
    x = state_;
    next = next_;
  }
  state_ = x;
  next_ = next;
  return Status::kOk;
}

Result Rans64Decoder::finish() const {
  if (next_ != end_) return {Status::kStreamLong, static_cast<std::size_t>(end_ - next_)};
  return state_ == kStateLow ? Result{} : Result{Status::kStreamEnd, 0};
}

}  // namespace scalecodec
