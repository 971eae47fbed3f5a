/// Driver, part 3: streams, indexes and outputs that are not as they should be: a status, never a wild
/// access.
#include <algorithm>
#include <utility>

#include "driver.hpp"

namespace driver {

namespace {

bool is_stream_status(Status status) {
  return status >= Status::kStreamLength && status <= Status::kStreamEscape;
}

/// The first symbol that cannot be decoded, found by decoding them one by one.
std::size_t first_unreadable(const Bytes& stream, const std::vector<std::int32_t>& indexes,
                             const Tables& tables) {
  Rans64Decoder decoder;
  CHECK(decoder.start(stream.data.get(), stream.size).ok());
  std::int32_t symbol;
  std::size_t at = 0;
  const IntegerSink one{&symbol, IntegerType::kInt32, 1};
  while (at < indexes.size() &&
         decoder.decode({indexes.data() + at, IntegerType::kInt32, 1}, tables.prepared, one).ok())
    ++at;
  return at;
}

/// Cut behind every word, and at every byte: a cut is always seen, and the symbol where it hurts is named.
void test_truncation(Random& random) {
  for (int i = 0; i < 150; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(20), 1 + random.spread(9));
    const Values values = random_values(random, tables, 1 + random.below(700), 1 + random.below(30));
    const Bytes stream = encode(values, tables);
    std::vector<std::int32_t> symbols;
    for (std::size_t size = 0; size < stream.size; ++size) {
      const Bytes cut(stream.data.get(), size);
      const Result result = decode(cut, values.indexes, tables, symbols);
      const bool whole_words = size >= 8 && size % 4 == 0;
      CHECK(result.status == (whole_words ? Status::kStreamShort : Status::kStreamLength));
      if (whole_words) CHECK(result.where == first_unreadable(cut, values.indexes, tables));
    }
  }
}

/// What follows the stream, and too few indexes, are told by how many bytes are left.
void test_leftovers(Random& random) {
  const Tables tables = random_tables(random, 8, 40);
  const Values values = random_values(random, tables, 600, 40);
  const Bytes stream = encode(values, tables);
  std::vector<std::int32_t> symbols;
  for (std::size_t more = 1; more <= 12; ++more) {
    Bytes longer(stream.size + more);
    std::copy(stream.data.get(), stream.data.get() + stream.size, longer.data.get());
    const Result result = decode(longer, values.indexes, tables, symbols);
    CHECK(result.status == (more % 4 ? Status::kStreamLength : Status::kStreamLong));
    CHECK(result.where == (more % 4 ? longer.size : more));
    CHECK(more % 4 || symbols == values.symbols);
  }
  for (std::size_t fewer = 1; fewer <= 300; ++fewer) {
    const std::vector<std::int32_t> indexes(values.indexes.begin(),
                                            values.indexes.end() - static_cast<std::ptrdiff_t>(fewer));
    const Status status = decode(stream, indexes, tables, symbols).status;
    CHECK(status == Status::kStreamLong || status == Status::kStreamEnd);
  }
}

/// The first two words must be a state between 2^31 and 2^63.
void test_start() {
  const std::pair<std::uint64_t, bool> states[] = {{0, false},
                                                   {(1u << 31) - 1, false},
                                                   {1u << 31, true},
                                                   {(std::uint64_t{1} << 63) - 1, true},
                                                   {std::uint64_t{1} << 63, false},
                                                   {~std::uint64_t{0}, false}};
  for (const auto& [state, good] : states) {
    Bytes stream(8);
    for (int i = 0; i < 8; ++i)
      stream.data[static_cast<std::size_t>(i)] = static_cast<std::uint8_t>(state >> (8 * i));
    Rans64Decoder decoder;
    CHECK(decoder.start(stream.data.get(), stream.size).status ==
          (good ? Status::kOk : Status::kStreamStart));
    if (good) CHECK(decoder.finish().status == (state == kStateLow ? Status::kOk : Status::kStreamEnd));
  }
}

/// One escape of this many nibbles, made by hand: the decoder's steps backwards.
Bytes escape_stream(std::uint64_t value, int nibbles) {
  State x = kStateLow;
  std::vector<Word> words;  // last first
  const auto renorm = [&](State limit) {
    if (x >= limit) words.push_back(static_cast<Word>(x)), x >>= 32;
  };
  const auto put_nibble = [&](std::uint64_t nibble) {
    renorm(State{1} << 59);
    x = x << 4 | nibble;
  };
  for (int i = std::min(nibbles, 9) - 1; i >= 0; --i) put_nibble(value >> (4 * i) & 15);
  put_nibble(static_cast<std::uint64_t>(nibbles));
  const EncodeStep step(1, 65535);
  renorm(step.limit());
  x = step.put(x);
  words.push_back(static_cast<Word>(x >> 32));
  words.push_back(static_cast<Word>(x));
  Bytes stream(words.size() * 4);
  for (std::size_t i = 0; i < stream.size; ++i)
    stream.data[i] = static_cast<std::uint8_t>(words[words.size() - 1 - i / 4] >> (8 * (i % 4)));
  return stream;
}

/// Escapes that no encoder writes: more than nine nibbles, values outside int32; and the last ones inside.
void test_escape_bounds() {
  Tables tables(1, 3);
  tables.cdf = {0, 1, 65536};
  tables.cdf_length = {3};
  struct {
    std::int32_t offset;
    int nibbles;
    std::uint64_t value;
    bool good;
  } const cases[] = {
      {0, 8, 0xffffffff, true},    {1, 9, 0x100000001, true}, {0, 9, 0x100000001, false},
      {0, 9, 0xfffffffff, false},  {0, 8, 0xfffffffe, false}, {-1, 8, 0xfffffffe, true},
      {-1, 8, 0xffffffff, false},  {0, 9, 3, true},           {0, 0, 0, true},
      {-1, 9, 0xffffffffe, false}, {0, 10, 3, false},         {0, 15, 3, false},
  };
  for (const auto& c : cases) {
    tables.offset = {c.offset};
    tables.prepared = {};
    CHECK(tables.build().ok());
    std::vector<std::int32_t> symbols;
    const Status status = decode(escape_stream(c.value, c.nibbles), {0}, tables, symbols).status;
    CHECK(status == (c.good ? Status::kOk : Status::kStreamEscape));
    const std::int64_t half = static_cast<std::int64_t>(c.value / 2);
    if (c.good) CHECK(symbols[0] == (c.value % 2 ? -half - 1 : half + 1) + c.offset);
  }
}

/// An index outside the tables, at any place and of any type, is named and nothing is read by it.
template <class T>
void check_hostile_index(Random& random, T hostile) {
  const Tables tables = random_tables(random, 100, 5);
  Values values = random_values(random, tables, 1 + random.below(1100), 100);
  const Bytes stream = encode(values, tables);
  const Typed<T> indexes(values.indexes);
  const std::size_t place = random.below(indexes.block.size);
  indexes.block.data[place] = hostile;
  const Typed<std::int32_t> symbols(values.symbols);
  Rans64Encoder encoder;
  const Result encoded = encoder.encode_reverse(symbols.source(), indexes.source(), tables.prepared);
  CHECK(encoded.status == Status::kIndexRange && encoded.where == place);
  Rans64Decoder decoder;
  CHECK(decoder.start(stream.data.get(), stream.size).ok());
  Exact<std::int32_t> out(indexes.block.size);
  const Result decoded =
      decoder.decode(indexes.source(), tables.prepared, {out.data.get(), IntegerType::kInt32, out.size});
  CHECK(decoded.status == Status::kIndexRange && decoded.where == place);
}

void test_hostile_indexes(Random& random) {
  for_each_type([&](auto zero) {
    using T = decltype(zero);
    using Limits = std::numeric_limits<T>;
    const std::uint64_t edges[] = {
        100, 127, Limits::max(), std::uint64_t{1} << 31, std::uint64_t{1} << 32, ~std::uint64_t{0}};
    for (int i = 0; i < 20; ++i)
      for (std::uint64_t edge : edges)
        if (const T hostile = static_cast<T>(edge); hostile < T{0} || hostile >= T{100})
          check_hostile_index(random, hostile);
    if (Limits::is_signed) check_hostile_index(random, Limits::min());
  });
}

/// Symbols outside int32 are refused by the encoder.
void test_symbol_range(Random& random) {
  const Tables tables = random_tables(random, 3, 30);
  constexpr std::int64_t kOne = 1;
  for (std::int64_t wide :
       {kOne << 31, -(kOne << 31) - 1, kOne << 32, std::numeric_limits<std::int64_t>::min()}) {
    Exact<std::int64_t> symbols(1100), indexes(1100);
    const std::size_t place = random.below(1100);
    symbols.data[place] = wide;
    const IntegerSource source{symbols.data.get(), IntegerType::kInt64, 1100};
    Rans64Encoder encoder;
    const Result result =
        encoder.encode_reverse(source, {indexes.data.get(), IntegerType::kInt64, 1100}, tables.prepared);
    CHECK(result.status == Status::kSymbolRange && result.where == place);
  }
}

/// A symbol that the output's type cannot hold is refused by the decoder, which names its place.
void test_output_range(Random& random) {
  const Tables tables = random_tables(random, 3, 30);
  for_each_type([&](auto zero) {
    using T = decltype(zero);
    for (std::int32_t outside : {-1, 128, -129, 256, 32768, -32769, 65536, 2147483647, -2147483647 - 1}) {
      const bool negative = std::numeric_limits<T>::is_signed && static_cast<T>(outside) < T{0};
      if (static_cast<std::int64_t>(static_cast<T>(outside)) == outside && negative == (outside < 0))
        continue;
      Values values = random_values(random, tables, 1100, 1000);
      for (std::int32_t& symbol : values.symbols) symbol &= 127;
      const std::size_t place = random.below(1100);
      values.symbols[place] = outside;
      const Bytes stream = encode(values, tables);
      const Typed<std::int32_t> indexes(values.indexes);
      Exact<T> out(1100);
      Rans64Decoder decoder;
      CHECK(decoder.start(stream.data.get(), stream.size).ok());
      const Result result =
          decoder.decode(indexes.source(), tables.prepared, {out.data.get(), type_of<T>(), 1100});
      CHECK(result.status == Status::kOutputRange && result.where == place);
    }
  });
}

/// Single bits flipped in streams of about this many symbols. The end check cannot see every one of them: the
/// nibbles of an escape and equal frequencies pass on damage as other symbols. But two streams never mean the
/// same.
void test_flips(Random& random, std::size_t num_symbols, int num_streams, int flips_per_stream) {
  int missed = 0;
  std::vector<std::int32_t> symbols;
  for (int i = 0; i < num_streams; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(8), 1 + random.spread(8));
    const Values values =
        random_values(random, tables, 1 + random.below(2 * num_symbols), 1 + random.below(100));
    const Bytes stream = encode(values, tables);
    for (int flip = 0; flip < flips_per_stream; ++flip) {
      const std::size_t bit = random.below(8 * stream.size);
      stream.data[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      const Status status = decode(stream, values.indexes, tables, symbols).status;
      CHECK(status == Status::kOk || is_stream_status(status));
      CHECK(status != Status::kOk || symbols != values.symbols);
      missed += status == Status::kOk;
      stream.data[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    }
  }
  std::printf("flips: %d in streams of up to %zu symbols, %d not seen\n", num_streams * flips_per_stream,
              2 * num_symbols, missed);
}

/// Bytes of chance behind a valid state; more of them than the indexes need, or fewer.
void test_garbage(Random& random) {
  for (int i = 0; i < 5000; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(8), 1 + random.spread(9));
    for (int k = 0; k < 40; ++k) {
      Bytes stream(4 * (2 + random.below(40)));
      for (std::size_t at = 0; at < stream.size; ++at)
        stream.data[at] = static_cast<std::uint8_t>(random.bits());
      stream.data[7] &= 127;
      std::vector<std::int32_t> indexes(random.below(400)), symbols;
      for (std::int32_t& index : indexes) index = static_cast<std::int32_t>(random.below(tables.num_tables));
      const Status status = decode(stream, indexes, tables, symbols).status;
      CHECK(status == Status::kOk || is_stream_status(status));
    }
  }
}

}  // namespace

void test_damage(Random& random) {
  test_truncation(random);
  test_leftovers(random);
  test_start();
  test_escape_bounds();
  test_hostile_indexes(random);
  test_symbol_range(random);
  test_output_range(random);
  test_flips(random, 16, 16000, 50);
  test_flips(random, 200, 800, 250);
  test_garbage(random);
}

}  // namespace driver
