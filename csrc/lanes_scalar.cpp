/// Scalar kernels of the lane stream: they define the format and run everywhere.
#include "lane_blocks.hpp"
#include "lane_turns.hpp"

namespace scalecodec {

namespace {

void decode(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes) {
  for (int i = 0; i < count; ++i) decode_one_by_one(view, runs[i], num_lanes);
}

void encode(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes) {
  for (int i = 0; i < count; ++i) encode_one_by_one(view, runs[i], num_lanes);
}

}  // namespace

const LaneKernels kScalarLanes{decode, encode, blocks::narrow_indexes, blocks::to_distances,
                               blocks::to_symbols};

}  // namespace scalecodec
