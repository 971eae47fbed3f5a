/// The contract of a kernel set for context networks: chains of fused multiply-adds, tile by tile.
///
/// Every output adds up chains of kChain inputs in their order: `sum = fma(weight, input, sum)` from 0 on,
/// each rounded once, then `total = total + sum`. Lanes, positions and threads only ever split different
/// outputs, so all sets agree bit for bit.
#pragma once

#include <cstddef>

namespace scalecodec {

constexpr std::size_t kDenseLanes = 16;  // outputs are padded to multiples of it: one AVX-512 register
constexpr std::size_t kPanelVectors = 4;
constexpr std::size_t kPanel = kDenseLanes * kPanelVectors;
constexpr std::size_t kTilePositions = 6;   // 24 sums in registers, with 4 weights and an input beside them
constexpr std::size_t kAhead = kPanel / 2;  // floats to fetch an input: two tiles fetch a panel

/// Inputs of one chain. In chains of 64 the sums of mbt2018 are off by a third of what one chain over all
/// inputs makes of them, and by as little as those of other programs: so fewer symbols and indexes differ
/// from CompressAI's.
constexpr std::size_t kChain = 64;

/// A dense layer, packed. Its outputs stand in panels of 64, the last one narrower, and in a panel all
/// weights of one input side by side: panel p begins at `64 * p * num_inputs`.
struct DenseLayer {
  const float* weights;
  const float* bias;
  std::size_t num_inputs;
  std::size_t num_vectors;  // of kDenseLanes outputs each, the padding's among them
};

/// Up to four vectors of outputs at up to six positions.
struct Tile {
  const float* weights;  // of the first input
  std::size_t stride;    // floats from one input's to the next one's
  std::size_t num_inputs;
  const float* start;          // the totals so far; null: the outputs are
  const float* const* inputs;  // one array for every position
  float* const* outputs;
  std::size_t first_output;
  bool activates;  // x > 0 ? x : x * slope, at the end
  float slope;
  const float* ahead;  // weights that will be read next: to be fetched meanwhile, kAhead an input
};

using TileKernel = void (*)(const Tile& tile);

/// By vectors of outputs and positions, each less one.
struct ContextKernels {
  TileKernel tiles[kPanelVectors][kTilePositions];
};

/// Some inputs of a layer, for some of its outputs.
struct DenseSlice {
  const DenseLayer* layer;
  std::size_t first_input, num_inputs;
  bool from_bias;  // else the totals go on from the outputs
  bool activates;
  float slope;
};

/// Run vectors [first, last) of the slice for `count` positions.
void run_slice(const ContextKernels& kernels, const DenseSlice& slice, std::size_t first, std::size_t last,
               const float* const* inputs, float* const* outputs, std::size_t count);

extern const ContextKernels kScalarContext;
#if defined(__x86_64__) && defined(__GNUC__)
extern const ContextKernels kAvx2Context;
extern const ContextKernels kAvx512Context;
#endif

}  // namespace scalecodec
