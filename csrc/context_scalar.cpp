/// Scalar kernels of context networks: they define the results and run everywhere. Where a processor fuses
/// without being asked to (AArch64), the compiler makes vectors of the inner loop.
#include <algorithm>
#include <cmath>

#include "context_kernels.hpp"

namespace scalecodec {

namespace {

void run_vector(const Tile& tile, std::size_t position, std::size_t first) {
  float* out = tile.outputs[position] + tile.first_output + first;
  if (tile.start) std::copy_n(tile.start + first, kDenseLanes, out);
  const float* weights = tile.weights + first;
  const float* inputs = tile.inputs[position];
  for (std::size_t i = 0; i < tile.num_inputs;) {
    float sums[kDenseLanes] = {};
    for (const std::size_t end = std::min(i + kChain, tile.num_inputs); i < end; ++i, weights += tile.stride)
      for (std::size_t lane = 0; lane < kDenseLanes; ++lane)
        sums[lane] = std::fma(weights[lane], inputs[i], sums[lane]);
    for (std::size_t lane = 0; lane < kDenseLanes; ++lane) out[lane] += sums[lane];
  }
  if (!tile.activates) return;
  for (std::size_t lane = 0; lane < kDenseLanes; ++lane)
    out[lane] = out[lane] > 0.0f ? out[lane] : out[lane] * tile.slope;
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

void run_slice(const ContextKernels& kernels, const DenseSlice& slice, std::size_t first, std::size_t last,
               const float* const* inputs, float* const* outputs, std::size_t count) {
  if (count == 0) return;
  const DenseLayer& layer = *slice.layer;
  const auto stride_of = [&](std::size_t panel) {
    return kDenseLanes * std::min(kPanelVectors, layer.num_vectors - panel * kPanelVectors);
  };
  const auto weights_of = [&](std::size_t panel) {
    return layer.weights + kPanel * panel * layer.num_inputs + slice.first_input * stride_of(panel);
  };
  const std::size_t num_tiles = (count + kTilePositions - 1) / kTilePositions;
  for (std::size_t end; first < last; first = end) {
    const std::size_t panel = first / kPanelVectors;
    end = std::min(last, (panel + 1) * kPanelVectors);
    Tile tile{};
    tile.weights = weights_of(panel) + first % kPanelVectors * kDenseLanes;
    tile.stride = stride_of(panel);
    tile.num_inputs = slice.num_inputs;
    tile.start = slice.from_bias ? layer.bias + first * kDenseLanes : nullptr;
    tile.first_output = first * kDenseLanes;
    tile.activates = slice.activates;
    tile.slope = slice.slope;
    // The first tile waits for its weights, the others have them in L2: time to fetch those of the next
    // panel.
    const float* next = end < last ? weights_of(panel + 1) : tile.weights;
    for (std::size_t i = 0; i < num_tiles; ++i) {  // as even as they can be
      const std::size_t from = count * i / num_tiles, to = count * (i + 1) / num_tiles;
      tile.inputs = inputs + from;
      tile.outputs = outputs + from;
      tile.ahead = next + (i == 0 ? 0 : slice.num_inputs * kAhead);
      kernels.tiles[end - first - 1][to - from - 1](tile);
    }
  }
}

}  // namespace scalecodec
