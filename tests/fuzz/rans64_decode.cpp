/// Fuzz target of the rans64 coder: tables, indexes and stream all come from the input; fuzz.hpp says how to
/// run it.
///
/// Tables are quantized from the input's weights and then patched from it.
#include "fuzz.hpp"

using namespace fuzz;

namespace {

constexpr std::size_t kMaxTables = 8, kMaxSymbols = 64, kMaxIndexes = 1200, kMaxPatches = 3;

struct Counts {
  unsigned long long runs = 0, tables = 0, decoded = 0, accepted = 0;
} counts;

/// What the input's front asks for; its rest is the stream.
struct Scenario {
  std::size_t width = kMaxSymbols + 1, num_tables, split;
  Exact<std::int32_t> cdf, cdf_length, offset;
  Exact<std::uint64_t> indexes;  // of 8 bytes a place, whatever their type
  IntegerType index_type, out_type;
  bool check_end, table_ok = true;

  explicit Scenario(Reader& reader);
  IntegerSource index_source(std::size_t first, std::size_t count) const;
};

Scenario::Scenario(Reader& reader)
    : num_tables(1 + reader.below(kMaxTables)),
      cdf(num_tables * width),
      cdf_length(num_tables),
      offset(num_tables),
      indexes(reader.below(kMaxIndexes)) {
  const std::uint32_t flags = reader.byte();
  index_type = static_cast<IntegerType>(flags & 7);
  out_type = flags & 8 ? static_cast<IntegerType>(flags >> 4 & 7) : IntegerType::kInt32;
  check_end = !(flags & 128);
  split = reader.below(indexes.size + 1);
  for (std::size_t i = 0; i < num_tables; ++i) {
    Exact<float> pmf(1 + reader.below(kMaxSymbols));
    for (std::size_t k = 0; k < pmf.size; ++k)
      pmf.data[k] = static_cast<float>(reader.byte() * reader.byte()) / 65536;
    table_ok &= pmf_to_quantized_cdf(pmf.data.get(), pmf.size, 16, cdf.data.get() + i * width).ok();
    cdf_length.data[i] = static_cast<std::int32_t>(pmf.size + 1);
    offset.data[i] = static_cast<std::int32_t>(reader.word()) >> reader.below(32);
  }
  const std::size_t patches = reader.below(16);
  for (std::size_t i = 0; i < patches && patches <= kMaxPatches; ++i) {
    const Exact<std::int32_t>& target = i == 0 ? cdf : i == 1 ? cdf_length : offset;
    target.data[reader.below(target.size)] = static_cast<std::int32_t>(reader.word()) >> reader.below(32);
  }
  const bool hostile_indexes = reader.below(64) == 0;
  with_type(index_type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    T* to = reinterpret_cast<T*>(indexes.data.get() + indexes.size) - indexes.size;  // up to the block's end
    for (std::size_t i = 0; i < indexes.size; ++i)
      to[i] =
          hostile_indexes ? static_cast<T>(reader.byte() - 1) : static_cast<T>(reader.byte() % num_tables);
  });
}

IntegerSource Scenario::index_source(std::size_t first, std::size_t count) const {
  return with_type(index_type, [&](auto* tag) -> IntegerSource {
    using T = std::remove_pointer_t<decltype(tag)>;
    return {reinterpret_cast<const T*>(indexes.data.get() + indexes.size) - indexes.size + first, index_type,
            count};
  });
}

bool any_escaped(const Scenario& scenario, const CdfTable& table, const Exact<std::int32_t>& symbols) {
  Exact<std::int32_t> indexes(symbols.size);
  scenario.index_source(0, symbols.size).load(0, symbols.size, indexes.data.get());
  for (std::size_t i = 0; i < symbols.size; ++i) {
    const TableRow& row = table.row(static_cast<std::size_t>(indexes.data[i]));
    const std::int64_t value = std::int64_t{symbols.data[i]} - row.offset;
    if (value < 0 || value >= row.escape) return true;
  }
  return false;
}

/// What was accepted means what its own encoding means; and without escapes, which may be spelled longer than
/// needed, it is its own encoding.
void check_accepted(const Scenario& scenario, const CdfTable& table, const Bytes& stream,
                    const Exact<std::int32_t>& symbols) {
  ++counts.accepted;
  const IntegerSource all = scenario.index_source(0, symbols.size);
  Rans64Encoder encoder;
  require(encoder.encode_reverse({symbols.data.get(), IntegerType::kInt32, symbols.size}, all, table).ok(),
          "encodes");
  require(encoder.finish().ok(), "encodes");
  require(encoder.num_bytes() <= stream.size, "its own encoding is no longer");
  Exact<std::int32_t> again(symbols.size);
  Rans64Decoder decoder;
  require(decoder.start(encoder.bytes(), encoder.num_bytes()).ok(), "starts");
  require(decoder.decode(all, table, {again.data.get(), IntegerType::kInt32, again.size}).ok(), "decodes");
  require(decoder.finish().ok(), "ends");
  require(std::equal(symbols.data.get(), symbols.data.get() + symbols.size, again.data.get()),
          "the same symbols");
  if (any_escaped(scenario, table, symbols)) return;
  require(encoder.num_bytes() == stream.size && !std::memcmp(encoder.bytes(), stream.data.get(), stream.size),
          "the same bytes");
}

