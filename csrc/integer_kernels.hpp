/// The contract of a kernel set for integer networks: one tile of a convolution, in integers that cannot
/// overflow.
///
/// No sum is ever rounded, so order, lanes, positions and threads cannot matter: all sets agree, and agree
/// with kernels/integer_conv_ref.py.
#pragma once

#include <cstddef>
#include <cstdint>

namespace scalecodec {

constexpr std::size_t kIntegerLanes =
    16;  // outputs are padded to multiples of it: one AVX-512 register of int32
constexpr std::size_t kIntegerBlocks = 4;     // of so many outputs that a tile has at most
constexpr std::size_t kIntegerPositions = 6;  // 24 sums in registers, with 4 weights and an input beside them
constexpr std::size_t kIntegerTile = kIntegerPositions * kIntegerBlocks * kIntegerLanes;

/// How sums become what the layer gives: `min(max((sum + bias) * m + half >> shift, low), high)`, `m` the
/// multiplier, or `negative` where the sum and its bias are below 0, `half` 2^(shift - 1), or 0 where shift
/// is. One of each for every output, the padding's among them.
struct Rescale {
  const std::int64_t* bias;
  const std::int64_t* multiplier;
  const std::int64_t* negative;
  const std::int64_t* half;
  const std::int64_t* shift;
  std::int32_t low, high;
};

/// Outputs of up to kIntegerBlocks blocks at up to kIntegerPositions positions side by side.
struct IntegerTile {
  const std::int16_t* inputs;  // of the first position, where the kernel's first row begins
  std::size_t num_positions, position_stride;
  std::size_t num_rows, row_stride;  // of the kernel; a row's inputs lie side by side
  std::size_t num_pairs;             // of inputs, a row
  const std::int16_t* weights;       // [block][row][pair][kIntegerLanes][2]
  std::size_t num_blocks, block_stride;
  std::size_t group;  // pairs whose products add up within int32, whatever the inputs
  Rescale rescale;    // the first block's
};

/// `tile`: `values[position][output]`, a tile's outputs end to end. `count`: of how many thresholds each
/// value is beyond, at most 255.
struct IntegerKernels {
  void (*tile)(const IntegerTile& tile, std::int32_t* values);
  void (*count)(const std::int32_t* values, std::size_t size, const std::int32_t* thresholds,
                std::size_t num_thresholds, std::uint8_t* counts);
};

extern const IntegerKernels kScalarIntegers;
#if defined(__x86_64__) && defined(__GNUC__)
extern const IntegerKernels kAvx2Integers;
extern const IntegerKernels kAvx512Integers;
#endif

}  // namespace scalecodec
