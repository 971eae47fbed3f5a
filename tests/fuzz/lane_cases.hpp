/// What the targets of the lane stream share: kernel sets, tables of all kinds, and cases made from an
/// input's front.
///
/// Tables take longer to make than streams: the front only names a set of them, which is made once and kept.
#pragma once

#include <array>
#include <memory>

#include "backend.hpp"
#include "fuzz.hpp"
#include "lane_chunk.hpp"
#include "lane_head.hpp"
#include "lane_page.hpp"
#include "lane_plan.hpp"
#include "lanes.hpp"

namespace fuzz {

struct NamedKernels {
  std::string name;
  const LaneKernels* lanes;
};

/// All that run here; the first is the one that defines the format.
inline const std::vector<NamedKernels>& kernel_sets() {
  static const std::vector<NamedKernels> sets = [] {
    std::vector<NamedKernels> found;
    for (const std::string& name : available_backends()) {
      require(force_backend(name), "a set that is available can be forced");
      found.insert(found.begin(), {name, active_kernels().lanes});
    }
    force_backend("");
    return found;
  }();
  return sets;
}

/// One of those behind the first, if there is any.
inline std::size_t other_set(std::size_t number) {
  const std::size_t others = kernel_sets().size() - 1;
  return others ? 1 + number % others : 0;
}

/// Values as elements of any type, in a heap block of exactly their size.
struct TypedBlock {
  Bytes block;
  IntegerType type;
  std::size_t size;

  TypedBlock(IntegerType of_type, std::size_t count)
      : block(count * bytes_of(of_type)), type(of_type), size(count) {}
  template <class Value>
  TypedBlock(IntegerType of_type, const std::vector<Value>& values) : TypedBlock(of_type, values.size()) {
    with_type(type, [&](auto* tag) {
      using T = std::remove_pointer_t<decltype(tag)>;
      T* to = reinterpret_cast<T*>(block.data.get());
      for (std::size_t i = 0; i < size; ++i) to[i] = static_cast<T>(values[i]);
    });
  }
  static std::size_t bytes_of(IntegerType type) {
    return with_type(type, [](auto* tag) { return sizeof *tag; });
  }
  IntegerSource source() const { return {block.data.get(), type, size}; }
  IntegerSink sink() const { return {block.data.get(), type, size}; }
  /// As int32; an element that is none becomes `other`.
  std::vector<std::int32_t> loaded(std::int32_t other) const {
    std::vector<std::int32_t> values(size);
    std::size_t at = source().load(0, size, values.data());
    for (; at < size; ++at)
      if (source().load(at, 1, &values[at]) == 0) values[at] = other;
    return values;
  }
  bool holds(const std::vector<std::int32_t>& values) const {
    return with_type(type, [&](auto* tag) {
      const auto* from = reinterpret_cast<decltype(tag)>(block.data.get());
      for (std::size_t i = 0; i < size; ++i)
        if (!driver::fits<std::int32_t>(from[i]) || static_cast<std::int32_t>(from[i]) != values[i])
          return false;
      return true;
    });
  }
};

enum class Offsets { kZeroMode, kCentred, kAny, kEdges };

struct Recipe {
  std::size_t num_tables, max_symbols;
  Offsets offsets;
  std::size_t num_variants;
};

#if defined(SCALECODEC_FUZZ_STANDALONE)
constexpr std::size_t kMostTables = kMaxLaneTables, kMostSymbols = 65536;
#else
// libFuzzer heaps up what takes long, and this reaches nothing else.
constexpr std::size_t kMostTables = 1000, kMostSymbols = 1300;
#endif

// Around the numbers at which the core changes its ways: 64 tables in registers, 128 cells, 2^16 cells, 2^16
// tables.
constexpr Recipe kRecipes[] = {
    {1, 8, Offsets::kZeroMode, 16},   {1, 1, Offsets::kAny, 16},
    {3, 60, Offsets::kCentred, 16},   {64, 40, Offsets::kZeroMode, 16},
    {64, 12, Offsets::kEdges, 16},    {65, 20, Offsets::kCentred, 16},
    {300, 10, Offsets::kAny, 16},     {1, 140, Offsets::kCentred, 16},
    {5, 600, Offsets::kEdges, 16},    {1, 300, Offsets::kZeroMode, 16},
    {12, 2, Offsets::kAny, 16},       {20, 3000, Offsets::kAny, 8},
    {1, 40000, Offsets::kAny, 4},     {1, 65536, Offsets::kEdges, 2},
    {700, 160, Offsets::kCentred, 2}, {kMostTables, 2, Offsets::kZeroMode, 1},
};

/// Tables of one recipe, and what the page makes of them.
struct TableSet {
  driver::Tables tables;
  std::vector<std::unique_ptr<page::Table>> pages;

