/// Driver, part 4: every kernel set's quantization against the definitions, in blocks of exactly their size.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>

#include "backend.hpp"
#include "driver.hpp"
#include "quantize.hpp"

namespace driver {

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float float_of(std::uint64_t bits) {
  const std::uint32_t low = static_cast<std::uint32_t>(bits);
  float value;
  std::memcpy(&value, &low, sizeof value);
  return value;
}

float above(float x) {
  return std::nextafter(x, kInfinity);
}
float below(float x) {
  return std::nextafter(x, -kInfinity);
}

/// An ascending table: log-uniform with doubles among its scales, or any floats at all.
std::vector<float> random_table(Random& random, std::size_t count) {
  std::vector<float> table(count);
  const bool any = random.below(4) == 0;
  for (float& scale : table) do
      scale = any ? float_of(random.bits()) : std::exp2(static_cast<float>(random.below(120)) / 8 - 5);
    while (std::isnan(scale));
  std::sort(table.begin(), table.end());
  return table;
}

/// Near a threshold, or any float: NaN, infinities and subnormal numbers among them.
float random_scale(Random& random, const std::vector<float>& table) {
  const float entry = table[random.below(table.size())];
  const float choices[] = {entry,
                           above(entry),
                           below(entry),
                           float_of(random.bits()),
                           float_of(random.spread(23)),
                           0.0f,
                           -0.0f,
                           kInfinity,
                           -kInfinity,
                           std::nanf("")};
  return choices[random.below(random.below(3) ? 5 : 10)];
}

std::int64_t slow_index(const std::vector<float>& table, float scale, float gain, float bound) {
  float scaled = scale * gain;
  if (scaled < bound) scaled = bound;
  std::int64_t index = static_cast<std::int64_t>(table.size()) - 1;
  for (std::size_t i = 0; i + 1 < table.size(); ++i) index -= scaled <= table[i];
  return index;
}

const QuantizeKernels& kernels() {
  return active_kernels().quantize;
}

template <class Index>
void check_indexes(Random& random, std::size_t num_tables, std::size_t count) {
  const std::vector<float> values = random_table(random, num_tables);
  const Exact<float> table(values.data(), num_tables);
  const float gain = random.below(2) ? 1.0f : std::exp2(-static_cast<float>(random.below(256)) / 64);
  const float bound = random.below(2) ? -kInfinity : random_scale(random, values);
  if (std::isnan(bound)) return;
  ScaleSearch search;
  if (!CHECK(prepare(table.data.get(), num_tables, bound, search).ok())) return;
  Exact<float> scale(count);
  Exact<Index> indexes(count);
  for (std::size_t i = 0; i < count; ++i) scale.data[i] = random_scale(random, values);
  QuantizeTask task{};
  task.size = count;
  task.gain = gain;
  task.scale = scale.data.get();
  task.search = &search;
  task.indexes = {indexes.data.get(), type_of<Index>(), count};
  CHECK(quantize(task, kernels(), 1 + random.below(3)).ok());
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i)
    wrong += static_cast<std::int64_t>(indexes.data[i]) != slow_index(values, scale.data[i], gain, bound);
  CHECK(wrong == 0);
}

template <class Symbol>
float random_latent(Random& random) {
  const float limit = static_cast<float>(-static_cast<double>(std::numeric_limits<Symbol>::min()));
  const float half = static_cast<float>(random.spread(sizeof(Symbol) == 1 ? 6 : 9)) - 0.5f;
  const float choices[] = {half,   -half,         above(half), below(half), limit - 1, below(limit - 0.5f),
                           -limit, -limit - 0.25f};
  return choices[random.below(sizeof(Symbol) == 4 ? 4 : random.below(3) ? 4 : 8)];
}

