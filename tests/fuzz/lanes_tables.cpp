/// Fuzz target of the lane tables; fuzz.hpp says how to run it.
///
/// Rows come from the input, legal ones and others. What is illegal must be refused, and what is legal must
/// become the page's table in every form that the kernels read: cells, buckets, steps, thresholds.
#include "lane_cases.hpp"
#include "lane_step.hpp"

using namespace fuzz;

namespace {

constexpr std::size_t kMaxTables = 4, kManyTables = 70, kDrawn = 24;

struct Counts {
  unsigned long long runs = 0, legal = 0, illegal = 0, tables = 0, with_raw_bits = 0, cut = 0, many = 0;
} counts;

/// Mostly as narrow as the tables of latents: wide ones take far longer.
std::size_t num_symbols_from(Reader& reader) {
  const std::uint32_t kind = reader.byte();
  if (kind < 230) return 1 + kind % 8;
  if (kind < 250) return 1 + reader.below(40);
  if (kind < 255) return 1 + reader.below(300);
  const std::size_t rare = reader.half();
  return rare % 32 == 0 ? 65536 : 1 + reader.below(rare % 4 == 0 ? 20000 : 2000);
}

/// Frequencies that sum to 65536, at least 1 each: from weights in the input, of chance, or all ones but for
/// two.
void read_row(Reader& reader, std::size_t symbols, std::int32_t* row) {
  const std::uint32_t kind = reader.byte() % 4;
  if (kind == 0) {
    Random random{reader.half()};
    return driver::random_row(random, symbols, row);
  }
  std::vector<std::uint64_t> weights(symbols);
  std::uint64_t sum = 0;
  if (kind == 1) weights[reader.below(symbols)] = 1 + reader.half();
  if (kind == 1) weights[reader.below(symbols)] += 1 + reader.half();
  for (std::uint64_t& weight : weights) {
    if (kind == 2) weight = reader.byte();
    if (kind == 3) weight = std::uint64_t{1} << reader.byte() % 17;
    sum += weight;
  }
  const std::uint64_t spare = 65536 - symbols;
  std::uint64_t left = spare;
  row[0] = 0;
  for (std::size_t i = 0; i < symbols; ++i) {
    const std::uint64_t share = i + 1 == symbols ? left : sum ? weights[i] * spare / sum : 0;
    left -= share;
    row[i + 1] = row[i] + static_cast<std::int32_t>(1 + share);
  }
}

driver::Tables read_tables(Reader& reader) {
  const std::uint32_t kind = reader.byte();
  const std::size_t count = kind == 255 ? kManyTables : 1 + (kind % 8 ? kind % 2 : kind / 8 % kMaxTables);
  std::vector<std::size_t> symbols;
  for (std::size_t i = 0; i < count; ++i)
    symbols.push_back(count == kManyTables ? 1 + reader.byte() % 3 : num_symbols_from(reader));
  driver::Tables tables(count, *std::max_element(symbols.begin(), symbols.end()) + 1 + kind / 64);
  for (std::size_t i = 0; i < count; ++i) {
    read_row(reader, symbols[i], tables.row(i));
    tables.cdf_length[i] = static_cast<std::int32_t>(symbols[i]) + 1;
    const std::uint32_t shift = reader.byte();
    tables.offset[i] = static_cast<std::int32_t>(reader.word()) >> shift % 32;
    // Symbols at the very edges of int32, and all that they may be.
    if (shift >= 224) tables.offset[i] = std::numeric_limits<std::int32_t>::max() - tables.cdf_length[i] + 2;
    if (shift < 32) tables.offset[i] = std::numeric_limits<std::int32_t>::min();
  }
  const std::uint32_t num_patches = reader.byte() % 8;
  for (std::uint32_t i = 0; i < num_patches && num_patches <= 2; ++i) {
    const std::uint32_t target = reader.byte() % 4;
    std::vector<std::int32_t>& values = target < 2    ? tables.cdf
                                        : target == 2 ? tables.cdf_length
                                                      : tables.offset;
    std::int32_t& value = values[reader.below(values.size())];
    const std::uint32_t shift = reader.byte();
    const std::int32_t change = static_cast<std::int32_t>(reader.word()) >> shift % 32;
    value = shift < 128 ? change
                        : static_cast<std::int32_t>(static_cast<std::uint32_t>(value) +
                                                    static_cast<std::uint32_t>(change));
  }
  return tables;
}

/// Section 1 of the page.
bool is_legal(const driver::Tables& tables, std::size_t index) {
  const std::int64_t length = tables.cdf_length[index];
  if (length < 2 || length > static_cast<std::int64_t>(tables.width)) return false;
  const std::int32_t* row = tables.row(index);
  if (row[0] != 0 || row[length - 1] != 65536) return false;
  for (std::int64_t i = 1; i < length; ++i)
    if (row[i] <= row[i - 1]) return false;
  return tables.offset[index] + length - 2 <= std::numeric_limits<std::int32_t>::max();
}

void check_cells(const LaneView& view, std::size_t index, const page::Table& expected) {
  const LaneCell* cells = view.cells + view.first_cells[index];
  std::uint32_t end = 0;
  for (std::size_t i = 0; i < expected.cells.size(); ++i) {
    const page::Cell& cell = expected.cells[i];
    require(cell.start == end && cell.width > 0, "the page's cells lie next to each other");
    end += cell.width;
    require(cells[i].minus_start == (65536 - cell.start) % 65536 && cells[i].freq == cell.freq,
            "slots of a cell");
    require(cells[i].raw_bits == cell.raw_bits, "raw bits of a cell");
    require(cells[i].distance == (cell.is_escape ? kEscapeDistance : cell.first - expected.mode),
            "symbols of a cell");
    for (std::uint32_t bucket = (cell.start + 127) / 128; bucket * 128 < end; ++bucket)
      require(view.buckets[index * kNumBuckets + bucket] == i, "the cell that holds a bucket's first slot");
  }
  require(end == kNumSlots, "all slots are given out");
  const LaneCell& beyond = cells[expected.cells.size()];
  require(beyond.minus_start == 0x8000, "a cell beyond every slot");
}

void check_steps(const LaneView& view, std::size_t index, const page::Table& expected) {
  const std::uint64_t row = view.encode_rows[index];
  const std::int64_t num_values = expected.last - expected.first + 1;
  require((row & 0xffff) == static_cast<std::uint64_t>(expected.mode - expected.first),
          "symbols before the mode");
  require((row >> 16 & 0xffff) == static_cast<std::uint64_t>(num_values), "symbols in cells");
  require((row >> 32 & 7) == static_cast<std::uint64_t>(expected.k), "raw bits of a table");
  for (const page::Cell& cell : expected.cells) {
    const std::int64_t number = (cell.is_escape ? num_values : cell.first - expected.first) >> expected.k;
    const std::size_t at = static_cast<std::size_t>(row >> 35) + static_cast<std::size_t>(number);
    const LaneStep& step = view.steps[at];
    require(step.start == cell.start && step.freq == cell.freq, "start and frequency of a step");
    require(step.multiplier == ((std::uint64_t{1} << 47) - 1) / cell.freq + 1, "multiplier of a step");
    require(view.packed_steps[at] == (cell.start | cell.freq << 16), "a packed step");
  }
}

/// Ends of mode, mode + 1 and mode - 1 where cells have no raw bits.
void check_registers(const LaneTable& lanes, std::size_t index, const page::Table& expected) {
  std::uint16_t registers[4 * kRegisterTables] = {};
  const std::size_t number = index % kRegisterTables;
  const LaneView view = lanes.view();
  require(lanes.put_registers(index, number, registers) == (view.first_cells[index] < 65536),
          "registers take a first cell");
  require(registers[3 * kRegisterTables + number] == view.first_cells[index] % 65536,
          "the first cell in a register");
  std::uint32_t end = 0;
  constexpr std::int64_t kNumbers[] = {0, 1, -1};
  for (std::size_t i = 0; i < 3; ++i) {
    for (const page::Cell& cell : expected.cells)
      if (expected.k == 0 && !cell.is_escape && cell.number == kNumbers[i]) end += cell.width;
    require(registers[i * kRegisterTables + number] == end, "a threshold");
    if (view.registers)
      require(view.registers[i * kRegisterTables + index] == end, "a threshold of the view");
  }
}

/// Steps there and back, from states of chance and at both ends of a cell.
void check_arithmetic(const LaneView& view, std::size_t index, const page::Table& expected, Random& random) {
  for (int i = 0; i < 6; ++i) {
    const page::Cell& cell =
        expected.cells[random.below(std::min<std::size_t>(expected.cells.size(), random.below(2) ? 4 : 256))];
    const std::uint32_t ends[] = {0, cell.width - 1, static_cast<std::uint32_t>(random.below(cell.width))};
    const std::uint32_t high = random.below(4) ? static_cast<std::uint32_t>(random.spread(17)) : 0x1ffff;
    const std::uint32_t x = high << kSlotBits | (cell.start + ends[random.below(3)]);
    std::uint32_t taken = x, guessed = x;
    const std::int32_t distance = take_symbol(view, index, taken);
    require(guess_symbol(view, index, guessed) == distance && guessed == taken, "both ways to take a symbol");
    const std::uint32_t within = x % kNumSlots - cell.start;
    require(taken == cell.freq * high + (within >> cell.raw_bits), "the state after a symbol");
    if (cell.is_escape) require(distance == kEscapeDistance, "an escape");
    if (!cell.is_escape)
      require(expected.mode + distance == cell.first + within % (1u << cell.raw_bits),
              "the symbol of a slot");
    const LocatedStep step = locate_step(view, index, distance);
    require(step.is_escape == cell.is_escape, "a step for a distance");
    require(!must_put_out(taken, step.step->freq), "no word leaves a state that a step made");
    require(put_symbol(taken, step) == x, "the step back");
  }
}

void check_tables(const driver::Tables& tables, Random& random) {
  const LaneTable& lanes = tables.prepared.lanes();
  const LaneView view = lanes.view();
  require(lanes.num_tables() == tables.num_tables, "as many tables");
  require((view.registers != nullptr) == (tables.num_tables <= kRegisterTables), "registers hold few tables");
  bool all_zero = true;
  for (std::size_t i = 0; i < tables.num_tables; ++i) {
    const page::Table expected(tables.row(i), static_cast<std::size_t>(tables.cdf_length[i]),
                               tables.offset[i]);
    require(view.modes[i] == expected.mode, "the mode");
    require(lanes.cost(i) == expected.cost, "the expected cost");
    check_cells(view, i, expected);
    check_steps(view, i, expected);
    check_registers(lanes, i, expected);
    check_arithmetic(view, i, expected, random);
    all_zero = all_zero && expected.mode == 0;
    ++counts.tables;
    counts.with_raw_bits += expected.k > 0;
    counts.cut += expected.k == 7 && tables.num_symbols(i) > 128 * 128;
  }
  require(lanes.modes_are_zero() == all_zero && (lanes.modes() == nullptr) == all_zero, "modes of 0 only");
}

/// Symbols drawn by the tables, and escapes, through a stream.
void check_round_trip(const driver::Tables& tables, Random& random) {
  std::vector<std::int32_t> symbols, indexes;
  for (std::size_t i = 0; i < kDrawn; ++i) {
    const std::size_t index = random.below(tables.num_tables);
    const std::int64_t place = static_cast<std::int64_t>(random.below(tables.num_symbols(index) + 2)) - 1;
    const std::int64_t symbol =
        random.below(16) ? tables.offset[index] + place : static_cast<std::int32_t>(random.bits());
    symbols.push_back(static_cast<std::int32_t>(std::clamp<std::int64_t>(
        symbol, std::numeric_limits<std::int32_t>::min(), std::numeric_limits<std::int32_t>::max())));
    indexes.push_back(static_cast<std::int32_t>(index));
  }
  const LaneKernels& kernels = *kernel_sets()[random.below(kernel_sets().size())].lanes;
  const LaneTable& lanes = tables.prepared.lanes();
  const IntegerSource from{indexes.data(), IntegerType::kInt32, kDrawn};
  std::vector<LaneEncodeJob> job(1);
  job[0] = {{symbols.data(), IntegerType::kInt32, kDrawn}, from, {0, kDrawn}, {}, {}, {}};
  if (random.below(2))
    job[0].head.num_lanes = 32, job[0].head.place = 1;  // no tail: so few symbols make no turn else
  encode_chunks(job.data(), 1, lanes, kernels);
  require(job[0].result.ok(), "what is encoded");
  const Bytes stream(job[0].out.data(), job[0].out.size());
  Exact<std::int32_t> out(kDrawn);
  LaneDecodeTask task{
      stream.data.get(), stream.size, from, {out.data.get(), IntegerType::kInt32, kDrawn}, {}};
  lanes_decode(&task, 1, lanes, kernels, 1);
  require(task.result.ok() && std::equal(symbols.begin(), symbols.end(), out.data.get()), "there and back");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++counts.runs;
  Reader reader{data, data + size};
  driver::Tables tables = read_tables(reader);
  std::size_t illegal = 0;
  while (illegal < tables.num_tables && is_legal(tables, illegal)) ++illegal;
  const Result result = tables.build();
  require(result.ok() == (illegal == tables.num_tables), "legal tables are taken, others are not");
  require(result.ok() || result.where == illegal, "the first that is illegal is named");
  ++(result.ok() ? counts.legal : counts.illegal);
  if (!result.ok()) return 0;
  counts.many += tables.num_tables > kRegisterTables;
  Random random{reader.word()};
  check_tables(tables, random);
  check_round_trip(tables, random);
  return 0;
}

namespace fuzz {

Input make_input(Random& random) {
  Input input;
  append_random(random, random.below(16) ? 100 : 2000, input);
  if (random.below(300) == 0) input[0] = 255;  // many tables
  return input;
}

/// Bytes replaced and bits flipped anywhere, some at the front more.
void mutate(Random& random, Input& input) {
  for (std::uint64_t edits = 1 + random.below(4); edits > 0 && !input.empty(); --edits) {
    const std::size_t at =
        random.below(random.below(2) ? input.size() : std::min<std::size_t>(input.size(), 12));
    input[at] =
        static_cast<std::uint8_t>(random.below(4) ? random.bits() : input[at] ^ 1u << random.below(8));
  }
}

bool print_counts() {
  std::printf(
      "%llu runs, %llu with legal tables, %llu with illegal ones, %llu with many; %llu tables: %llu with raw "
      "bits, %llu with cells left out\n",
      counts.runs, counts.legal, counts.illegal, counts.many, counts.tables, counts.with_raw_bits,
      counts.cut);
  return counts.legal && counts.illegal && counts.many && counts.with_raw_bits;
}

}  // namespace fuzz
