/// Driver, part 2: streams that are as they should be, of every size, type, table and escape.
#include <algorithm>
#include <cstring>

#include "driver.hpp"

namespace driver {

Values random_values(Random& random, const Tables& tables, std::size_t count, std::uint64_t rarity) {
  constexpr std::int64_t kLow = std::numeric_limits<std::int32_t>::min(),
                         kHigh = std::numeric_limits<std::int32_t>::max();
  Values values;
  for (std::size_t i = 0; i < count; ++i) {
    const std::size_t index = random.below(tables.num_tables);
    const std::int32_t* row = tables.row(index);
    const std::int32_t slot = static_cast<std::int32_t>(random.below(65536));
    const auto holder = std::upper_bound(row, row + tables.cdf_length[index], slot) - 1;
    std::int64_t symbol = tables.offset[index] + (holder - row);
    if (random.below(rarity) == 0) {
      const std::int64_t edges[] = {kLow, kHigh, kLow + 1, kHigh - 1, 0, -1};
      const std::int64_t distance = static_cast<std::int64_t>(random.spread(32));
      symbol = random.below(4) ? symbol + (random.below(2) ? distance : -distance) : edges[random.below(6)];
    }
    values.symbols.push_back(static_cast<std::int32_t>(std::clamp(symbol, kLow, kHigh)));
    values.indexes.push_back(static_cast<std::int32_t>(index));
  }
  return values;
}

Bytes encode(const IntegerSource& symbols, const IntegerSource& indexes, const CdfTable& table) {
  Rans64Encoder encoder;
  CHECK(encoder.encode_reverse(symbols, indexes, table).ok());
  CHECK(encoder.finish().ok());
  CHECK(encoder.num_bytes() >= 8 && encoder.num_bytes() % 4 == 0);
  return Bytes(encoder.bytes(), encoder.num_bytes());
}

Bytes encode(const Values& values, const Tables& tables) {
  const Typed<std::int32_t> symbols(values.symbols), indexes(values.indexes);
  return encode(symbols.source(), indexes.source(), tables.prepared);
}

Result decode(const Bytes& stream, const std::vector<std::int32_t>& indexes, const Tables& tables,
              std::vector<std::int32_t>& symbols) {
  const Typed<std::int32_t> from(indexes);
  Exact<std::int32_t> out(indexes.size());
  Rans64Decoder decoder;
  Result result = decoder.start(stream.data.get(), stream.size);
  if (result.ok())
    result = decoder.decode(from.source(), tables.prepared, {out.data.get(), IntegerType::kInt32, out.size});
  if (result.ok()) result = decoder.finish();
  symbols.assign(out.data.get(), out.data.get() + out.size);
  return result;
}

namespace {

void check_round_trip(const Values& values, const Tables& tables) {
  const Bytes stream = encode(values, tables);
  std::vector<std::int32_t> symbols;
  CHECK(decode(stream, values.indexes, tables, symbols).ok());
  CHECK(symbols == values.symbols);
}

/// Many tables, widths and lengths, those around the block of 512 among them.
void test_round_trips(Random& random) {
  const std::size_t counts[] = {0, 1, 2, 3, 31, 511, 512, 513, 1023, 1024, 1025, 1536, 5000};
  for (int i = 0; i < 120; ++i) {
    const Tables tables =
        random_tables(random, 1 + random.below(1 + random.spread(8)), 1 + random.spread(12));
    const std::uint64_t rarity = std::uint64_t{1} << (3 * random.below(5));
    for (std::size_t count : counts) check_round_trip(random_values(random, tables, count, rarity), tables);
  }
}

/// Two escapes next to each other for every pair of interesting symbols, under tables at both ends of int32.
void test_escapes(Random& random) {
  std::vector<std::int32_t> interesting = {0, 1, -1};
  for (int bit = 1; bit < 32; ++bit)
    for (std::int64_t near : {-1, 0, 1}) {
      const std::int64_t magnitude = (std::int64_t{1} << bit) + near;
      if (magnitude <= std::numeric_limits<std::int32_t>::max())
        interesting.push_back(static_cast<std::int32_t>(magnitude));
      if (magnitude <= std::int64_t{1} << 31) interesting.push_back(static_cast<std::int32_t>(-magnitude));
    }
  for (std::int32_t offset :
       {std::numeric_limits<std::int32_t>::min(), -3, 0, 7, std::numeric_limits<std::int32_t>::max() - 2}) {
    Tables tables(1, 4);
    random_row(random, 3, tables.row(0));
    tables.cdf_length[0] = 4;
    tables.offset[0] = offset;
    CHECK(tables.build().ok());
    Values values;
    for (std::int32_t first : interesting)
      for (std::int32_t second : interesting) values.symbols.insert(values.symbols.end(), {first, second});
    values.indexes.assign(values.symbols.size(), 0);
    check_round_trip(values, tables);
  }
}

/// The same values in each of the eight types.
struct Held {
  std::shared_ptr<void> owner;
  IntegerSource source;
  std::size_t num_bytes;
};

std::vector<Held> in_all_types(const std::vector<std::int32_t>& values) {
  std::vector<Held> all;
  for_each_type([&](auto zero) {
    const auto typed = std::make_shared<Typed<decltype(zero)>>(values);
    all.push_back({typed, typed->source(), values.size() * sizeof zero});
  });
  return all;
}

/// Symbols and indexes of any two types make the bytes that int32 makes, and decode into the symbols' type.
void test_types(Random& random) {
  for (std::size_t count : {1, 511, 512, 513, 1300}) {
    const Tables tables = random_tables(random, 100, 60);
    Values values = random_values(random, tables, count, 20);
    for (std::int32_t& symbol : values.symbols) symbol &= 127;  // fits all eight types
    const Bytes plain = encode(values, tables);
    const std::vector<Held> all_indexes = in_all_types(values.indexes);
    for (const Held& symbols : in_all_types(values.symbols))
      for (const Held& indexes : all_indexes) {
        const Bytes stream = encode(symbols.source, indexes.source, tables.prepared);
        CHECK(stream.size == plain.size && std::memcmp(stream.data.get(), plain.data.get(), plain.size) == 0);
        Bytes out(symbols.num_bytes);
        Rans64Decoder decoder;
        CHECK(decoder.start(stream.data.get(), stream.size).ok());
        CHECK(decoder.decode(indexes.source, tables.prepared, {out.data.get(), symbols.source.type, count})
                  .ok());
        CHECK(decoder.finish().ok());
        CHECK(std::memcmp(out.data.get(), symbols.source.data, out.size) == 0);
      }
  }
}

/// A stream of three calls, each with its own tables, decoded by other cuts of the calls.
void test_segments(Random& random) {
  for (int i = 0; i < 60; ++i) {
    const Tables tables[3] = {random_tables(random, 3, 40), random_tables(random, 1, 1),
                              random_tables(random, 40, 300)};
    Values values[3];
    Rans64Encoder encoder;
    for (int part = 2; part >= 0; --part) {
      values[part] = random_values(random, tables[part], random.below(1200), 50);
      const Typed<std::int32_t> symbols(values[part].symbols), indexes(values[part].indexes);
      CHECK(encoder.encode_reverse(symbols.source(), indexes.source(), tables[part].prepared).ok());
    }
    CHECK(encoder.finish().ok());
    const Bytes stream(encoder.bytes(), encoder.num_bytes());
    Rans64Decoder decoder;
    CHECK(decoder.start(stream.data.get(), stream.size).ok());
    for (int part = 0; part < 3; ++part) {
      const Typed<std::int32_t> indexes(values[part].indexes);
      Exact<std::int32_t> out(indexes.block.size);
      for (std::size_t first = 0, count; first < out.size; first += count) {
        count = 1 + random.below(out.size - first);
        const IntegerSource piece{indexes.block.data.get() + first, IntegerType::kInt32, count};
        CHECK(
            decoder.decode(piece, tables[part].prepared, {out.data.get() + first, IntegerType::kInt32, count})
                .ok());
      }
      CHECK(std::equal(values[part].symbols.begin(), values[part].symbols.end(), out.data.get()));
    }
    CHECK(decoder.finish().ok());
  }
}

/// A row a symbol, never prepared: the same bytes and symbols, and the same end where the stream is cut.
void test_rows(Random& random) {
  for (std::size_t count : {0, 1, 2, 511, 512, 513, 1300}) {
    const Tables tables = random_tables(random, 1 + random.below(50), 1 + random.spread(12));
    const Values values = random_values(random, tables, count, 10);
    std::vector<std::int32_t> lengths, offsets;
    std::vector<Exact<std::int32_t>> rows;
    RowsView view{{}, nullptr, nullptr};
    for (std::int32_t index : values.indexes) {
      const std::size_t at = static_cast<std::size_t>(index);
      lengths.push_back(tables.cdf_length[at]);
      offsets.push_back(tables.offset[at]);
      rows.emplace_back(tables.row(at), static_cast<std::size_t>(lengths.back()));
      view.rows.push_back(rows.back().data.get());
    }
    const Exact<std::int32_t> held_lengths(lengths.data(), count), held_offsets(offsets.data(), count);
    view.cdf_length = held_lengths.data.get();
    view.offset = held_offsets.data.get();
    CHECK(check_rows(view).ok());
    const Bytes plain = encode(values, tables);
    for_each_type([&](auto zero) {
      if (sizeof zero < 4) return;
      Rans64Encoder encoder;
      const Typed<decltype(zero)> symbols(values.symbols);
      const Result result = encoder.encode_reverse(symbols.source(), view);
      if (result.status == Status::kSymbolRange) return;  // unsigned, and negative symbols
      CHECK(result.ok() && encoder.finish().ok());
      CHECK(encoder.num_bytes() == plain.size &&
            std::equal(encoder.bytes(), encoder.bytes() + plain.size, plain.data.get()));
    });
    const auto decode_rows = [&](std::size_t size) {
      const Bytes cut(plain.data.get(), size);
      Exact<std::int32_t> out(count);
      Rans64Decoder decoder;
      Result result = decoder.start(cut.data.get(), cut.size);
      if (result.ok()) result = decoder.decode(view, {out.data.get(), IntegerType::kInt32, count});
      if (result.ok()) result = decoder.finish();
      CHECK(!result.ok() || std::equal(values.symbols.begin(), values.symbols.end(), out.data.get()));
      return result.status;
    };
    CHECK(decode_rows(plain.size) == Status::kOk);
    for (std::size_t size = 8; size < plain.size; size += 4 * (1 + random.below(20)))
      CHECK(decode_rows(size) != Status::kOk);
    for (std::int32_t& symbol : offsets) symbol = std::numeric_limits<std::int32_t>::max();
    view.offset = offsets.data();
    const bool too_high = std::any_of(lengths.begin(), lengths.end(), [](auto length) { return length > 2; });
    CHECK(check_rows(view).status == (too_high ? Status::kTableOffset : Status::kOk));
  }
}

/// The worked example of CompressAI's format, and the stream of nothing.
void test_known_bytes() {
  Tables tables(1, 5);
  tables.cdf = {0, 20000, 50000, 65535, 65536};
  tables.cdf_length = {5};
  tables.offset = {-1};
  CHECK(tables.build().ok());
  const Bytes stream =
      encode({{-1, 0, 1, 2, -2, 5, -100, 100000, -100000}, std::vector<std::int32_t>(9)}, tables);
  const std::uint8_t expected[] = {0x6a, 0x13, 0xa9, 0xe6, 0x57, 0x19, 0x0f, 0x00, 0xff, 0xff,
                                   0x11, 0xff, 0x61, 0xff, 0xff, 0x0f, 0x52, 0xfc, 0xff, 0x5f,
                                   0x3c, 0x0d, 0xf3, 0xff, 0xd5, 0xd3, 0x30, 0x00};
  CHECK(stream.size == sizeof expected && std::memcmp(stream.data.get(), expected, sizeof expected) == 0);
  const std::uint8_t nothing[] = {0, 0, 0, 0x80, 0, 0, 0, 0};
  const Bytes empty = encode({}, tables);
  CHECK(empty.size == sizeof nothing && std::memcmp(empty.data.get(), nothing, sizeof nothing) == 0);
}

/// Every allocation of an encoder fails once: a status each time, never an exception or a leak.
void test_no_memory(Random& random) {
  const Tables tables = random_tables(random, 4, 40);
  const Values values = random_values(random, tables, 40'000, 10);
  const Typed<std::int32_t> symbols(values.symbols), indexes(values.indexes);
  int failed = 0;
  for (bool done = false; !done; ++failed) {
    Rans64Encoder encoder;
    allocations_until_failure = failed + 1;
    Result result = encoder.encode_reverse(symbols.source(), indexes.source(), tables.prepared);
    if (result.ok()) result = encoder.finish();
    done = allocations_until_failure > 0;
    allocations_until_failure = 0;
    CHECK(result.status == (done ? Status::kOk : Status::kNoMemory));
  }
  CHECK(failed > 3);
  allocations_until_failure = 1;
  Rans64Encoder encoder;
  CHECK(encoder.finish().status == Status::kNoMemory);
  allocations_until_failure = 0;
}

}  // namespace

void test_streams(Random& random) {
  test_known_bytes();
  test_round_trips(random);
  test_escapes(random);
  test_types(random);
  test_segments(random);
  test_rows(random);
  test_no_memory(random);
}

}  // namespace driver
