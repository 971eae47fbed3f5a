/// Driver, part 6: lane streams that are as they should be, by every kernel set, with any lanes, types and
/// threads.
#include "driver_lanes.hpp"

#include <algorithm>
#include <cstring>

#include "lane_plan.hpp"

namespace driver {

Tables flat_tables(std::size_t num_tables, std::size_t symbols) {
  Tables tables(num_tables, symbols + 1);
  for (std::size_t i = 0; i < num_tables; ++i) {
    for (std::size_t at = 0; at <= symbols; ++at)
      tables.row(i)[at] = static_cast<std::int32_t>(65536 * at / symbols);
    tables.cdf_length[i] = static_cast<std::int32_t>(symbols + 1);
    tables.offset[i] = -static_cast<std::int32_t>(i);
  }
  CHECK(tables.build().ok());
  return tables;
}

Bytes encode_chunk(const Values& values, const Tables& tables, const Cut& cut, const LaneKernels& kernels) {
  const Typed<std::int32_t> symbols(values.symbols), indexes(values.indexes);
  LaneEncodeJob job{symbols.source(), indexes.source(), {0, values.symbols.size()}, {}, {}, {}};
  job.head.num_lanes = cut.num_lanes;
  job.head.place = cut.place;
  encode_chunks(&job, 1, tables.prepared.lanes(), kernels);
  CHECK(job.result.ok());
  return Bytes(job.out.data(), job.out.size());
}

Bytes encode_lanes(const IntegerSource& symbols, const IntegerSource& indexes, const Tables& tables,
                   const LaneKernels& kernels, std::size_t num_threads) {
  LaneEncodeTask task{symbols, indexes, {}, {}};
  lanes_encode(&task, 1, tables.prepared.lanes(), kernels, num_threads);
  CHECK(task.result.ok());
  return Bytes(task.out.data(), task.out.size());
}

Bytes join_chunks(const std::vector<Bytes>& chunks) {
  std::vector<std::uint8_t> out = {kManyChunks};
  write_varint(chunks.size(), out);
  for (std::size_t i = 0; i + 1 < chunks.size(); ++i) write_varint(chunks[i].size, out);
  for (const Bytes& chunk : chunks) out.insert(out.end(), chunk.data.get(), chunk.data.get() + chunk.size);
  return Bytes(out.data(), out.size());
}

Result decode_lanes(const Bytes& stream, const std::vector<std::int32_t>& indexes, const Tables& tables,
                    const LaneKernels& kernels, std::size_t num_threads, std::vector<std::int32_t>& symbols) {
  const Typed<std::int32_t> from(indexes);
  Exact<std::int32_t> out(indexes.size());
  LaneDecodeTask task{
      stream.data.get(), stream.size, from.source(), {out.data.get(), IntegerType::kInt32, out.size}, {}};
  lanes_decode(&task, 1, tables.prepared.lanes(), kernels, num_threads);
  symbols.assign(out.data.get(), out.data.get() + out.size);
  return task.result;
}

Result decode_by_all(const Bytes& stream, const std::vector<std::int32_t>& indexes, const Tables& tables,
                     std::vector<std::int32_t>& symbols) {
  const Result result = decode_lanes(stream, indexes, tables, kScalarLanes, 1, symbols);
  std::vector<std::int32_t> others;
  for_each_set([&](const LaneKernels& kernels) {
    const Result other = decode_lanes(stream, indexes, tables, kernels, 1, others);
    CHECK(other.status == result.status && other.where == result.where);
    CHECK(!other.ok() || others == symbols);
  });
  return result;
}

namespace {

/// The page's examples (FORMAT.md, section 5.6): our encoder's bytes, and some that it would not choose.
void test_page() {
  Tables tables(1, 5);
  tables.cdf = {0, 20000, 50000, 65535, 65536};
  tables.cdf_length = {5};
  tables.offset = {-1};
  CHECK(tables.build().ok());
  const std::vector<std::int32_t> first = {-1, 0, 1, 2, -2, 5, -100, 100000, -100000};
  const std::uint8_t one_lane[] = {0x0c, 0x0b, 0x1a, 0xf1, 0xdb, 0x78, 0xff, 0x7f, 0xff,
                                   0x7f, 0xff, 0x7f, 0xff, 0x7f, 0xff, 0x7f, 0x0c, 0x9a,
                                   0xbd, 0x0c, 0x9a, 0xbc, 0x01, 0xc5, 0x06, 0x01, 0x00};
  const std::vector<std::int32_t> second = {5, 0, -1, 1,  0, -1, -40, 1,  0, 0, 1, -1,
                                            0, 1, 0,  -1, 0, 70, 1,   -1, 0, 1, 0, -1};
  const std::uint8_t four_lanes[] = {0x09, 0x11, 0x21, 0x21, 0x16, 0xff, 0x7f, 0xc5, 0x80, 0x58, 0x65,
                                     0xd2, 0x4c, 0x06, 0x04, 0xff, 0x7f, 0x01, 0x88, 0x4d, 0x06};
  const Bytes bytes(one_lane, sizeof one_lane), other_bytes(four_lanes, sizeof four_lanes);
  const Typed<std::int32_t> symbols(first), indexes(std::vector<std::int32_t>(first.size()));
  for_each_set([&](const LaneKernels& kernels) {
    CHECK(same(encode_lanes(symbols.source(), indexes.source(), tables, kernels, 1), bytes));
  });
  std::vector<std::int32_t> decoded;
  CHECK(decode_by_all(bytes, std::vector<std::int32_t>(first.size()), tables, decoded).ok() &&
        decoded == first);
  CHECK(decode_by_all(other_bytes, std::vector<std::int32_t>(second.size()), tables, decoded).ok() &&
        decoded == second);
  const std::uint8_t nothing[] = {0, 0, 0, 1};
  const Typed<std::int32_t> none({});
  CHECK(same(encode_lanes(none.source(), none.source(), tables, kScalarLanes, 1),
             Bytes(nothing, sizeof nothing)));
  CHECK(decode_by_all(Bytes(nothing, sizeof nothing), {}, tables, decoded).ok() && decoded.empty());
}

/// Every cut, sizes around a turn, a block of 1024 and the tail's 4096: one set's bytes are all sets' bytes.
void test_cuts(Random& random) {
  const std::size_t counts[] = {0, 1, 2, 31, 32, 33, 255, 1023, 1024, 1025, 1100, 2100, 5200};
  std::vector<std::int32_t> symbols;
  for (int i = 0; i < 12; ++i) {
    const Tables tables =
        random_tables(random, 1 + random.below(1 + random.spread(9)), 1 + random.spread(i % 3 ? 6 : 13));
    const std::uint64_t rarity = std::uint64_t{1} << (3 * random.below(5));
    for (std::size_t count : counts) {
      const Values values = random_values(random, tables, count, rarity);
      const Cut& cut = kCuts[random.below(std::size(kCuts))];
      const Bytes stream = encode_chunk(values, tables, cut, kScalarLanes);
      CHECK((stream.data[0] & 3) == (cut.num_lanes == 1   ? 0
                                     : cut.num_lanes == 4 ? 1
                                     : cut.num_lanes == 8 ? 2
                                                          : 3));
      for_each_set([&](const LaneKernels& kernels) {
        CHECK(same(encode_chunk(values, tables, cut, kernels), stream));
      });
      CHECK(decode_by_all(stream, values.indexes, tables, symbols).ok() && symbols == values.symbols);
    }
  }
}

/// As our encoder cuts, up to several chunks, with threads.
void test_streams_of_ours(Random& random) {
  std::vector<std::int32_t> symbols;
  bool had_chunks = false;
  for (std::size_t count : {0, 1, 600, 1024, 2500, 9000, 30000, 70000}) {
    const Tables tables =
        count < 9000 ? random_tables(random, 100, 60) : flat_tables(count < 30000 ? 100 : 5, 200);
    const Values values = random_values(random, tables, count, 100);
    const Typed<std::int32_t> from(values.symbols), indexes(values.indexes);
    const Bytes stream = encode_lanes(from.source(), indexes.source(), tables, kScalarLanes, 1);
    had_chunks = had_chunks || stream.data[0] == kManyChunks;
    for (std::size_t threads : {1, 2, 3, 8})
      for_each_set([&](const LaneKernels& kernels) {
        CHECK(same(encode_lanes(from.source(), indexes.source(), tables, kernels, threads), stream));
        CHECK(decode_lanes(stream, values.indexes, tables, kernels, threads, symbols).ok());
        CHECK(symbols == values.symbols);
      });
  }
  CHECK(had_chunks);
}

/// Several chunks of one stream in turns, of any lanes, by as many threads as there are or more.
void test_chunks(Random& random) {
  std::vector<std::int32_t> symbols;
  for (int i = 0; i < 40; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(100), 1 + random.spread(7));
    const Values values = random_values(random, tables, 10 + random.spread(12), 1 + random.below(200));
    const std::size_t num_chunks = 2 + random.below(8);
    std::vector<Bytes> chunks;
    for (std::size_t chunk = 0; chunk < num_chunks; ++chunk) {
      const LaneRange range = chunk_range(chunk, num_chunks, values.symbols.size());
      const auto part = [&](const std::vector<std::int32_t>& all) {
        const auto first = all.begin() + static_cast<std::ptrdiff_t>(range.first);
        return std::vector<std::int32_t>(first, first + static_cast<std::ptrdiff_t>(range.size));
      };
      const Cut cut = i % 2 ? Cut{32, 1} : kCuts[random.below(std::size(kCuts))];
      chunks.push_back(encode_chunk({part(values.symbols), part(values.indexes)}, tables, cut, kScalarLanes));
    }
    const Bytes stream = join_chunks(chunks);
    CHECK(decode_by_all(stream, values.indexes, tables, symbols).ok() && symbols == values.symbols);
    for_each_set([&](const LaneKernels& kernels) {
      for (std::size_t threads : {2, 5, 16}) {
        CHECK(decode_lanes(stream, values.indexes, tables, kernels, threads, symbols).ok());
        CHECK(symbols == values.symbols);
      }
    });
  }
}

/// Symbols and indexes of any two types make the bytes that int32 makes, and decode into the symbols' type.
void test_lane_types(Random& random) {
  for (std::size_t count : {1, 40, 1300}) {
    const Tables tables = random_tables(random, 100, 60);
    Values values = random_values(random, tables, count, 20);
    for (std::int32_t& symbol : values.symbols) symbol &= 127;  // fits all eight types
    const Typed<std::int32_t> plain(values.symbols), plain_indexes(values.indexes);
    const Bytes stream = encode_lanes(plain.source(), plain_indexes.source(), tables, kScalarLanes, 1);
    for_each_type([&](auto zero) {
      const Typed<decltype(zero)> symbols(values.symbols);
      for_each_type([&](auto other) {
        const Typed<decltype(other)> indexes(values.indexes);
        for_each_set([&](const LaneKernels& kernels) {
          CHECK(same(encode_lanes(symbols.source(), indexes.source(), tables, kernels, 1), stream));
          Exact<decltype(zero)> out(count);
          LaneDecodeTask task{stream.data.get(),
                              stream.size,
                              indexes.source(),
                              {out.data.get(), type_of<decltype(zero)>(), count},
                              {}};
          lanes_decode(&task, 1, tables.prepared.lanes(), kernels, 1);
          CHECK(task.result.ok());
          CHECK(std::equal(out.data.get(), out.data.get() + count, symbols.block.data.get()));
        });
      });
    });
  }
}

/// Many streams in one call, among them empty ones: each as if alone.
void test_batches(Random& random) {
  for (std::size_t count : {0, 1, 2, 5, 9, 30}) {
    const Tables tables = random_tables(random, 1 + random.below(100), 50);
    std::vector<Values> values;
    std::vector<Typed<std::int32_t>> symbols, indexes;
    std::vector<Bytes> alone;
    for (std::size_t i = 0; i < count; ++i) {
      values.push_back(random_values(random, tables, random.spread(13) / 2, 50));
      symbols.emplace_back(values[i].symbols);
      indexes.emplace_back(values[i].indexes);
      alone.push_back(encode_lanes(symbols[i].source(), indexes[i].source(), tables, kScalarLanes, 1));
    }
    for (std::size_t threads : {1, 3})
      for_each_set([&](const LaneKernels& kernels) {
        std::vector<LaneEncodeTask> encoding;
        for (std::size_t i = 0; i < count; ++i)
          encoding.push_back({symbols[i].source(), indexes[i].source(), {}, {}});
        lanes_encode(encoding.data(), count, tables.prepared.lanes(), kernels, threads);
        std::vector<Typed<std::int32_t>> outs;
        std::vector<LaneDecodeTask> decoding;
        for (std::size_t i = 0; i < count; ++i) {
          CHECK(encoding[i].result.ok() &&
                same(Bytes(encoding[i].out.data(), encoding[i].out.size()), alone[i]));
          outs.emplace_back(std::vector<std::int32_t>(values[i].symbols.size()));
          decoding.push_back({alone[i].data.get(),
                              alone[i].size,
                              indexes[i].source(),
                              {outs[i].block.data.get(), IntegerType::kInt32, outs[i].block.size},
                              {}});
        }
        lanes_decode(decoding.data(), count, tables.prepared.lanes(), kernels, threads);
        for (std::size_t i = 0; i < count; ++i) {
          CHECK(decoding[i].result.ok());
          CHECK(std::equal(values[i].symbols.begin(), values[i].symbols.end(), outs[i].block.data.get()));
        }
      });
  }
}

}  // namespace

void test_lanes(Random& random) {
  test_page();
  test_cuts(random);
  test_streams_of_ours(random);
  test_chunks(random);
  test_lane_types(random);
  test_batches(random);
}

}  // namespace driver
