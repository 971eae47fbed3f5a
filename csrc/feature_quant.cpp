/// Activations to symbols and back, in blocks that stay in the L1 cache.
#include "feature_quant.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <tuple>
#include <vector>

#include "quantize_ranges.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kFeatureBlock = 2048;  // elements: 8 KiB of floats

float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

float widen(std::uint16_t bits, FloatType type) {
  if (type == FloatType::kBfloat16) return from_bits(std::uint32_t{bits} << 16);
  // The exponent's bias differs by 112; a product does subnormals too.
  const float size = from_bits((bits & 0x7fffu) << 13) * 0x1p112f;
  return bits & 0x8000u ? -size : size;
}

/// Copy `count` values as float32; false if one of them is not finite.
bool load(const FloatSource& values, std::size_t first, std::size_t count, float* to) {
  std::uint32_t bad = 0;
  if (values.type == FloatType::kFloat32) {
    const auto* from = static_cast<const unsigned char*>(values.data) + first * sizeof(float);
    std::memcpy(to, from, count * sizeof(float));
    for (std::size_t i = 0; i < count; ++i) {
      std::uint32_t bits;
      std::memcpy(&bits, to + i, sizeof bits);
      bad |= (bits & 0x7f800000u) == 0x7f800000u;
    }
    return bad == 0;
  }
  const auto* from = static_cast<const std::uint16_t*>(values.data) + first;
  const std::uint16_t exponent = values.type == FloatType::kFloat16 ? 0x7c00 : 0x7f80;
  for (std::size_t i = 0; i < count; ++i) {
    bad |= (from[i] & exponent) == exponent;
    to[i] = widen(from[i], values.type);
  }
  return bad == 0;
}

bool finite(const FloatSource& values, std::size_t i) {
  float unused;
  return load(values, i, 1, &unused);
}

constexpr std::size_t kFewLevels = 16;

/// A pass over each block for each level, comparing whole vectors: faster than counts that wait for each
/// other.
void count_few(const std::uint8_t* symbols, std::size_t size, std::size_t num_levels, std::int64_t* counts) {
  constexpr std::size_t kRun = 32 * 255;  // what 32 counts of a byte hold
  for (std::size_t first = 0; first < size; first += kRun) {
    const std::size_t count = std::min(size - first, kRun);
    for (std::size_t level = 0; level < num_levels; ++level) {
      std::uint8_t bytes[32]{};
      std::size_t i = 0;
      for (; i + 32 <= count; i += 32)
        for (std::size_t k = 0; k < 32; ++k)
          bytes[k] = static_cast<std::uint8_t>(bytes[k] + (symbols[first + i + k] == level));
      std::int64_t total = 0;
      for (const std::uint8_t byte : bytes) total += byte;
      for (; i < count; ++i) total += symbols[first + i] == level;
      counts[level] += total;
    }
  }
}

template <class Element>
std::size_t look_up(const std::uint8_t* symbols, std::size_t first, std::size_t last, const Element* levels,
                    std::size_t num_levels, Element* values) {
  Element all[256]{};  // so that no symbol reads beyond
  std::copy_n(levels, num_levels, all);
  for (std::size_t block = first; block < last; block += kFeatureBlock) {
    const std::size_t end = std::min(last, block + kFeatureBlock);
    std::uint8_t largest = 0;
    for (std::size_t i = block; i < end; ++i) largest = std::max(largest, symbols[i]);
    if (largest >= num_levels)
      return static_cast<std::size_t>(
          std::find_if(symbols + block, symbols + end, [&](std::uint8_t s) { return s >= num_levels; }) -
          symbols);
    for (std::size_t i = block; i < end; ++i) values[i] = all[symbols[i]];
  }
  return last;
}

}  // namespace

Result quantize_features(const FloatSource& values, const ScaleSearch& search, const IndexKernels& kernels,
                         std::uint8_t* symbols, std::size_t num_threads) {
  const auto kernel = std::get<IndexKernel<std::uint8_t>>(kernels);
  std::atomic<std::size_t> bad{values.size};
  for_ranges(values.size, num_threads, [&](std::size_t first, std::size_t last) {
    alignas(64) float block[kFeatureBlock];
    for (; first < last; first += kFeatureBlock) {
      const std::size_t count = std::min(last - first, kFeatureBlock);
      if (!load(values, first, count, block)) {
        while (finite(values, first)) ++first;
        return lower(bad, first);
      }
      kernel(search, block, 1.0f, count, symbols + first);
    }
  });
  if (bad < values.size) return {Status::kNotFinite, bad};
  return {};
}

Result reconstruct_features(const std::uint8_t* symbols, std::size_t size, const void* levels,
                            std::size_t num_levels, std::size_t element_bytes, void* values,
                            std::size_t num_threads) {
  std::atomic<std::size_t> bad{size};
  for_ranges(size, num_threads, [&](std::size_t first, std::size_t last) {
    const auto in = [&](auto* tag) {
      using Element = std::remove_pointer_t<decltype(tag)>;
      return look_up(symbols, first, last, static_cast<const Element*>(levels), num_levels,
                     static_cast<Element*>(values));
    };
    const std::size_t stop = element_bytes == 4 ? in(static_cast<std::uint32_t*>(nullptr))
                                                : in(static_cast<std::uint16_t*>(nullptr));
    if (stop < last) lower(bad, stop);
  });
  if (bad < size) return {Status::kStreamSymbol, bad};
  return {};
}

void count_symbols(const std::uint8_t* symbols, const std::uint8_t* indexes, std::size_t size,
                   std::size_t num_tables, std::size_t num_levels, std::int64_t* counts) {
  if (!indexes && num_levels <= kFewLevels) return count_few(symbols, size, num_levels, counts);
  // Four counts side by side: one that was just written is not waited for.
  const std::size_t cells = num_tables * num_levels;
  std::vector<std::uint32_t> sides(4 * cells);
  std::uint32_t* side[] = {&sides[0], &sides[cells], &sides[2 * cells], &sides[3 * cells]};
  constexpr std::size_t kMost = std::size_t{1} << 31;  // of a 32-bit count
  for (std::size_t first = 0; first < size; first += kMost) {
    const std::size_t last = std::min(size, first + kMost);
    for (std::size_t i = first; i < last; ++i) {
      // The arrays are another thread's too, and may have changed since they were checked.
      const std::size_t cell = (indexes ? indexes[i] * num_levels : 0) + symbols[i];
      ++side[i & 3][cell < cells ? cell : 0];
    }
    for (std::size_t k = 0; k < 4; ++k)
      for (std::size_t i = 0; i < cells; ++i) counts[i] += side[k][i];
    std::fill(sides.begin(), sides.end(), 0);
  }
}

}  // namespace scalecodec
