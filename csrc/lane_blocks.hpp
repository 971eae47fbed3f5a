/// Narrowing and widening of a block's arrays; each kernel set compiles these loops for its instructions.
/// Internal linkage on purpose: the copies of different sets must not be merged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lane_kernels.hpp"

namespace {
namespace blocks {

bool narrow_indexes(const std::int32_t* from, std::size_t count, std::uint32_t num_tables,
                    std::uint16_t* to) {
  std::uint32_t greatest = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t index = static_cast<std::uint32_t>(from[i]);
    greatest = std::max(greatest, index);
    to[i] = static_cast<std::uint16_t>(index);
  }
  return greatest < num_tables;
}

template <bool kAtOne>
void take_modes_off(const std::int32_t* symbols, std::size_t count, const std::uint16_t* indexes,
                    const std::int32_t* modes, std::int16_t* distances) {
  constexpr std::int32_t kFar = 32767;
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t mode = modes[kAtOne ? 0 : indexes[i]], symbol = symbols[i];
    // Modulo 2^32, and then what wrapped round is put right: the sign of a true difference is that of the
    // comparison.
    const std::int32_t wrapped =
        static_cast<std::int32_t>(static_cast<std::uint32_t>(symbol) - static_cast<std::uint32_t>(mode));
    const std::int32_t high = symbol < mode ? -kFar : kFar;
    const bool wraps = (symbol < mode) != (wrapped < 0);
    distances[i] = static_cast<std::int16_t>(wraps ? high : std::clamp<std::int32_t>(wrapped, -kFar, kFar));
  }
}

void to_distances(const std::int32_t* symbols, std::size_t count, const std::uint16_t* indexes,
                  const std::int32_t* modes, std::int16_t* distances) {
  if (modes && indexes) return take_modes_off<false>(symbols, count, indexes, modes, distances);
  if (modes) return take_modes_off<true>(symbols, count, indexes, modes, distances);
  constexpr std::int32_t kFar = 32767;
  for (std::size_t i = 0; i < count; ++i)
    distances[i] = static_cast<std::int16_t>(std::clamp<std::int32_t>(symbols[i], -kFar, kFar));
}

template <bool kAtOne>
scalecodec::WidenResult add_modes(const std::int16_t* distances, std::size_t count,
                                  const std::uint16_t* indexes, const std::int32_t* modes,
                                  std::int32_t* symbols) {
  std::int16_t least = 0;
  std::int32_t overflow = 0;  // its sign
  for (std::size_t i = 0; i < count; ++i) {
    const std::int32_t mode = modes[kAtOne ? 0 : indexes[i]], distance = distances[i];
    const std::int32_t sum =
        static_cast<std::int32_t>(static_cast<std::uint32_t>(mode) + static_cast<std::uint32_t>(distance));
    least = std::min(least, distances[i]);
    overflow |= (mode ^ sum) & (distance ^ sum);
    symbols[i] = sum;
  }
  return {least == scalecodec::kEscapeDistance, overflow < 0};
}

scalecodec::WidenResult to_symbols(const std::int16_t* distances, std::size_t count,
                                   const std::uint16_t* indexes, const std::int32_t* modes,
                                   std::int32_t* symbols) {
  if (modes && indexes) return add_modes<false>(distances, count, indexes, modes, symbols);
  if (modes) return add_modes<true>(distances, count, indexes, modes, symbols);
  std::int16_t least = 0;
  for (std::size_t i = 0; i < count; ++i) {
    least = std::min(least, distances[i]);
    symbols[i] = distances[i];
  }
  return {least == scalecodec::kEscapeDistance, false};
}

}  // namespace blocks
}  // namespace