/// Latents that fit; then one that does not, somewhere.
template <class Symbol>
void check_symbols(Random& random, std::size_t count, bool has_mean) {
  Exact<float> latent(count), mean(count), back(count);
  Exact<Symbol> symbols(count);
  const float gain = random.below(2) ? 1.0f : std::exp2(-static_cast<float>(random.below(256)) / 64);
  for (std::size_t i = 0; i < count; ++i) {
    latent.data[i] = random_latent<Symbol>(random);
    mean.data[i] = sizeof(Symbol) == 1 ? 0.0f : static_cast<float>(random.below(1000)) / 64;
    if (has_mean && sizeof(Symbol) == 2) latent.data[i] /= 2;
  }
  QuantizeTask task{};
  task.size = count;
  task.gain = gain;
  task.latent = latent.data.get();
  task.mean = has_mean ? mean.data.get() : nullptr;
  task.symbols = {symbols.data.get(), type_of<Symbol>(), count};
  CHECK(quantize(task, kernels(), 1 + random.below(3)).ok());
  dequantize({symbols.data.get(), type_of<Symbol>(), count}, task.mean, gain, back.data.get(), 1);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float centred = has_mean ? latent.data[i] - mean.data[i] : latent.data[i];
    wrong += static_cast<float>(symbols.data[i]) != std::nearbyint(centred * gain);
    const float scaled = static_cast<float>(symbols.data[i]) / gain;
    wrong += back.data[i] != (has_mean ? scaled + mean.data[i] : scaled);
  }
  CHECK(wrong == 0);
  if (count == 0) return;
  const std::size_t where = random.below(count);
  const float beyond = static_cast<float>(std::numeric_limits<Symbol>::max()) * 8;
  const float bad[] = {std::nanf(""), kInfinity, -kInfinity, beyond / gain, -beyond / gain};
  latent.data[where] = bad[random.below(5)];
  if (where + 1 < count) latent.data[where + 1 + random.below(count - where - 1)] = kInfinity;
  const Result result = quantize(task, kernels(), 1 + random.below(3));
  CHECK(result.status == Status::kLatentRange && result.where == where);
}

/// -2^31 is a symbol, though SIMD conversions make it of NaN too.
void check_lowest(std::size_t count) {
  Exact<float> latent(count);
  Exact<std::int32_t> symbols(count);
  std::fill_n(latent.data.get(), count, -2147483648.0f);
  QuantizeTask task{};
  task.size = count;
  task.gain = 1.0f;
  task.latent = latent.data.get();
  task.symbols = {symbols.data.get(), IntegerType::kInt32, count};
  CHECK(quantize(task, kernels(), 1).ok());
  for (std::size_t i = 0; i < count; ++i) CHECK(symbols.data[i] == std::numeric_limits<std::int32_t>::min());
}

void check_sizes(Random& random) {
  for (std::size_t count = 0; count <= 70; ++count) {
    const std::size_t small = 1 + random.below(64), large = 65 + random.below(400);
    for (std::size_t num_tables :
         {std::size_t{1}, std::size_t{2}, small, std::size_t{64}, std::size_t{65}, large}) {
      if (num_tables <= 256) check_indexes<std::uint8_t>(random, num_tables, count);
      check_indexes<std::uint16_t>(random, num_tables, count);
      check_indexes<std::int32_t>(random, num_tables, count);
    }
    for (bool has_mean : {false, true}) {
      check_symbols<std::int8_t>(random, count, has_mean);
      check_symbols<std::int16_t>(random, count, has_mean);
      check_symbols<std::int32_t>(random, count, has_mean);
    }
    check_lowest(count);
  }
}

void check_threads(Random& random) {
  for (std::size_t count : {std::size_t{65535}, std::size_t{65536}, std::size_t{100003}}) {
    check_indexes<std::uint8_t>(random, 64, count);
    check_symbols<std::int32_t>(random, count, true);
  }
}

void check_tables(Random& random) {
  ScaleSearch search;
  for (std::size_t count : {std::size_t{2}, std::size_t{64}, std::size_t{300}}) {
    const std::size_t where = 1 + random.below(count - 1);
    std::vector<float> table(count, 1.0f);
    CHECK(prepare(table.data(), count, 0.0f, search).ok());
    for (float bad : {below(1.0f), -kInfinity, std::nanf("")}) {
      table[where] = bad;
      const Result result = prepare(table.data(), count, 0.0f, search);
      CHECK(result.status == Status::kScaleOrder && result.where == where);
    }
    table[where] = 1.0f;
    table[0] = std::nanf("");
    CHECK(prepare(table.data(), count, 0.0f, search).where == 0);
    CHECK(!prepare(table.data(), 1, 0.0f, search).ok());
  }
}

}  // namespace

void test_quantize(Random& random) {
  check_tables(random);
  for (const std::string& name : available_backends()) {
    CHECK(force_backend(name));
    check_sizes(random);
    check_threads(random);
  }
  CHECK(force_backend(""));
}

}  // namespace driver
