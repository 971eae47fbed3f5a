/// Fuzz target of the lane encoder; fuzz.hpp says how to run it.
///
/// Every kernel set, with one thread and with three, must make the scalar set's bytes of the same symbols, in
/// a batch as alone and with any lanes; each set must read them back, and so must the page.
#include "lane_cases.hpp"

using namespace fuzz;

namespace {

constexpr std::size_t kEditBytes = 9, kMaxEdits = 40, kMostForPage = 128;

struct Counts {
  unsigned long long runs = 0, encoded = 0, refused = 0, several_chunks = 0, in_threads = 0, in_lanes = 0,
                     escaped = 0;
} counts;

/// The arrays of a case, with single elements changed as the input says.
struct Arrays {
  TypedBlock symbols, indexes;

  Arrays(const Case& made, Reader reader)
      : symbols(made.symbol_type, edited(made, reader, true)),
        indexes(made.index_type, edited(made, reader, false)) {}

 private:
  static std::int64_t symbol_near(const Case& made, std::size_t place, std::uint32_t kind,
                                  std::int64_t value);
  static std::vector<std::int64_t> edited(const Case& made, Reader reader, bool of_symbols);
};

/// Anything of 64 bits, or near an edge of the table's cells or row, or of int32.
std::int64_t Arrays::symbol_near(const Case& made, std::size_t place, std::uint32_t kind,
                                 std::int64_t value) {
  const std::size_t index = static_cast<std::size_t>(made.indexes[place]);
  const std::int64_t offset = made.set->tables.offset[index];
  const std::int64_t symbols = static_cast<std::int64_t>(made.set->tables.num_symbols(index));
  const std::int64_t edges[] = {offset, offset + symbols - 1, std::int64_t{1} << 31,
                                -(std::int64_t{1} << 31)};
  if (kind % 8 < 4) return edges[kind % 4] + value % 3;
  if (kind % 8 < 6 && symbols <= 1000) {
    const page::Table& table = made.set->page_of(index);
    return (kind % 2 ? table.first : table.last) + value % 3;
  }
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(value) << (kind / 8));
}

std::vector<std::int64_t> Arrays::edited(const Case& made, Reader reader, bool of_symbols) {
  const std::vector<std::int32_t>& from = of_symbols ? made.symbols : made.indexes;
  std::vector<std::int64_t> values(from.begin(), from.end());
  for (std::size_t i = 0; i < kMaxEdits && !reader.is_done() && !values.empty(); ++i) {
    const std::uint32_t kind = reader.byte(), sort = reader.byte();
    const std::size_t first = reader.below(values.size());
    const std::int64_t value = static_cast<std::int32_t>(reader.word());
    const std::size_t last = std::min(values.size(), first + 1 + reader.byte() / 16);
    const bool is_index = kind % 8 == 0;
    if (is_index == of_symbols) continue;
    const std::int64_t num_tables = static_cast<std::int64_t>(made.set->size());
    for (std::size_t at = first; at < last; ++at)
      values[at] =
          is_index ? (kind == 8 ? value : (value & 0xffff) % num_tables) : symbol_near(made, at, sort, value);
  }
  return values;
}

/// What goes wrong with these arrays, if anything: then some task must be refused, for one of these reasons.
bool are_good(const Arrays& arrays, std::size_t num_tables, const std::vector<std::int32_t>& indexes) {
  const IntegerSource symbols = arrays.symbols.source();
  std::vector<std::int32_t> values(symbols.size);
  if (symbols.load(0, symbols.size, values.data()) != symbols.size) return false;
  return std::all_of(indexes.begin(), indexes.end(),
                     [&](std::int32_t index) { return static_cast<std::uint32_t>(index) < num_tables; });
}

IntegerSource part_of(const IntegerSource& from, std::size_t first, std::size_t count) {
  return {static_cast<const std::uint8_t*>(from.data) + first * TypedBlock::bytes_of(from.type), from.type,
          count};
}

/// The arrays cut into as many tasks as there would be chunks.
std::vector<LaneEncodeTask> encode_tasks(const Case& made, const Arrays& arrays, const LaneKernels& kernels,
                                         std::size_t num_threads) {
  std::vector<LaneEncodeTask> tasks;
  const std::size_t count = made.place % 2 ? 1 : made.num_chunks;
  for (std::size_t i = 0; i < count; ++i) {
    const LaneRange range = chunk_range(i, count, arrays.symbols.size);
    tasks.push_back({part_of(arrays.symbols.source(), range.first, range.size),
                     part_of(arrays.indexes.source(), range.first, range.size),
                     {},
                     {}});
  }
  lanes_encode(tasks.data(), tasks.size(), made.set->lanes(), kernels, num_threads);
  return tasks;
}

void check_read_back(const Case& made, const Arrays& arrays, const Bytes& stream, const LaneRange& range,
                     const LaneKernels& kernels) {
  TypedBlock out(made.symbol_type, range.size);
  LaneDecodeTask task{stream.data.get(),
                      stream.size,
                      part_of(arrays.indexes.source(), range.first, range.size),
                      out.sink(),
                      {}};
  lanes_decode(&task, 1, made.set->lanes(), kernels, 1);
  require(task.result.ok(), "what was encoded is decoded");
  const IntegerSource expected = part_of(arrays.symbols.source(), range.first, range.size);
  require(out.block.size == 0 || !std::memcmp(out.block.data.get(), expected.data, out.block.size),
          "the same symbols");
}