void decode(const Scenario& scenario, const CdfTable& table, const Bytes& stream) {
  Rans64Decoder decoder;
  if (!decoder.start(stream.data.get(), stream.size).ok()) return;
  const std::size_t count = scenario.indexes.size;
  // Elements narrower than 8 bytes leave the block's front unused: its end is where an over-write must be
  // seen.
  Exact<std::uint64_t> out(count);
  const std::size_t cuts[] = {0, scenario.split, count};
  for (int part = 0; part < 2; ++part) {
    const std::size_t first = cuts[part], last = cuts[part + 1];
    const IntegerSink sink = with_type(scenario.out_type, [&](auto* tag) -> IntegerSink {
      using T = std::remove_pointer_t<decltype(tag)>;
      return {reinterpret_cast<T*>(out.data.get() + count) - count + first, scenario.out_type, last - first};
    });
    if (!decoder.decode(scenario.index_source(first, last - first), table, sink).ok()) return;
  }
  ++counts.decoded;
  if (!scenario.check_end || !decoder.finish().ok() || scenario.out_type != IntegerType::kInt32) return;
  check_accepted(scenario, table, stream,
                 {reinterpret_cast<std::int32_t*>(out.data.get() + count) - count, count});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++counts.runs;
  Reader reader{data, data + size};
  const Scenario scenario(reader);
  CdfTable table;
  const Result result = table.build(scenario.cdf.data.get(), scenario.num_tables, scenario.width,
                                    scenario.cdf_length.data.get(), scenario.offset.data.get());
  if (!scenario.table_ok || !result.ok()) return 0;
  ++counts.tables;
  decode(scenario, table, Bytes(reader.next, static_cast<std::size_t>(reader.end - reader.next)));
  return 0;
}

namespace fuzz {

/// A front of chance, and behind it a valid stream where the front makes legal tables.
Input make_input(Random& random) {
  Input input;
  append_random(random, 4096, input);
  input[3] &= static_cast<std::uint8_t>(random.below(16) ? 3 : 255);  // mostly few symbols
  Reader reader{input.data(), input.data() + input.size()};
  const Scenario scenario(reader);
  input.resize(static_cast<std::size_t>(reader.next - input.data()));
  CdfTable table;
  const Result built = table.build(scenario.cdf.data.get(), scenario.num_tables, scenario.width,
                                   scenario.cdf_length.data.get(), scenario.offset.data.get());
  const std::size_t count = scenario.indexes.size;
  Exact<std::int32_t> symbols(count), indexes(count);
  scenario.index_source(0, count).load(0, count, indexes.data.get());
  Rans64Encoder encoder;
  for (std::size_t i = 0; i < count && built.ok(); ++i) {
    const std::size_t index = static_cast<std::uint32_t>(indexes.data[i]) % scenario.num_tables;
    const TableRow& row = table.row(index);
    const std::int64_t value = row.offset + static_cast<std::int64_t>(random.below(row.escape + 1));
    symbols.data[i] =
        static_cast<std::int32_t>(random.below(64) ? value : static_cast<std::int64_t>(random.bits()));
  }
  const IntegerSource source{symbols.data.get(), IntegerType::kInt32, count};
  if (built.ok() && encoder.encode_reverse(source, scenario.index_source(0, count), table).ok() &&
      encoder.finish().ok())
    input.insert(input.end(), encoder.bytes(), encoder.bytes() + encoder.num_bytes());
  return input;
}

/// Mostly near the stream's start, where it matters most.
void mutate(Random& random, Input& input) {
  for (std::uint64_t edits = random.below(4); edits > 0 && !input.empty(); --edits)
    mutate_byte(random, random.below(std::min<std::size_t>(input.size(), random.below(2) ? 64 : 4096)),
                input);
}

bool print_counts() {
  std::printf("%llu runs, %llu with legal tables, %llu decoded, %llu accepted by the end check\n",
              counts.runs, counts.tables, counts.decoded, counts.accepted);
  return counts.accepted > 0;
}

}  // namespace fuzz
