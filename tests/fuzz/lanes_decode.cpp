/// Fuzz target of the lane decoder; fuzz.hpp says how to run it.
///
/// An input names tables, indexes and symbols, and then edits of their stream: of fields of a head, of words,
/// of the lengths of chunks, of bytes anywhere, of indexes. Every kernel set, with one thread and with two,
/// must make the same symbols of it or refuse it with the same status, and must refuse just what the page
/// does.
#include "lane_damage.hpp"

using namespace fuzz;

namespace {

constexpr std::size_t kMostForPage = 128;

struct Counts {
  unsigned long long runs = 0, chunked = 0, in_threads = 0, batches = 0, by_page = 0;
  unsigned long long by_status[static_cast<int>(Status::kStreamHead) + 1] = {};
  unsigned long long by_lanes[4] = {};  // accepted, by the first chunk's lanes
} counts;

/// The page takes and refuses the same, and finds the same symbols.
void check_by_page(const Case& made, const Bytes& stream, const TypedBlock& indexes, const Result& result,
                   const TypedBlock& out) {
  if (indexes.size > kMostForPage) return;
  ++counts.by_page;
  std::vector<std::int64_t> symbols;
  bool accepted = page_decode(stream, *made.set, indexes.loaded(-1), symbols);
  const std::vector<std::int32_t> narrow(symbols.begin(), symbols.end());
  if (accepted) {
    const TypedBlock expected(out.type, narrow);
    accepted = expected.holds(narrow);
    require(!accepted || !result.ok() ||
                !std::memcmp(expected.block.data.get(), out.block.data.get(), out.block.size),
            "the page's symbols");
  }
  require(accepted || !result.ok(), "what the page refuses is refused");
  require(!accepted || result.ok(), "what the page accepts is accepted");
}

Result decode(const Bytes& stream, const TypedBlock& indexes, TypedBlock& out, const LaneTable& table,
              const LaneKernels& kernels, std::size_t num_threads) {
  std::memset(out.block.data.get(), 0xa5, out.block.size);
  LaneDecodeTask task{stream.data.get(), stream.size, indexes.source(), out.sink(), {}};
  lanes_decode(&task, 1, table, kernels, num_threads);
  return task.result;
}

/// Several streams in one call: each as if alone.
void check_batch(const Base& base, const Damaged& damaged, const Bytes& stream, const TypedBlock& indexes,
                 const Result& alone) {
  ++counts.batches;
  const Input joined = join(base.pieces);
  const Bytes clean(joined.data(), joined.size());
  for (const NamedKernels& kernels : kernel_sets()) {
    std::vector<TypedBlock> outs;
    std::vector<LaneDecodeTask> tasks;
    for (std::size_t i = 0; i < damaged.num_tasks; ++i) {
      const bool is_clean = i != damaged.task;
      const Bytes& bytes = is_clean ? clean : stream;
      const TypedBlock& named = is_clean ? base.indexes : indexes;
      outs.emplace_back(is_clean ? IntegerType::kInt32 : base.made.symbol_type, named.size);
      tasks.push_back({bytes.data.get(), bytes.size, named.source(), outs.back().sink(), {}});
    }
    lanes_decode(tasks.data(), tasks.size(), base.made.set->lanes(), *kernels.lanes,
                 base.made.other_threads ? 2 : 1);
    for (std::size_t i = 0; i < tasks.size(); ++i) {
      const bool is_clean = i != damaged.task;
      require(tasks[i].result.status == (is_clean ? Status::kOk : alone.status), "in a batch as alone");
      require(!is_clean || outs[i].holds(base.made.symbols), "in a batch as alone");
    }
  }
}

void check_stream(const Base& base, const Damaged& damaged) {
  const Case& made = base.made;
  const Bytes stream(damaged.bytes.data(), damaged.bytes.size());
  const TypedBlock& indexes = damaged.indexes ? *damaged.indexes : base.indexes;
  TypedBlock expected(made.symbol_type, indexes.size), out(made.symbol_type, indexes.size);
  const LaneTable& table = made.set->lanes();
  const Result result = decode(stream, indexes, expected, table, *kernel_sets().front().lanes, 1);
  const bool is_chunked = stream.size && stream.data[0] == kManyChunks;
  const std::size_t most_threads = is_chunked && made.other_threads ? 2 : 1;
  const std::vector<NamedKernels>& sets = kernel_sets();
  // Sets differ in 32 lanes before all: one other set does for the rest.
  const bool all_sets = is_chunked || (stream.size && (stream.data[0] & 3) == 3);
  const std::size_t chosen = other_set(stream.size + indexes.size);
  for (std::size_t set = 0; set < sets.size(); ++set)
    for (std::size_t threads = 1; threads <= most_threads; ++threads) {
      if (set == 0 ? threads == 1 : !all_sets && set != chosen) continue;
      const Result other = decode(stream, indexes, out, table, *sets[set].lanes, threads);
      require(other.status == result.status, "one status");
      require(other.ok() || other.where == result.where, "one place");
      require(!other.ok() || !std::memcmp(out.block.data.get(), expected.block.data.get(), out.block.size),
              "the same symbols");
    }
  check_by_page(made, stream, indexes, result, expected);
  if (damaged.num_tasks > 1 && !made.is_raw) check_batch(base, damaged, stream, indexes, result);
  counts.chunked += is_chunked;
  counts.in_threads += most_threads > 1;
  ++counts.by_status[static_cast<int>(result.status)];
  if (result.ok() && !is_chunked) ++counts.by_lanes[stream.data[0] & 3];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++counts.runs;
  if (size < kFrontBytes) return 0;
  const Base& base = made_of<Base>(data);
  check_stream(base, Damaged(base, {data + kFrontBytes, data + size}));
  return 0;
}

namespace fuzz {

Input make_input(Random& random) {
  return make_front(random);
}

/// Edits added, taken away or changed; the front seldom, because that is another stream.
void mutate(Random& random, Input& input) {
  const std::size_t edits_bytes = input.size() - std::min(input.size(), kFrontBytes);
  switch (random.below(8)) {
    case 0:
      if (random.below(2)) renew_arrays(random, 60, input);
      mutate_byte(random, random.below(input.size() + 1), input);
      break;
    case 1:
      input.resize(input.size() - std::min(edits_bytes, kEditBytes));
      break;
    case 2:
      if (edits_bytes) mutate_byte(random, random.below(edits_bytes), input);
      break;
    default:
      append_random(random, kEditBytes * (1 + random.below(2)), input);
  }
}

bool print_counts() {
  std::printf("%llu runs, %llu of several chunks, %llu with threads, %llu batches, %llu against the page\n",
              counts.runs, counts.chunked, counts.in_threads, counts.batches, counts.by_page);
  std::printf("accepted with 1, 4, 8, 32 lanes: %llu, %llu, %llu, %llu\n", counts.by_lanes[0],
              counts.by_lanes[1], counts.by_lanes[2], counts.by_lanes[3]);
  bool all = counts.chunked && counts.batches && *std::min_element(counts.by_lanes, counts.by_lanes + 4);
  for (Status status :
       {Status::kOk, Status::kIndexRange, Status::kOutputRange, Status::kStreamShort, Status::kStreamLong,
        Status::kStreamEnd, Status::kStreamEscape, Status::kStreamHead}) {
    const unsigned long long count = counts.by_status[static_cast<int>(status)];
    std::printf("%12llu %s\n", count, message(status));
    all = all && count;
  }
  return all;
}

}  // namespace fuzz