  TableSet(Random& random, const Recipe& recipe)
      : tables(recipe.num_tables, recipe.max_symbols + 1), pages(recipe.num_tables) {
    for (std::size_t i = 0; i < recipe.num_tables; ++i) add_row(random, recipe, i);
    require(tables.build().ok(), "legal tables are taken");
  }

  const LaneTable& lanes() const { return tables.prepared.lanes(); }
  std::size_t size() const { return tables.num_tables; }
  const page::Table& page_of(std::size_t index) {
    std::unique_ptr<page::Table>& made = pages[index];
    if (!made)
      made = std::make_unique<page::Table>(
          tables.row(index), static_cast<std::size_t>(tables.cdf_length[index]), tables.offset[index]);
    return *made;
  }

 private:
  void add_row(Random& random, const Recipe& recipe, std::size_t i) {
    // Few symbols are as likely as many; the first table has as many as there may be.
    const std::size_t most =
        std::min<std::size_t>(recipe.max_symbols, std::size_t{1} << (1 + random.below(17)));
    const std::size_t symbols = i ? 1 + random.below(most) : recipe.max_symbols;
    std::int32_t* row = tables.row(i);
    driver::random_row(random, symbols, row);
    tables.cdf_length[i] = static_cast<std::int32_t>(symbols + 1);
    tables.offset[i] = offset_of(random, recipe.offsets, row, static_cast<std::int32_t>(symbols));
  }

  static std::int32_t offset_of(Random& random, Offsets offsets, const std::int32_t* row,
                                std::int32_t symbols) {
    constexpr std::int32_t kLow = std::numeric_limits<std::int32_t>::min();
    const std::int32_t greatest = std::numeric_limits<std::int32_t>::max() - symbols + 1;
    const std::int32_t near = static_cast<std::int32_t>(random.below(200));
    std::int32_t mode = 0;
    for (std::int32_t v = 1; v + 1 < symbols; ++v)
      if (row[v + 1] - row[v] > row[mode + 1] - row[mode]) mode = v;
    switch (offsets) {
      case Offsets::kZeroMode:
        return -mode;
      case Offsets::kCentred:
        return -symbols / 2;
      case Offsets::kAny:
        return static_cast<std::int32_t>(random.spread(30)) * (random.below(2) ? 1 : -1);
      default:
        return random.below(2) ? kLow + near * static_cast<std::int32_t>(random.below(2))
                               : greatest - near * static_cast<std::int32_t>(random.below(2));
    }
  }
};

/// The set of this number, made at its first use.
inline TableSet& table_set(std::uint32_t number) {
  constexpr std::size_t kMostVariants = 16;
  static std::array<std::array<std::unique_ptr<TableSet>, kMostVariants>, std::size(kRecipes)> sets;
  // The largest sets are rare.
  const std::size_t at = number % 64 ? number % 12 : number / 64 % 32 ? 12 + number % 3 : 15;
  const std::size_t variant = number / 256 % kRecipes[at].num_variants;
  std::unique_ptr<TableSet>& set = sets[at][variant];
  if (!set) {
    Random random{at * 1000 + variant};
    set = std::make_unique<TableSet>(random, kRecipes[at]);
  }
  return *set;
}

constexpr std::size_t kFrontBytes = 16, kKindByte = 4, kSeedBytes = 4;  // the seed is the front's end

/// What the front of an input asks for: tables and arrays, and how a stream of them is cut.
struct Case {
  TableSet* set;
  IntegerType index_type = IntegerType::kInt32, symbol_type = IntegerType::kInt32;
  bool other_threads;  // seldom: waking a thread takes longer than decoding a short stream
  bool is_ours;        // as our encoder cuts it
  bool is_raw;         // the rest of the input is a stream as it stands
  std::size_t num_chunks;
  std::uint32_t lanes_code;  // of each chunk in turn, two bits
  int place;
  std::vector<std::int32_t> indexes, symbols;

  explicit Case(Reader reader);

