/// What the parts of the core's driver share: counted checks, a seeded generator, random tables and arrays.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <memory>
#include <vector>

#include "cdf.hpp"
#include "integers.hpp"
#include "rans64.hpp"

namespace driver {

using namespace scalecodec;

inline std::uint64_t num_checks = 0, num_failures = 0;

inline bool check(bool good, const char* condition, const char* file, int line) {
  ++num_checks;
  if (!good && ++num_failures <= 20) std::printf("%s:%d: CHECK(%s) failed\n", file, line, condition);
  return good;
}

#define CHECK(condition) ::driver::check(static_cast<bool>(condition), #condition, __FILE__, __LINE__)

/// splitmix64 (Steele et al. 2014): the same numbers with every standard library.
struct Random {
  std::uint64_t state;

  std::uint64_t bits() {
    std::uint64_t z = state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
  }
  std::uint64_t below(std::uint64_t limit) { return bits() % limit; }
  /// Spread over magnitudes: every number of bits up to `max_bits` is as likely as the others.
  std::uint64_t spread(int max_bits) {
    return bits() >> (64 - 1 - below(static_cast<std::uint64_t>(max_bits)));
  }
};

/// A heap block of exactly this size, so that a sanitizer sees the first element read or written outside.
template <class T>
struct Exact {
  std::unique_ptr<T[]> data;
  std::size_t size;

  explicit Exact(std::size_t count) : data(new T[count]()), size(count) {}
  Exact(const T* from, std::size_t count) : Exact(count) { std::copy(from, from + count, data.get()); }
};

template <class T>
constexpr IntegerType type_of() {
  if constexpr (std::is_same_v<T, std::int8_t>) return IntegerType::kInt8;
  if constexpr (std::is_same_v<T, std::int16_t>) return IntegerType::kInt16;
  if constexpr (std::is_same_v<T, std::int32_t>) return IntegerType::kInt32;
  if constexpr (std::is_same_v<T, std::int64_t>) return IntegerType::kInt64;
  if constexpr (std::is_same_v<T, std::uint8_t>) return IntegerType::kUint8;
  if constexpr (std::is_same_v<T, std::uint16_t>) return IntegerType::kUint16;
  if constexpr (std::is_same_v<T, std::uint32_t>) return IntegerType::kUint32;
  return IntegerType::kUint64;
}

/// Calls `action` with a zero of each of the eight element types.
template <class Action>
void for_each_type(Action&& action) {
  action(std::int8_t{}), action(std::int16_t{}), action(std::int32_t{}), action(std::int64_t{});
  action(std::uint8_t{}), action(std::uint16_t{}), action(std::uint32_t{}), action(std::uint64_t{});
}

/// Values as an exact block of elements T, to hand to the coder. Requires: every value fits T.
template <class T>
struct Typed {
  Exact<T> block;

  explicit Typed(const std::vector<std::int32_t>& values) : block(values.size()) {
    for (std::size_t i = 0; i < values.size(); ++i) block.data[i] = static_cast<T>(values[i]);
  }
  IntegerSource source() const { return {block.data.get(), type_of<T>(), block.size}; }
};

/// Three buffers as CompressAI has them, and the tables made from them.
struct Tables {
  std::size_t num_tables, width;
  std::vector<std::int32_t> cdf, cdf_length, offset;
  CdfTable prepared;

  Tables(std::size_t tables, std::size_t entries)
      : num_tables(tables), width(entries), cdf(tables * entries), cdf_length(tables), offset(tables) {}

  std::int32_t* row(std::size_t index) { return cdf.data() + index * width; }
  const std::int32_t* row(std::size_t index) const { return cdf.data() + index * width; }
  std::uint32_t freq(std::size_t index, std::size_t value) const {
    return static_cast<std::uint32_t>(row(index)[value + 1] - row(index)[value]);
  }
  std::size_t num_symbols(std::size_t index) const { return static_cast<std::size_t>(cdf_length[index]) - 1; }
  Result build() {
    // Exact copies: the tables must not read past a buffer, nor need it after the call.
    const Exact<std::int32_t> a(cdf.data(), cdf.size()), b(cdf_length.data(), num_tables),
        c(offset.data(), num_tables);
    return prepared.build(a.data.get(), num_tables, width, b.data.get(), c.data.get());
  }
};

/// Fill a row with `symbols` frequencies that sum to 65536: flat, steep, or all ones but for one.
inline void random_row(Random& random, std::size_t symbols, std::int32_t* row) {
  const std::size_t spare = 65536 - symbols, kind = random.below(4);
  std::vector<std::uint64_t> weights(symbols);
  std::uint64_t sum = 1;
  for (std::uint64_t& weight : weights) {
    weight = kind == 0 ? 0 : kind == 1 ? 1 : kind == 2 ? random.below(1000) : random.spread(30);
    sum += weight;
  }
  std::size_t left = 65536;
  for (std::uint64_t& weight : weights) {
    weight = 1 + weight * spare / sum;
    left -= weight;
  }
  weights[random.below(symbols)] += left;
  row[0] = 0;
  for (std::size_t i = 0; i < symbols; ++i) row[i + 1] = row[i] + static_cast<std::int32_t>(weights[i]);
}

/// Tables of 1 to `max_symbols` symbols each, padded with noise, built.
Tables random_tables(Random& random, std::size_t num_tables, std::size_t max_symbols);

struct Values {
  std::vector<std::int32_t> symbols, indexes;
};

/// `count` symbols, most of them drawn by their probability, a fraction of 1 / `rarity` escaped up to int32's
/// edges.
Values random_values(Random& random, const Tables& tables, std::size_t count, std::uint64_t rarity);

using Bytes = Exact<std::uint8_t>;

/// Encode in one call, which must go well.
Bytes encode(const IntegerSource& symbols, const IntegerSource& indexes, const CdfTable& table);
Bytes encode(const Values& values, const Tables& tables);

/// Decode in one call, with the end check; the first status that is not ok.
Result decode(const Bytes& stream, const std::vector<std::int32_t>& indexes, const Tables& tables,
              std::vector<std::int32_t>& symbols);

/// The allocation of this number from now on fails; 0: none does.
extern std::atomic<int> allocations_until_failure;

void test_tables(Random& random);
void test_streams(Random& random);
void test_damage(Random& random);
void test_quantize(Random& random);
void test_offset(Random& random);
void test_integer(Random& random);
void test_feature(Random& random);
void test_context(Random& random);
void test_lanes(Random& random);
void test_lane_damage(Random& random);

}  // namespace driver
