/// The core's driver: activations to symbols and back, passes over planes, against what the page says.
#include <cmath>
#include <cstring>

#include "driver.hpp"
#include "feature_estimate.hpp"
#include "feature_map.hpp"
#include "feature_quant.hpp"
#include "quantize.hpp"

namespace driver {

namespace {

constexpr std::ptrdiff_t kNone = -1;
constexpr int kEdges[] = {0, 1, 2, 3, 4, 6, 8, 12, 20};

/// Place `at + by` of a grid of `count`, or that on the other side of `at`, or none.
std::ptrdiff_t mirrored(std::ptrdiff_t at, std::ptrdiff_t by, std::ptrdiff_t count) {
  if (at + by >= 0 && at + by < count) return at + by;
  return at - by >= 0 && at - by < count ? at - by : kNone;
}

/// One plane of a pass, a place at a time: calls `action(place in the plane, context)`.
template <class Action>
void walk(const std::uint8_t* plane, std::size_t height, std::size_t width, int pass, const Action& action) {
  const std::ptrdiff_t d = pass == 0 ? 4 : pass < 3 ? 2 : 1;
  const auto side = [&](std::size_t n) { return (static_cast<std::ptrdiff_t>(n) + d - 1) / d; };
  const std::ptrdiff_t rows = side(height), columns = side(width);
  const bool diagonal = pass % 2 == 1;
  for (std::ptrdiff_t i = 0; i < rows; ++i)
    for (std::ptrdiff_t j = 0; j < columns; ++j) {
      if (pass > 0 && (diagonal ? i % 2 == 0 || j % 2 == 0 : i % 2 == j % 2)) continue;
      const auto at = [&](std::ptrdiff_t y, std::ptrdiff_t x) {
        return (y * static_cast<std::ptrdiff_t>(width) + x) * d;
      };
      int sum = 0;
      for (const int sign : {-1, 1})
        for (const int other : {-1, 1}) {
          // Diagonal: (sign, other). Sides: (sign, 0) and (0, sign), chosen by `other`.
          const std::ptrdiff_t by_y = diagonal ? sign : other < 0 ? sign : 0;
          const std::ptrdiff_t by_x = diagonal ? other : other < 0 ? 0 : sign;
          const std::ptrdiff_t y = by_y ? mirrored(i, by_y, rows) : i,
                               x = by_x ? mirrored(j, by_x, columns) : j;
          if (pass > 0 && y != kNone && x != kNone) sum += std::min<int>(plane[at(y, x)], 15);
        }
      int context = 0;
      if (pass > 0) {
        context = diagonal ? 1 : 11;
        for (const int edge : kEdges) context += sum > edge;
      }
      action(at(i, j), context);
    }
}

/// The eight neighbours of every place, and a table by their sum.
void test_estimates(Random& random, const FeatureMap& map, Exact<std::uint8_t>& symbols,
                    std::size_t num_levels) {
  constexpr int kAround[] = {0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50};
  const auto rows = static_cast<std::ptrdiff_t>(map.height), columns = static_cast<std::ptrdiff_t>(map.width);
  Exact<std::uint8_t> indexes(symbols.size);
  Exact<std::uint16_t> table(12 * kEstimateBins * num_levels), values(symbols.size);
  for (std::size_t i = 0; i < table.size; ++i) table.data[i] = static_cast<std::uint16_t>(random.bits());
  const std::size_t threads = 1 + random.below(3);
  read_surroundings(map, symbols.data.get(), indexes.data.get(), threads);
  CHECK(
      estimate_features(map, symbols.data.get(), table.data.get(), num_levels, 2, values.data.get(), threads)
          .ok());
  for (std::size_t n = 0; n < symbols.size; ++n) {
    const std::size_t p = n / (map.height * map.width), place = n % (map.height * map.width);
    const auto i = static_cast<std::ptrdiff_t>(place / map.width),
               j = static_cast<std::ptrdiff_t>(place % map.width);
    int sum = 0;
    for (std::ptrdiff_t by_y = -1; by_y <= 1; ++by_y)
      for (std::ptrdiff_t by_x = -1; by_x <= 1; ++by_x) {
        const std::ptrdiff_t y = by_y ? mirrored(i, by_y, rows) : i,
                             x = by_x ? mirrored(j, by_x, columns) : j;
        if ((by_y == 0 && by_x == 0) || y == kNone || x == kNone) continue;
        sum += std::min<int>(symbols.data[(p * map.height + static_cast<std::size_t>(y)) * map.width +
                                          static_cast<std::size_t>(x)],
                             15);
      }
    std::size_t index = map.classes[p] * kEstimateBins;
    for (const int edge : kAround) index += sum > edge;
    CHECK(indexes.data[n] == index);
    CHECK(values.data[n] == table.data[index * num_levels + symbols.data[n]]);
  }
  if (symbols.size == 0) return;
  const std::size_t bad = random.below(symbols.size);
  symbols.data[bad] = static_cast<std::uint8_t>(num_levels);
  const Result result =
      estimate_features(map, symbols.data.get(), table.data.get(), num_levels, 2, values.data.get(), threads);
  CHECK(result.status == Status::kStreamSymbol && result.where == bad);
}

void test_plane(Random& random, std::size_t planes, std::size_t height, std::size_t width) {
  const std::size_t area = height * width;
  Exact<std::uint8_t> symbols(planes * area), classes(planes), again(planes * area);
  const std::uint64_t most = 1 + random.below(30);
  for (std::size_t i = 0; i < symbols.size; ++i)
    symbols.data[i] = static_cast<std::uint8_t>(random.below(most));
  for (std::size_t p = 0; p < planes; ++p) classes.data[p] = static_cast<std::uint8_t>(random.below(12));
  const FeatureMap map{planes, height, width, classes.data.get()};
  std::vector<int> times(planes * area);
  for (int pass = 0; pass < kMapPasses; ++pass) {
    const std::size_t size = pass_size(height, width, pass), threads = 1 + random.below(3);
    Exact<std::uint8_t> indexes(planes * size), taken(planes * size), known(planes * size);
    read_pass(map, symbols.data.get(), pass, indexes.data.get(), taken.data.get(), threads);
    // A decoder has nothing yet of this pass and of those behind it.
    read_pass(map, again.data.get(), pass, known.data.get(), nullptr, threads);
    CHECK(std::equal(known.data.get(), known.data.get() + known.size, indexes.data.get()));
    for (std::size_t p = 0, n = 0; p < planes; ++p) {
      const std::size_t before = n;
      walk(symbols.data.get() + p * area, height, width, pass, [&](std::ptrdiff_t place, int context) {
        const auto at = p * area + static_cast<std::size_t>(place);
        ++times[at];
        CHECK(taken.data[n] == symbols.data[at]);
        CHECK(indexes.data[n] == classes.data[p] * kMapContexts + static_cast<std::size_t>(context));
        ++n;
      });
      CHECK(n - before == size);
    }
    write_pass(map, taken.data.get(), pass, again.data.get(), threads);
  }
  CHECK(std::equal(again.data.get(), again.data.get() + again.size, symbols.data.get()));
  for (const int count : times) CHECK(count == 1);
  test_estimates(random, map, symbols, static_cast<std::size_t>(most));
}

void test_values(Random& random, const IndexKernels& kernels) {
  const std::size_t size = random.below(9000), num_levels = 1 + random.below(random.below(4) ? 16 : 256);
  std::vector<float> thresholds(num_levels);
  for (std::size_t i = 0; i < num_levels; ++i) thresholds[i] = 0.25f * static_cast<float>(i) - 1.0f;
  thresholds.back() = INFINITY;
  Exact<float> values(size);
  Exact<std::uint8_t> symbols(size);
  for (std::size_t i = 0; i < size; ++i)
    values.data[i] = static_cast<float>(random.below(4000)) / 64.0f - 2.0f;
  const Exact<float> table(thresholds.data(), num_levels);
  ScaleSearch search;
  CHECK(prepare(table.data.get(), num_levels, -INFINITY, search).ok());
  const FloatSource source{values.data.get(), FloatType::kFloat32, size};
  const std::size_t threads = 1 + random.below(3);
  CHECK(quantize_features(source, search, kernels, symbols.data.get(), threads).ok());
  for (std::size_t i = 0; i < size; ++i) {
    std::size_t below = 0;
    while (below + 1 < num_levels && thresholds[below] < values.data[i]) ++below;
    CHECK(symbols.data[i] == below);
  }
  // bfloat16 by its upper half, where that loses nothing.
  Exact<std::uint16_t> halves(size);
  Exact<std::uint8_t> same(size);
  for (std::size_t i = 0; i < size; ++i) {
    values.data[i] = std::floor(values.data[i]);
    std::uint32_t bits;
    std::memcpy(&bits, &values.data[i], sizeof bits);
    halves.data[i] = static_cast<std::uint16_t>(bits >> 16);
  }
  CHECK(quantize_features(source, search, kernels, symbols.data.get(), threads).ok());
  CHECK(quantize_features({halves.data.get(), FloatType::kBfloat16, size}, search, kernels, same.data.get(),
                          threads)
            .ok());
  CHECK(std::equal(same.data.get(), same.data.get() + size, symbols.data.get()));
  Exact<float> levels(num_levels), out(size);
  for (std::size_t i = 0; i < num_levels; ++i) levels.data[i] = static_cast<float>(i);
  CHECK(reconstruct_features(symbols.data.get(), size, levels.data.get(), num_levels, 4, out.data.get(),
                             threads)
            .ok());
  for (std::size_t i = 0; i < size; ++i) CHECK(out.data[i] == static_cast<float>(symbols.data[i]));
  Exact<std::int64_t> counts(num_levels);
  count_symbols(symbols.data.get(), nullptr, size, 1, num_levels, counts.data.get());
  for (std::size_t n = 0; n < num_levels; ++n)
    CHECK(counts.data[n] ==
          std::count(symbols.data.get(), symbols.data.get() + size, static_cast<std::uint8_t>(n)));
  if (size == 0) return;
  const std::size_t bad = random.below(size);
  values.data[bad] = random.below(2) ? NAN : -INFINITY;
  const Result result = quantize_features(source, search, kernels, symbols.data.get(), threads);
  CHECK(result.status == Status::kNotFinite && result.where == bad);
  std::fill(symbols.data.get(), symbols.data.get() + size, std::uint8_t{0});
  if (num_levels == 256) return;
  symbols.data[bad] = static_cast<std::uint8_t>(num_levels);
  const Result beyond = reconstruct_features(symbols.data.get(), size, levels.data.get(), num_levels, 4,
                                             out.data.get(), threads);
  CHECK(beyond.status == Status::kStreamSymbol && beyond.where == bad);
}

}  // namespace

void test_feature(Random& random) {
  for (std::size_t height = 0; height < 12; ++height)
    for (std::size_t width = 0; width < 12; ++width) test_plane(random, random.below(4), height, width);
  for (int turn = 0; turn < 20; ++turn)
    test_plane(random, 1 + random.below(5), 1 + random.below(70), 1 + random.below(70));
  for (int turn = 0; turn < 100; ++turn) {
    test_values(random, kScalarIndexes);
#if defined(__x86_64__) && defined(__GNUC__)
    if (__builtin_cpu_supports("avx2")) test_values(random, kAvx2Indexes);
    if (__builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
      test_values(random, kAvx512Indexes);
#endif
  }
}

}  // namespace driver