 private:
  void fill_indexes(Random random, std::uint32_t pattern);
  void fill_symbols(Random random, std::uint32_t pattern);
};

constexpr std::uint32_t kLongKind = 255;

/// Mostly few symbols; sometimes enough for several blocks a lane, and at last for several chunks of our
/// encoder.
inline std::size_t size_from(std::uint32_t kind, std::size_t value) {
  if (kind < 216) return value % 40;
  if (kind < 250) return value % 200;
  return value % std::min<std::size_t>(kMostSymbols, kind < kLongKind ? 2500 : 65536);
}

inline Case::Case(Reader reader) : set(&table_set(reader.half())) {
  const std::uint32_t types = reader.half();
  if ((types >> 3 & 3) == 0) index_type = static_cast<IntegerType>(types & 7);
  if ((types >> 8 & 3) == 0) symbol_type = static_cast<IntegerType>(types >> 5 & 7);
  other_threads = (types >> 10 & 7) == 0;
  is_ours = types >> 14 == 0;
  is_raw = types >> 10 == 63;
  const std::uint32_t kind = reader.byte();
  const std::size_t size = size_from(kind, reader.half());
  const std::uint32_t chunks = reader.byte();
  indexes.resize(chunks < 208 || size > 100 ? size : 4 * size);
  symbols.resize(indexes.size());
  num_chunks =
      std::max<std::size_t>(1, std::min<std::size_t>(chunks < 208 ? 1 : 2 + chunks % 5, indexes.size()));
  const std::uint32_t code = reader.byte(), where = reader.byte();
  lanes_code = code < 80 ? 0 : code;
  // Tails take most of a short chunk. Those at its front are short, and leave the rest to the lanes.
  place = where < 64 ? 0 : static_cast<int>(where < 192 ? 1 + where % 4 : where);
  const std::uint32_t patterns = reader.half();
  const std::uint32_t seed = reader.word();
  fill_indexes({seed}, patterns >> 8);
  fill_symbols({seed + 1}, patterns);
}

inline void Case::fill_indexes(Random random, std::uint32_t pattern) {
  const std::size_t tables = set->size(), size = indexes.size(),
                    some = 1 + random.below(std::min<std::size_t>(tables, 70));
  const std::size_t run = 1 + random.spread(11), constant = random.below(tables);
  for (std::size_t i = 0; i < size; ++i) {
    std::size_t index = 0;
    switch (pattern % 8) {
      case 0:
        index = constant;
        break;
      case 1:
        index = i % tables;
        break;
      case 2:
        index = (i / run + constant) % tables;
        break;
      case 3:
        index = (random.below(some) * 7919 + constant) % tables;  // few out of many
        break;
      case 4:
        index = i < size / 2 ? constant : random.below(tables);
        break;
      default:
        index = random.below(tables);
    }
    // Their type must hold them, or no stream would fit them.
    const std::size_t most = TypedBlock::bytes_of(index_type) == 1   ? 127
                             : TypedBlock::bytes_of(index_type) == 2 ? 32767
                                                                     : 65535;
    indexes[i] = static_cast<std::int32_t>(index & most);
  }
}

inline void Case::fill_symbols(Random random, std::uint32_t pattern) {
  constexpr std::int64_t kLow = std::numeric_limits<std::int32_t>::min(),
                         kHigh = std::numeric_limits<std::int32_t>::max();
  const std::uint32_t bits = pattern >> 4 & 15;
  const std::uint64_t rarity = bits ? std::uint64_t{4} << bits : 1;  // of symbols that are not drawn
  const driver::Tables& tables = set->tables;
  for (std::size_t i = 0; i < symbols.size(); ++i) {
    const std::size_t index = static_cast<std::size_t>(indexes[i]);
    const std::int32_t* row = tables.row(index);
    const std::int32_t slot =
        static_cast<std::int32_t>(pattern & 8 ? random.spread(16) : random.below(65536));
    std::int64_t symbol = tables.offset[index];
    symbol += std::upper_bound(row, row + tables.cdf_length[index], slot) - 1 - row;
    if (random.below(rarity) == 0) {
      const std::int64_t away = static_cast<std::int64_t>(random.spread(pattern & 4 ? 33 : 8));
      symbol += random.below(2) ? away : -away;
    }
    symbols[i] = static_cast<std::int32_t>(std::clamp(symbol, kLow, kHigh));
  }
}

/// What was made of fronts: few of them come in between before one comes again.
template <class Made>
Made& made_of(const std::uint8_t* data) {
  static std::array<std::pair<Input, std::unique_ptr<Made>>, 256> kept;
  const Reader reader{data, data + kFrontBytes};
  std::uint64_t hash = 0;
  for (std::size_t i = 0; i < kFrontBytes; ++i) hash = (hash + data[i]) * 0x9e3779b97f4a7c15u;
  auto& [front, made] = kept[hash >> 56];
  if (!made || !std::equal(front.begin(), front.end(), data)) {
    front.assign(data, data + kFrontBytes);
    made = std::make_unique<Made>(reader);
  }
  return *made;
}

/// A front of chance, but for few symbols.
inline Input make_front(Random& random) {
  Input input;
  append_random(random, kFrontBytes, input);
  input[kKindByte] = static_cast<std::uint8_t>(input[kKindByte] % kLongKind);
  return input;
}

/// Other symbols and indexes for the same tables; one in `rarity` is long.
inline void renew_arrays(Random& random, std::uint64_t rarity, Input& input) {
  if (input.size() < kFrontBytes) return;
  for (std::size_t i = kFrontBytes - kSeedBytes; i < kFrontBytes; ++i)
    input[i] = static_cast<std::uint8_t>(random.bits());
  if (random.below(rarity) == 0) input[kKindByte] = kLongKind;
}

/// A chunk: its head, and the words and side stream behind it.
struct Piece {
  Input head, body;

