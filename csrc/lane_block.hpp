/// A block of symbols between the caller's arrays and the kernels: loading, naming of tables, storing.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "integers.hpp"
#include "lane_chunk.hpp"

namespace scalecodec {

/// The arrays of one block as kernels take them.
struct LaneBlock {
  std::size_t count = 0;
  std::uint16_t indexes[kLaneBlock];
  std::int16_t distances[kLaneBlock];
};

/// Calls `action(first, count, at)` for the pieces of [begin, begin + count) of a chunk's symbols without its
/// tail: each piece is neighbouring symbols of the caller's arrays, `at` its place in the block. False as
/// soon as `action` is.
template <class Action>
bool for_pieces(const LaneRange& range, const LaneHead& head, std::size_t begin, std::size_t count,
                Action&& action) {
  const std::size_t hole = head.tail_end - head.tail_size;
  const std::size_t before = begin < hole ? std::min(count, hole - begin) : 0;
  if (before && !action(range.first + begin, before, std::size_t{0})) return false;
  return before == count || action(range.first + begin + before + head.tail_size, count - before, before);
}

/// Copy indexes [first, first + count) into the block from `at` on, checked: the caller's may change under
/// us.
inline Result load_indexes(const IntegerSource& indexes, std::size_t first, std::size_t count,
                           std::size_t num_tables, const LaneKernels& kernels, std::uint16_t* to) {
  std::int32_t scratch[kLaneBlock];
  std::size_t fitting;
  const std::int32_t* from = indexes.view(first, count, scratch, fitting);
  if (fitting == count && kernels.narrow_indexes(from, count, static_cast<std::uint32_t>(num_tables), to))
    return {};
  std::size_t bad = 0;
  while (bad < fitting && static_cast<std::uint32_t>(from[bad]) < num_tables) ++bad;
  return {Status::kIndexRange, first + bad};
}

/// The first and one beyond the last symbol that cells of a table hold.
struct LaneValues {
  std::int64_t first;
  std::int64_t end;
};

inline LaneValues values_of(const LaneView& view, std::size_t index) {
  const std::uint64_t row = view.encode_rows[index];
  const std::int64_t first = std::int64_t{view.modes[index]} - static_cast<std::uint16_t>(row);
  return {first, first + static_cast<std::int64_t>(row >> 16 & 0xffff)};
}

inline bool is_int32(std::int64_t value) {
  return value >= std::numeric_limits<std::int32_t>::min() &&
         value <= std::numeric_limits<std::int32_t>::max();
}

}  // namespace scalecodec
