/// The contract of a kernel set for context networks: the ops of a sum, tile by tile.
///
/// Every operation is rounded once to float32, and no op is split or reordered (context_sums.hpp). Lanes,
/// positions and threads only ever part different outputs, so all sets agree bit for bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "context_sums.hpp"

namespace scalecodec {

constexpr std::size_t kDenseLanes = 16;  // outputs are padded to multiples of it: one AVX-512 register
constexpr std::size_t kPanelVectors = 4;
constexpr std::size_t kPanel = kDenseLanes * kPanelVectors;
constexpr std::size_t kTilePositions = 6;   // 24 sums in registers, with 4 weights and an input beside them
constexpr std::size_t kAhead = kPanel / 2;  // floats to fetch an input: two tiles fetch a panel

/// The weights of one part of a layer, packed. Outputs stand in panels of 64, the last one narrower, and in a
/// panel all weights of one input side by side, inputs in the order of the part: panel p begins at
/// `64 * p * num_inputs`.
struct PackedWeights {
  const float* weights;
  const float* bias;
  std::size_t num_inputs;
  std::size_t num_vectors;  // of kDenseLanes outputs each, the padding's among them
};

/// Inputs that lie side by side.
struct Segment {
  std::size_t offset, count;  // from the position's own address; at least one
};

struct TileOp {
  std::uint32_t source, target;  // as of SumOp
  std::uint32_t num_segments;
  bool fused, adds;
};

/// A part's ops, over inputs as they lie in memory.
struct Program {
  std::vector<TileOp> ops;
  std::vector<Segment> segments;  // op by op
};

/// Up to four vectors of outputs at up to six positions.
struct Tile {
  const float* weights;  // of the first input
  std::size_t stride;    // floats from one input's to the next one's
  const float* bias;
  const Program* program;
  const float* const* inputs;  // one address for every position
  float* const* kept;          // likewise: slots that outlast the tile, `kept_stride` floats apart
  std::size_t kept_stride, num_kept;
  std::size_t first_output;  // the tile's, in a kept slot
  float* scratch;            // the other slots
  const float* ahead;        // weights that will be read next: to be fetched meanwhile, kAhead an input

  float* slot(std::uint32_t number, std::size_t position) const {
    if (number < num_kept) return kept[position] + number * kept_stride + first_output;
    return scratch + ((number - num_kept) * kTilePositions + position) * kPanel;
  }
  /// Where an op's sums begin; null: at zero.
  const float* source(const TileOp& op, std::size_t position) const {
    if (op.source == SumOp::kZero) return nullptr;
    return op.source == SumOp::kBias ? bias : slot(op.source, position);
  }
};

using TileKernel = void (*)(const Tile& tile);

/// By vectors of outputs and positions, each less one.
struct ContextKernels {
  TileKernel tiles[kPanelVectors][kTilePositions];
};

/// One part of a layer, at some positions.
struct DenseSlice {
  const PackedWeights* packed;
  const Program* program;
  const float* const* inputs;
  float* const* kept;
  std::size_t num_kept;
  float* scratch;  // this thread's own, for slots that are not kept
};

/// What is done with a sum that is complete.
struct Finish {
  std::uint32_t result;  // its slot
  bool activates;        // x > 0 ? x : x * slope
  float slope;
  const float* shift;  // added to it, where nothing activates; null: zeros
  float* const* outputs;
};

/// Run vectors [first, last) of the slice for `count` positions; `finish` may be null.
void run_slice(const ContextKernels& kernels, const DenseSlice& slice, const Finish* finish,
               std::size_t first, std::size_t last, std::size_t count);

extern const ContextKernels kScalarContext;
#if defined(__x86_64__) && defined(__GNUC__)
extern const ContextKernels kAvx2Context;
extern const ContextKernels kAvx512Context;
#endif

}  // namespace scalecodec