/// As our encoder cuts: one set after another, and all with threads.
void check_tasks(const Case& made, const Arrays& arrays, bool good, const LaneKernels& reading) {
  const std::vector<NamedKernels>& sets = kernel_sets();
  const std::vector<LaneEncodeTask> tasks = encode_tasks(made, arrays, *sets.front().lanes, 1);
  bool all_good = true;
  for (const LaneEncodeTask& task : tasks) {
    const Status status = task.result.status;
    require(status == Status::kOk || status == Status::kSymbolRange || status == Status::kIndexRange,
            "the reason");
    all_good = all_good && task.result.ok();
    counts.several_chunks += task.result.ok() && task.out[0] == kManyChunks;
  }
  require(all_good == good, "what can be encoded is, and nothing else");
  const bool several = tasks.size() > 1 ? made.other_threads : arrays.symbols.size >= 8192;
  const std::size_t most_threads = several ? 3 : 1;
  counts.in_threads += most_threads > 1;
  // Sets differ in 32 lanes before all, which short tasks do not get: one other set does for those.
  const bool all_sets = arrays.symbols.size >= 1024;
  for (std::size_t set = 0; set < sets.size(); ++set)
    for (std::size_t threads = 1; threads <= most_threads; threads += 2) {
      if (set == 0 ? threads == 1 : !all_sets && set != other_set(arrays.symbols.size)) continue;
      const std::vector<LaneEncodeTask> others = encode_tasks(made, arrays, *sets[set].lanes, threads);
      for (std::size_t i = 0; i < tasks.size(); ++i) {
        require(others[i].result.status == tasks[i].result.status, "one status");
        require(others[i].result.where == tasks[i].result.where, "one place");
        require(others[i].out == tasks[i].out, "the same bytes");
      }
    }
  for (std::size_t i = 0; i < tasks.size() && good; ++i)
    check_read_back(made, arrays, Bytes(tasks[i].out.data(), tasks[i].out.size()),
                    chunk_range(i, tasks.size(), arrays.symbols.size), reading);
}

/// With any lanes and places.
void check_jobs(const Case& made, const Arrays& arrays, const std::vector<std::int32_t>& indexes,
                const LaneKernels& reading) {
  std::vector<Piece> pieces;
  const std::vector<NamedKernels>& sets = kernel_sets();
  bool all_sets = false;
  for (std::size_t set = 0; set < sets.size(); ++set) {
    if (set && !all_sets && set != other_set(arrays.symbols.size)) continue;
    std::vector<LaneEncodeJob> jobs = encode_jobs(made, arrays.symbols.source(), arrays.indexes.source());
    encode_all(jobs, made.set->lanes(), *sets[set].lanes);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const LaneHead& head = jobs[i].head;
      require(jobs[i].result.ok(), "what can be encoded is");
      if (set == 0) pieces.push_back({{}, jobs[i].out});
      require(pieces[i].body == jobs[i].out, "the same bytes");
      all_sets = all_sets || head.num_lanes == kMaxLanes;
      counts.in_lanes += head.num_lanes == kMaxLanes && head.tail_size + kMaxLanes <= jobs[i].range.size;
      counts.escaped += head.num_lanes == 1 && head.side_bytes > 0;
    }
  }
  const Input joined = join(pieces);
  const Bytes stream(joined.data(), joined.size());
  check_read_back(made, arrays, stream, {0, arrays.symbols.size}, reading);
  if (indexes.size() > kMostForPage) return;
  std::vector<std::int64_t> symbols;
  require(page_decode(stream, *made.set, indexes, symbols), "the page accepts it");
  const TypedBlock expected(made.symbol_type, symbols);
  require(!std::memcmp(expected.block.data.get(), arrays.symbols.block.data.get(), expected.block.size),
          "the page's symbols");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++counts.runs;
  if (size < kFrontBytes) return 0;
  const Case& made = made_of<Case>(data);
  const Arrays arrays(made, {data + kFrontBytes, data + size});
  const std::vector<std::int32_t> indexes = arrays.indexes.loaded(-1);
  const bool good = are_good(arrays, made.set->size(), indexes);
  const LaneKernels& reading = *kernel_sets()[size % kernel_sets().size()].lanes;
  // The encoder's own choices, and every way to refuse; or any lanes, which it would choose for long streams
  // only.
  if (made.is_ours || !good)
    check_tasks(made, arrays, good, reading);
  else
    check_jobs(made, arrays, indexes, reading);
  ++(good ? counts.encoded : counts.refused);
  return 0;
}

namespace fuzz {

Input make_input(Random& random) {
  return make_front(random);
}

/// Other symbols by the same tables, or single elements changed.
void mutate(Random& random, Input& input) {
  const std::size_t edits_bytes = input.size() - std::min(input.size(), kFrontBytes);
  switch (random.below(8)) {
    case 0:
      mutate_byte(random, random.below(input.size() + 1), input);
      break;
    case 1:
      input.resize(input.size() - std::min(edits_bytes, kEditBytes));
      break;
    case 2:
    case 3:
      renew_arrays(random, 250, input);
      break;
    default:
      append_random(random, kEditBytes, input);
      // The value: as often small as large.
      if (random.below(2))
        std::fill(input.end() - 5, input.end() - 2, static_cast<std::uint8_t>(random.below(2) ? 255 : 0));
  }
}

bool print_counts() {
  std::printf(
      "%llu runs, %llu encoded, %llu refused, %llu with threads; tasks of several chunks: %llu; jobs with "
      "turns of 32 lanes: %llu, with one lane and escapes: %llu\n",
      counts.runs, counts.encoded, counts.refused, counts.in_threads, counts.several_chunks, counts.in_lanes,
      counts.escaped);
  return counts.encoded && counts.refused && counts.in_threads && counts.in_lanes && counts.escaped;
}

}  // namespace fuzz
