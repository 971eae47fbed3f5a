/// Scalar kernels of context networks: they define the results and run everywhere. Where a processor fuses
/// without being asked to (AArch64), the compiler makes vectors of the inner loop.
#include <algorithm>
#include <cmath>

#include "context_kernels.hpp"

namespace scalecodec {

namespace {

void run_vector(const Tile& tile, std::size_t position, std::size_t first) {
  const float* weights = tile.weights + first;
  const Segment* segment = tile.program->segments.data();
  for (const TileOp& op : tile.program->ops) {
    float sums[kDenseLanes] = {};
    if (const float* source = tile.source(op, position)) std::copy_n(source + first, kDenseLanes, sums);
    for (const Segment* end = segment + op.num_segments; segment != end; ++segment) {
      const float* inputs = tile.inputs[position] + segment->offset;
      for (std::size_t i = 0; i < segment->count; ++i, weights += tile.stride)
        for (std::size_t lane = 0; lane < kDenseLanes; ++lane)
          sums[lane] = op.fused ? std::fma(weights[lane], inputs[i], sums[lane])
                                : sums[lane] + weights[lane] * inputs[i];
    }
    float* target = tile.slot(op.target, position) + first;
    for (std::size_t lane = 0; lane < kDenseLanes; ++lane)
      target[lane] = op.adds ? target[lane] + sums[lane] : sums[lane];
  }
}

template <std::size_t kVectors, std::size_t kPositions>
void run(const Tile& tile) {
  for (std::size_t vector = 0; vector < kVectors; ++vector)
    for (std::size_t position = 0; position < kPositions; ++position)
      run_vector(tile, position, vector * kDenseLanes);
}

}  // namespace

#define SCALECODEC_ROW(v) {run<v, 1>, run<v, 2>, run<v, 3>, run<v, 4>, run<v, 5>, run<v, 6>}
const ContextKernels kScalarContext{
    {SCALECODEC_ROW(1), SCALECODEC_ROW(2), SCALECODEC_ROW(3), SCALECODEC_ROW(4)}};

}  // namespace scalecodec
