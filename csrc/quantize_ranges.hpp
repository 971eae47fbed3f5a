/// What passes over arrays of latents share: the types that come out, and ranges for threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "integers.hpp"
#include "pool.hpp"

namespace scalecodec {

template <class Action>
void with_symbol_type(IntegerType type, Action&& action) {
  switch (type) {
    case IntegerType::kInt8:
      return action(static_cast<std::int8_t*>(nullptr));
    case IntegerType::kInt16:
      return action(static_cast<std::int16_t*>(nullptr));
    default:
      return action(static_cast<std::int32_t*>(nullptr));
  }
}

template <class Action>
void with_index_type(IntegerType type, Action&& action) {
  switch (type) {
    case IntegerType::kUint8:
      return action(static_cast<std::uint8_t*>(nullptr));
    case IntegerType::kUint16:
      return action(static_cast<std::uint16_t*>(nullptr));
    default:
      return action(static_cast<std::int32_t*>(nullptr));
  }
}

constexpr std::size_t kLeastRange = std::size_t{1}
                                    << 15;  // of a thread: 10 us of work, several wake-ups' worth

/// Call `action(first, last)` for even ranges of `size` elements; their inner bounds are multiples of a cache
/// line's.
template <class Action>
void for_ranges(std::size_t size, std::size_t num_threads, const Action& action) {
  const std::size_t count = std::max<std::size_t>(1, std::min(num_threads, size / kLeastRange));
  const auto bound = [&](std::size_t i) { return i == count ? size : size / count * i / 64 * 64; };
  run_parallel(count, count, [&](std::size_t i) { action(bound(i), bound(i + 1)); });
}

}  // namespace scalecodec
