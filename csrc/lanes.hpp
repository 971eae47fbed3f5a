/// The lane stream: planning, chunks, threads (FORMAT.md, sections 5.4 and 5.5).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "integers.hpp"
#include "lane_kernels.hpp"
#include "status.hpp"

namespace scalecodec {

struct LaneEncodeTask {
  IntegerSource symbols;
  IntegerSource indexes;
  std::vector<std::uint8_t> out;
  Result result;
};

struct LaneDecodeTask {
  const std::uint8_t* bytes;
  std::size_t num_bytes;
  IntegerSource indexes;
  IntegerSink out;
  Result result;
};

/// Encode each task into a stream of its own; the bytes do not depend on `num_threads` nor on the kernels.
/// Requires: symbols and indexes of one size; at most kMaxLaneTables tables.
void lanes_encode(LaneEncodeTask* tasks, std::size_t count, const LaneTable& table,
                  const LaneKernels& kernels, std::size_t num_threads);

/// Decode each task. On failure of a task its output's content is unspecified.
void lanes_decode(LaneDecodeTask* tasks, std::size_t count, const LaneTable& table,
                  const LaneKernels& kernels, std::size_t num_threads);

}  // namespace scalecodec
