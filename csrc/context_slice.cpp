/// A part of a layer over panels of outputs and tiles of positions, by any kernel set.
#include <algorithm>
#include <cstdint>
#include <cstring>

#include "context_kernels.hpp"

namespace scalecodec {

namespace {

/// x > 0 ? x : x * slope, chosen by bits: a branch would be taken at random, and keep this from becoming
/// vectors.
void activate(const float* __restrict from, std::size_t count, float slope, float* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) {
    const float x = from[i], product = x * slope;
    std::uint32_t mine, other;
    std::memcpy(&mine, &x, sizeof mine);
    std::memcpy(&other, &product, sizeof other);
    const std::uint32_t mask = 0u - static_cast<std::uint32_t>(x > 0.0f),
                        bits = (mine & mask) | (other & ~mask);
    std::memcpy(&to[i], &bits, sizeof bits);
  }
}

void finish_tile(const Tile& tile, const Finish& finish, std::size_t from, std::size_t num_positions,
                 std::size_t num_outputs) {
  for (std::size_t p = 0; p < num_positions; ++p) {
    const float* sums = tile.slot(finish.result, p);
    float* outputs = finish.outputs[from + p] + tile.first_output;
    if (finish.shift)
      for (std::size_t i = 0; i < num_outputs; ++i)
        outputs[i] = sums[i] + finish.shift[tile.first_output + i];
    else if (finish.activates)
      activate(sums, num_outputs, finish.slope, outputs);
    else
      std::copy_n(sums, num_outputs, outputs);
  }
}

}  // namespace

void run_slice(const ContextKernels& kernels, const DenseSlice& slice, const Finish* finish,
               std::size_t first, std::size_t last, std::size_t count) {
  if (count == 0) return;
  const PackedWeights& packed = *slice.packed;
  const auto stride_of = [&](std::size_t panel) {
    return kDenseLanes * std::min(kPanelVectors, packed.num_vectors - panel * kPanelVectors);
  };
  const auto weights_of = [&](std::size_t panel) {
    return packed.weights + kPanel * panel * packed.num_inputs;
  };
  const std::size_t num_tiles = (count + kTilePositions - 1) / kTilePositions;
  for (std::size_t end; first < last; first = end) {
    const std::size_t panel = first / kPanelVectors;
    end = std::min(last, (panel + 1) * kPanelVectors);
    Tile tile{};
    tile.weights = weights_of(panel) + first % kPanelVectors * kDenseLanes;
    tile.stride = stride_of(panel);
    tile.bias = packed.bias + first * kDenseLanes;
    tile.program = slice.program;
    tile.kept_stride = packed.num_vectors * kDenseLanes;
    tile.num_kept = slice.num_kept;
    tile.first_output = first * kDenseLanes;
    tile.scratch = slice.scratch;
    // The first tile waits for its weights, the others have them in L2: time to fetch those of the next
    // panel.
    const float* next = end < last ? weights_of(panel + 1) : tile.weights;
    for (std::size_t i = 0; i < num_tiles; ++i) {  // as even as they can be
      const std::size_t from = count * i / num_tiles, to = count * (i + 1) / num_tiles;
      tile.inputs = slice.inputs + from;
      tile.kept = slice.kept + from;
      tile.ahead = next + (i == 0 ? 0 : packed.num_inputs * kAhead);
      kernels.tiles[end - first - 1][to - from - 1](tile);
      if (finish) finish_tile(tile, *finish, from, to - from, (end - first) * kDenseLanes);
    }
  }
}

}  // namespace scalecodec