  std::size_t size() const { return head.size() + body.size(); }
};

inline Piece cut_head(const Input& bytes, std::size_t num_symbols) {
  LaneHead head;
  const std::uint8_t* next = bytes.data();
  require(read_head(next, bytes.data() + bytes.size(), num_symbols, head), "an encoder's head is read");
  return {Input(bytes.data(), next), Input(next, bytes.data() + bytes.size())};
}

/// The jobs of a case's chunks, each with lanes and a place of its own, whatever our encoder would choose.
inline std::vector<LaneEncodeJob> encode_jobs(const Case& made, const IntegerSource& symbols,
                                              const IntegerSource& indexes) {
  constexpr std::size_t kLanes[] = {32, 1, 8, 4};
  std::vector<LaneEncodeJob> jobs;
  for (std::size_t i = 0; i < made.num_chunks; ++i) {
    jobs.push_back({symbols, indexes, chunk_range(i, made.num_chunks, symbols.size), {}, {}, {}});
    // With a first code of 0 all have 32 lanes, and are coded in turns.
    jobs[i].head.num_lanes = kLanes[made.lanes_code >> (i % 4 * 2) & 3];
    if (jobs[i].head.num_lanes > 1 && made.place) jobs[i].head.place = made.place;
  }
  return jobs;
}

/// Encode all jobs, as many at a time as may be.
inline void encode_all(std::vector<LaneEncodeJob>& jobs, const LaneTable& table, const LaneKernels& kernels) {
  for (std::size_t i = 0; i < jobs.size(); i += kMaxRuns)
    encode_chunks(jobs.data() + i, static_cast<int>(std::min<std::size_t>(kMaxRuns, jobs.size() - i)), table,
                  kernels);
}

/// The stream of these chunks; `lies` are added to the lengths in its directory, modulo 2^14.
inline Input join(const std::vector<Piece>& pieces, const std::vector<int>& lies = {}) {
  Input out;
  if (pieces.size() > 1) {
    out.push_back(kManyChunks);
    write_varint(pieces.size(), out);
    for (std::size_t i = 0; i + 1 < pieces.size(); ++i) {
      const int lie = i < lies.size() ? lies[i] : 0;
      write_varint(lie ? (pieces[i].size() + static_cast<std::size_t>(lie)) & 0x3fff : pieces[i].size(), out);
    }
  }
  for (const Piece& piece : pieces) {
    out.insert(out.end(), piece.head.begin(), piece.head.end());
    out.insert(out.end(), piece.body.begin(), piece.body.end());
  }
  return out;
}

/// What the page makes of a stream: whether it is one, and its symbols.
inline bool page_decode(const Bytes& stream, TableSet& set, const std::vector<std::int32_t>& indexes,
                        std::vector<std::int64_t>& symbols) {
  symbols.resize(indexes.size());
  const auto table_of = [&](std::size_t i) -> const page::Table* {
    const std::size_t index = static_cast<std::uint32_t>(indexes[i]);
    return index < set.size() ? &set.page_of(index) : nullptr;
  };
  return page::decode({stream.data.get(), stream.data.get() + stream.size}, table_of, symbols);
}

}  // namespace fuzz
