/// Driver, part 7: lane streams, arrays and memory that are not as they should be: a status, the same by
/// every kernel set and with any number of threads, and never a wild access.
#include <algorithm>
#include <atomic>
#include <new>

#include "driver_lanes.hpp"
#include "lane_plan.hpp"
#include "pool.hpp"

namespace driver {

namespace {

bool is_stream_status(Status status) {
  return status >= Status::kStreamShort && status <= Status::kStreamHead;
}

/// Cut behind every byte, and made longer. A cut goes unseen where it leaves as many varints in the side
/// stream: then the first escaped symbol is another one.
void test_lengths(Random& random) {
  int cuts = 0, missed = 0;
  std::vector<std::int32_t> symbols;
  for (const Cut& cut : kCuts)
    for (int i = 0; i < 6; ++i) {
      const Tables tables = random_tables(random, 1 + random.below(20), 1 + random.spread(7));
      const Values values =
          random_values(random, tables, 1 + random.below(i ? 400 : 1500), 1 + random.below(60));
      const Bytes stream = encode_chunk(values, tables, cut, kScalarLanes);
      for (std::size_t size = 0; size < stream.size; ++size, ++cuts) {
        const Bytes part(stream.data.get(), size);
        const Status status = decode_by_all(part, values.indexes, tables, symbols).status;
        CHECK(status == Status::kOk ? cut.num_lanes > 1 && symbols != values.symbols
                                    : is_stream_status(status));
        missed += status == Status::kOk;
      }
      for (std::size_t more = 1; more <= 6; ++more) {
        Bytes longer(stream.size + more);
        std::copy(stream.data.get(), stream.data.get() + stream.size, longer.data.get());
        CHECK(is_stream_status(decode_by_all(longer, values.indexes, tables, symbols).status));
      }
    }
  std::printf("cuts: %d of lane chunks, %d not seen\n", cuts, missed);
}

/// Single bits flipped. Not all can be seen: raw bits, the side stream and symbols of frequency 1 have no
/// check. With one lane two streams never mean the same; with more a short chunk's tail may stand at one
/// place by two names.
void test_lane_flips(Random& random) {
  int missed = 0, flips = 0, as_before = 0;
  std::vector<std::int32_t> symbols;
  for (int i = 0; i < 300; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(8), 1 + random.spread(8));
    const Values values = random_values(random, tables, 1 + random.below(300), 1 + random.below(100));
    const Cut& cut = kCuts[random.below(std::size(kCuts))];
    const Bytes stream = encode_chunk(values, tables, cut, kScalarLanes);
    for (int flip = 0; flip < 40; ++flip, ++flips) {
      const std::size_t bit = random.below(8 * std::min<std::size_t>(stream.size, flip % 2 ? 40 : 4000));
      stream.data[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
      const Status status = decode_by_all(stream, values.indexes, tables, symbols).status;
      const bool same_symbols = status == Status::kOk && symbols == values.symbols;
      CHECK(status == Status::kOk || is_stream_status(status));
      CHECK(!same_symbols || cut.num_lanes > 1);
      missed += status == Status::kOk;
      as_before += same_symbols;
      stream.data[bit / 8] ^= static_cast<std::uint8_t>(1u << bit % 8);
    }
  }
  std::printf("flips: %d in lane chunks of up to 300 symbols, %d not seen, %d without effect\n", flips,
              missed, as_before);
}

/// Bytes of chance behind every first byte.
void test_lane_garbage(Random& random) {
  std::vector<std::int32_t> symbols;
  const Tables tables = random_tables(random, 8, 40);
  for (int i = 0; i < 4000; ++i) {
    Bytes stream(1 + random.below(200));
    for (std::size_t at = 0; at < stream.size; ++at)
      stream.data[at] = static_cast<std::uint8_t>(random.bits());
    stream.data[0] = static_cast<std::uint8_t>(i);
    std::vector<std::int32_t> indexes(random.below(300));
    for (std::int32_t& index : indexes) index = static_cast<std::int32_t>(random.below(8));
    const Status status = decode_by_all(stream, indexes, tables, symbols).status;
    CHECK(status == Status::kOk || is_stream_status(status));
  }
}

/// Streams of one symbol, the mode of this table, and what is wrong with each.
void test_heads() {
  Tables tables(1, 3);
  tables.cdf = {0, 65535, 65536};
  tables.cdf_length = {3};
  CHECK(tables.build().ok());
  struct {
    const char* fault;
    std::size_t num_symbols;
    Status status;
    std::vector<std::uint8_t> bytes;
  } const cases[] = {
      {"none: one lane", 1, Status::kOk, {0x00, 2, 0, 1}},
      {"none: four lanes, all in the tail", 1, Status::kOk, {0x01, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"nothing at all", 1, Status::kStreamHead, {}},
      {"no state", 1, Status::kStreamHead, {0x00}},
      {"two bytes of a state", 1, Status::kStreamHead, {0x00, 2, 0}},
      {"bit 7", 1, Status::kStreamHead, {0x80, 2, 0, 1}},
      {"w of 4", 1, Status::kStreamHead, {0x10, 2, 0, 1}},
      {"a state below 2^16", 1, Status::kStreamHead, {0x00, 2, 0, 0}},
      {"a state with a byte too many", 1, Status::kStreamHead, {0x04, 2, 0, 1, 0}},
      {"half a word", 1, Status::kStreamHead, {0x00, 2, 0, 1, 0}},
      {"a word that is missing", 1, Status::kStreamShort, {0x00, 0, 0, 1}},
      {"a word that nothing reads", 1, Status::kStreamLong, {0x00, 2, 0, 1, 0, 0}},
      {"a side stream of no bytes", 1, Status::kStreamHead, {0x08, 0, 2, 0, 1}},
      {"a side stream beyond the end", 1, Status::kStreamHead, {0x08, 2, 2, 0, 1, 0}},
      {"a side stream that nothing reads", 1, Status::kStreamLong, {0x08, 1, 2, 0, 1, 0}},
      {"its length spelled with a byte too many", 1, Status::kStreamHead, {0x08, 0x81, 0, 2, 0, 1, 0}},
      {"an end at another state", 1, Status::kStreamEnd, {0x00, 3, 0, 1}},
      {"w of 3 with four lanes", 1, Status::kStreamHead, {0x0d, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"a place of 0", 1, Status::kStreamHead, {0x81, 0, 0, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"a tail of more than all", 1, Status::kStreamHead, {0x01, 2, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"a tail of more than there are before",
       1,
       Status::kStreamHead,
       {0x81, 128, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"half a low", 1, Status::kStreamHead, {0x01, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0}},
      {"a filling bit", 1, Status::kStreamHead, {0x01, 1, 1, 0, 2, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"a lane beyond the end states", 1, Status::kStreamEnd, {0x01, 1, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"a seed behind the tail's words", 1, Status::kStreamEnd, {0x01, 1, 0, 0, 2, 0, 1, 0, 1, 0, 0, 0}},
      {"a tail from a state below 2^16", 1, Status::kStreamEnd, {0x05, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
      {"a tail from a state of 0", 0, Status::kStreamEnd, {0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
      {"a tail that ends at another state", 1, Status::kStreamEnd, {0x01, 1, 0, 0, 3, 0, 1, 0, 0, 0, 0, 0}},
      {"a tail of too many words", 1, Status::kStreamEnd, {0x05, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0}},
      {"a lane's word that is missing", 1, Status::kStreamEnd, {0x01, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0}},
      {"words that nothing reads", 1, Status::kStreamLong, {0x01, 1, 0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
      {"none: two chunks", 2, Status::kOk, {0x7c, 2, 4, 0, 2, 0, 1, 0, 2, 0, 1}},
      {"one chunk of several", 2, Status::kStreamHead, {0x7c, 1, 0, 2, 0, 1}},
      {"more chunks than symbols", 1, Status::kStreamHead, {0x7c, 2, 4, 0, 2, 0, 1, 0, 2, 0, 1}},
      {"a chunk beyond the end", 2, Status::kStreamShort, {0x7c, 2, 9, 0, 2, 0, 1, 0, 2, 0, 1}},
      {"a chunk of no bytes", 2, Status::kStreamLong, {0x7c, 2, 8, 0, 2, 0, 1, 0, 2, 0, 1}},
      {"lengths that end early", 4, Status::kStreamHead, {0x7c, 4, 0, 128, 128, 128, 128, 128}},
      {"several chunks in one of several",
       3,
       Status::kStreamHead,
       {0x7c, 2, 4, 0, 2, 0, 1, 0x7c, 2, 4, 0, 2, 0, 1, 0, 2, 0, 1}},
  };
  for (const auto& c : cases) {
    std::vector<std::int32_t> symbols;
    const Result result = decode_by_all(Bytes(c.bytes.data(), c.bytes.size()),
                                        std::vector<std::int32_t>(c.num_symbols), tables, symbols);
    if (!CHECK(result.status == c.status)) std::printf("  %s: %s\n", c.fault, message(result.status));
  }
}

/// Values of the side stream at int32's edges and beyond them.
void test_side_values() {
  Tables tables(1, 2);
  tables.cdf = {0, 65536};  // the escape, and a cell for symbol `offset`
  tables.cdf_length = {2};
  struct {
    std::int32_t offset;
    std::vector<std::uint8_t> side;
    bool good;
  } const cases[] = {
      {0, {0x00}, true},
      {0, {0x0f, 0xff, 0xff, 0xff, 0xfc}, true},   // 2^32 - 4: 2^31 - 1
      {0, {0x0f, 0xff, 0xff, 0xff, 0xfe}, false},  // 2^32 - 2: 2^31
      {-1, {0x0f, 0xff, 0xff, 0xff, 0xfe}, true},  // 2^32 - 2: 2^31 - 1
      {0, {0x0f, 0xff, 0xff, 0xff, 0xff}, true},   // 2^32 - 1: -2^31
      {0, {0x10, 0x80, 0x80, 0x80, 0x81}, false},  // 2^32 + 1
      {0, {0x7f, 0xff, 0xff, 0xff, 0xff}, false},
      {0, {0x80, 0x80, 0x80, 0x80, 0x81}, false},  // no end within 35 bits
      {0, {0x00, 0x81}, false},                    // longer than need be
  };
  for (const auto& c : cases) {
    tables.offset = {c.offset};
    tables.prepared = {};
    CHECK(tables.build().ok());
    const Values escape{{c.offset + 5}, {0}};
    const Bytes made = encode_chunk(escape, tables, {1, 0}, kScalarLanes);
    std::vector<std::uint8_t> bytes(made.data.get(), made.data.get() + made.size);
    CHECK(bytes[1] == 1);  // the length of its side stream
    bytes[1] = static_cast<std::uint8_t>(c.side.size());
    bytes.pop_back();
    bytes.insert(bytes.end(), c.side.begin(), c.side.end());
    std::vector<std::int32_t> symbols;
    const Status status = decode_by_all(Bytes(bytes.data(), bytes.size()), {0}, tables, symbols).status;
    CHECK(status == (c.good ? Status::kOk : Status::kStreamEscape));
  }
}

/// Two faults or more in several chunks: the first is told, whatever the groups and threads.
void test_damaged_chunks(Random& random) {
  std::vector<std::int32_t> symbols;
  for (int i = 0; i < 150; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(80), 1 + random.spread(6));
    const std::size_t num_chunks = 2 + random.below(8), size = 20 + random.spread(9);
    std::vector<Bytes> chunks;
    std::vector<std::int32_t> indexes;
    for (std::size_t chunk = 0; chunk < num_chunks; ++chunk) {
      const Values values = random_values(random, tables, size, 1 + random.below(100));
      indexes.insert(indexes.end(), values.indexes.begin(), values.indexes.end());
      chunks.push_back(encode_chunk(
          values, tables, i % 2 ? Cut{32, 1} : kCuts[random.below(std::size(kCuts))], kScalarLanes));
      if (random.below(3) == 0)
        chunks[chunk].data[random.below(chunks[chunk].size)] ^=
            static_cast<std::uint8_t>(1 + random.below(255));
    }
    if (random.below(4) == 0) indexes[random.below(indexes.size())] = -1;
    const Bytes stream = join_chunks(chunks);
    const Result result = decode_by_all(stream, indexes, tables, symbols);
    for_each_set([&](const LaneKernels& kernels) {
      for (std::size_t threads : {2, 3, 16}) {
        const Result other = decode_lanes(stream, indexes, tables, kernels, threads, symbols);
        CHECK(other.status == result.status && other.where == result.where);
      }
    });
  }
}

/// Good and bad streams in one call: each as if alone.
void test_damaged_batches(Random& random) {
  for (int i = 0; i < 60; ++i) {
    const Tables tables = random_tables(random, 1 + random.below(80), 1 + random.spread(6));
    const std::size_t count = 2 + random.below(8);
    std::vector<Values> values;
    std::vector<Bytes> streams;
    std::vector<Typed<std::int32_t>> indexes, outs;
    std::vector<Result> alone;
    std::vector<std::int32_t> symbols;
    for (std::size_t at = 0; at < count; ++at) {
      values.push_back(random_values(random, tables, 1 + random.below(500), 50));
      streams.push_back(encode_chunk(
          values[at], tables, i % 2 ? Cut{32, 1} : kCuts[random.below(std::size(kCuts))], kScalarLanes));
      if (random.below(3) == 0)
        streams[at].data[random.below(streams[at].size)] ^= static_cast<std::uint8_t>(1 + random.below(255));
      indexes.emplace_back(values[at].indexes);
      outs.emplace_back(values[at].indexes);
      alone.push_back(decode_by_all(streams[at], values[at].indexes, tables, symbols));
      values[at].symbols = symbols;
    }
    for (std::size_t threads : {1, 3})
      for_each_set([&](const LaneKernels& kernels) {
        std::vector<LaneDecodeTask> tasks;
        for (std::size_t at = 0; at < count; ++at)
          tasks.push_back({streams[at].data.get(),
                           streams[at].size,
                           indexes[at].source(),
                           {outs[at].block.data.get(), IntegerType::kInt32, outs[at].block.size},
                           {}});
        lanes_decode(tasks.data(), count, tables.prepared.lanes(), kernels, threads);
        for (std::size_t at = 0; at < count; ++at) {
          CHECK(tasks[at].result.status == alone[at].status && tasks[at].result.where == alone[at].where);
          CHECK(!alone[at].ok() ||
                std::equal(values[at].symbols.begin(), values[at].symbols.end(), outs[at].block.data.get()));
        }
      });
  }
}

/// An index outside the tables, a symbol outside int32, an output too narrow: named, in good company or not.
template <class T>
void check_hostile_lane_index(Random& random, T hostile) {
  const Tables tables = random_tables(random, 100, 5);
  const Values values = random_values(random, tables, 1 + random.below(1500), 100);
  const Typed<T> indexes(values.indexes);
  const Typed<std::int32_t> symbols(values.symbols);
  const Cut& cut = kCuts[random.below(std::size(kCuts))];
  const Bytes stream = encode_chunk(values, tables, cut, kScalarLanes);
  const std::size_t place = random.below(indexes.block.size);
  indexes.block.data[place] = hostile;
  for_each_set([&](const LaneKernels& kernels) {
    LaneEncodeTask encoding{symbols.source(), indexes.source(), {}, {}};
    lanes_encode(&encoding, 1, tables.prepared.lanes(), kernels, 1);
    CHECK(encoding.result.status == Status::kIndexRange && encoding.result.where == place);
    Exact<std::int32_t> out(indexes.block.size);
    LaneDecodeTask decoding{stream.data.get(),
                            stream.size,
                            indexes.source(),
                            {out.data.get(), IntegerType::kInt32, out.size},
                            {}};
    lanes_decode(&decoding, 1, tables.prepared.lanes(), kernels, 1);
    CHECK(decoding.result.status == Status::kIndexRange && decoding.result.where == place);
  });
}

void test_hostile_arrays(Random& random) {
  for_each_type([&](auto zero) {
    using T = decltype(zero);
    for (std::uint64_t edge : {std::uint64_t{100}, std::uint64_t{127}, std::uint64_t{1} << 31,
                               std::uint64_t{1} << 32, ~std::uint64_t{0}})
      if (const T hostile = static_cast<T>(edge); hostile < T{0} || hostile >= T{100})
        check_hostile_lane_index(random, hostile);
  });
  const Tables tables = random_tables(random, 3, 30);
  for (std::int64_t wide : {std::int64_t{1} << 31, -(std::int64_t{1} << 31) - 1, std::int64_t{1} << 32}) {
    Exact<std::int64_t> symbols(1100), indexes(1100);
    const std::size_t place = random.below(1100);
    symbols.data[place] = wide;
    for_each_set([&](const LaneKernels& kernels) {
      LaneEncodeTask task{{symbols.data.get(), IntegerType::kInt64, 1100},
                          {indexes.data.get(), IntegerType::kInt64, 1100},
                          {},
                          {}};
      lanes_encode(&task, 1, tables.prepared.lanes(), kernels, 1);
      CHECK(task.result.status == Status::kSymbolRange && task.result.where == place);
    });
  }
  for (const Cut& cut : kCuts) {
    Values values = random_values(random, tables, 1500, 1000);
    for (std::int32_t& symbol : values.symbols) symbol &= 127;
    const std::size_t place = random.below(1500);
    values.symbols[place] = 128;
    const Bytes stream = encode_chunk(values, tables, cut, kScalarLanes);
    const Typed<std::int32_t> indexes(values.indexes);
    for_each_set([&](const LaneKernels& kernels) {
      Exact<std::int8_t> out(1500);
      LaneDecodeTask task{
          stream.data.get(), stream.size, indexes.source(), {out.data.get(), IntegerType::kInt8, 1500}, {}};
      lanes_decode(&task, 1, tables.prepared.lanes(), kernels, 1);
      CHECK(task.result.status == Status::kOutputRange && task.result.where == place);
    });
  }
}

/// Every allocation of a call fails once: std::bad_alloc, a status, or good work all the same.
template <class Call>
void check_no_memory(Call&& call) {
  int failed = 0;
  for (bool done = false; !done; ++failed) {
    Status status = Status::kNoMemory;
    allocations_until_failure = failed + 1;
    try {
      status = call();
    } catch (const std::bad_alloc&) {
    }
    done = allocations_until_failure > 0;
    allocations_until_failure = 0;
    CHECK(status == Status::kOk || (status == Status::kNoMemory && !done));
  }
  CHECK(failed > 3);
}

/// The lane tables are made on first use: where that fails they are as good at the next.
void test_no_table_memory(Random& random) {
  const Tables tables = flat_tables(20, 30), others = flat_tables(20, 30);
  const Values values = random_values(random, tables, 1000, 100);
  const Typed<std::int32_t> symbols(values.symbols), indexes(values.indexes);
  check_no_memory(
      [&] { return tables.prepared.lanes().num_tables() == 20 ? Status::kOk : Status::kTableEmpty; });
  CHECK(same(encode_lanes(symbols.source(), indexes.source(), tables, kScalarLanes, 1),
             encode_lanes(symbols.source(), indexes.source(), others, kScalarLanes, 1)));
}

void test_no_lane_memory(Random& random) {
  const Tables tables = flat_tables(100, 200);
  const Values values = random_values(random, tables, 40'000, 100);
  const Typed<std::int32_t> symbols(values.symbols), indexes(values.indexes);
  const LaneTable& lanes = tables.prepared.lanes();
  const Bytes stream = encode_lanes(symbols.source(), indexes.source(), tables, kScalarLanes, 1);
  CHECK(stream.data[0] == kManyChunks);
  const Exact<std::int32_t> out(values.symbols.size());
  for (std::size_t threads : {1, 3}) {
    check_no_memory([&] {
      LaneEncodeTask task{symbols.source(), indexes.source(), {}, {}};
      lanes_encode(&task, 1, lanes, *active_kernels().lanes, threads);
      CHECK(!task.result.ok() || same(Bytes(task.out.data(), task.out.size()), stream));
      return task.result.status;
    });
    check_no_memory([&] {
      LaneDecodeTask task{stream.data.get(),
                          stream.size,
                          indexes.source(),
                          {out.data.get(), IntegerType::kInt32, out.size},
                          {}};
      lanes_decode(&task, 1, lanes, *active_kernels().lanes, threads);
      CHECK(!task.result.ok() || std::equal(values.symbols.begin(), values.symbols.end(), out.data.get()));
      return task.result.status;
    });
  }
}

/// The same for several streams in one call: what is told to be good is good.
void test_no_batch_memory(Random& random) {
  constexpr std::size_t kCount = 3, kSymbols = 300;
  const Tables tables = random_tables(random, 100, 40);
  const LaneTable& lanes = tables.prepared.lanes();
  const Values values = random_values(random, tables, kSymbols, 10);
  const Typed<std::int32_t> symbols(values.symbols), indexes(values.indexes);
  const Bytes stream = encode_chunk(values, tables, {32, 1}, kScalarLanes);
  const Bytes ours = encode_lanes(symbols.source(), indexes.source(), tables, kScalarLanes, 1);
  const auto status_of = [](const auto& tasks) {
    for (const auto& task : tasks)
      if (!task.result.ok()) return task.result.status;
    return Status::kOk;
  };
  check_no_memory([&] {
    std::vector<LaneEncodeTask> tasks(kCount, {symbols.source(), indexes.source(), {}, {}});
    lanes_encode(tasks.data(), kCount, lanes, *active_kernels().lanes, 1);
    for (const LaneEncodeTask& task : tasks)
      CHECK(!task.result.ok() ||
            std::equal(ours.data.get(), ours.data.get() + ours.size, task.out.begin(), task.out.end()));
    return status_of(tasks);
  });
  check_no_memory([&] {
    Exact<std::int32_t> out(kCount * kSymbols);
    std::vector<LaneDecodeTask> tasks;
    for (std::size_t i = 0; i < kCount; ++i)
      tasks.push_back({stream.data.get(),
                       stream.size,
                       indexes.source(),
                       {out.data.get() + i * kSymbols, IntegerType::kInt32, kSymbols},
                       {}});
    lanes_decode(tasks.data(), kCount, lanes, *active_kernels().lanes, 1);
    for (std::size_t i = 0; i < kCount; ++i)
      CHECK(!tasks[i].result.ok() ||
            std::equal(values.symbols.begin(), values.symbols.end(), out.data.get() + i * kSymbols));
    return status_of(tasks);
  });
}

/// The pool's own allocations fail, at every place in its queue: all work is done, and nothing stays behind.
void test_no_pool_memory() {
  for (int i = 0; i < 600; ++i) {
    std::atomic<int> done{0};
    const auto work = [&](std::size_t) { ++done; };
    allocations_until_failure = i % 40 > i / 40 ? 1 : 0;
    bool thrown = false;
    try {
      run_parallel(8, 4, work);
    } catch (const std::bad_alloc&) {
      thrown = true;
    }
    allocations_until_failure = 0;
    CHECK(!thrown && done == 8);
  }
}

}  // namespace

void test_lane_damage(Random& random) {
  test_heads();
  test_side_values();
  test_lengths(random);
  test_lane_flips(random);
  test_lane_garbage(random);
  test_damaged_chunks(random);
  test_damaged_batches(random);
  test_hostile_arrays(random);
  test_no_table_memory(random);
  test_no_lane_memory(random);
  test_no_batch_memory(random);
  test_no_pool_memory();
}

}  // namespace driver
