/// What our encoder chooses: how many chunks and lanes, and where a tail stands (FORMAT.md, section 5.5).
#pragma once

#include <cstddef>

#include "integers.hpp"
#include "lane_chunk.hpp"
#include "lane_table.hpp"
#include "status.hpp"

namespace scalecodec {

struct LanePlan {
  std::size_t num_chunks = 1;
  std::size_t bytes_per_chunk = 0;  // expected
};

/// The most chunks that a stream may have.
inline std::size_t most_chunks(std::size_t num_symbols) {
  return num_symbols / 128 + 16;
}

/// Symbols of chunk `i` out of `num_chunks` of `num_symbols`.
LaneRange chunk_range(std::size_t i, std::size_t num_chunks, std::size_t num_symbols);

/// From samples of the indexes; kIndexRange where one of them names no table.
Result plan_lanes(const IntegerSource& indexes, const LaneTable& table, LanePlan& plan);

/// Lanes and place of one chunk.
Result plan_chunk(const IntegerSource& indexes, const LaneRange& range, const LaneTable& table,
                  const LanePlan& plan, LaneHead& head);

}  // namespace scalecodec
