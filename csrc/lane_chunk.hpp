/// One chunk of the lane stream: what to code, and its encoder and decoder (FORMAT.md, section 5.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "integers.hpp"
#include "lane_head.hpp"
#include "lane_kernels.hpp"
#include "lane_select.hpp"
#include "status.hpp"

namespace scalecodec {

/// Symbols [first, first + size) of larger arrays.
struct LaneRange {
  std::size_t first;
  std::size_t size;
};

/// Encode one chunk into `out`, with lanes and a place for the tail as the head says (its other fields are
/// set here).
struct LaneEncodeJob {
  IntegerSource symbols;
  IntegerSource indexes;
  LaneRange range;
  LaneHead head;
  std::vector<std::uint8_t> out;
  Result result;
};

/// Decode one chunk. `bytes` must stay; nothing beyond `num_bytes` is read.
struct LaneDecodeJob {
  const std::uint8_t* bytes;
  std::size_t num_bytes;
  IntegerSource indexes;
  IntegerSink out;
  LaneRange range;
  Result result;
};

/// Code up to kMaxRuns chunks, in turns where they have 32 lanes, which hides the latency of each.
void encode_chunks(LaneEncodeJob* jobs, int count, const LaneTable& table, const LaneKernels& kernels);
void decode_chunks(LaneDecodeJob* jobs, int count, const LaneTable& table, const LaneKernels& kernels);

}  // namespace scalecodec
