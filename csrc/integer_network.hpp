/// Convolution networks in integers: the same outputs on every machine, because no step can round.
///
/// A layer's outputs are `stride` times as dense as its inputs: it is `stride * stride` phases, each an
/// ordinary convolution at the inputs' positions. A transposed convolution is such, and so is one with a
/// sub-pixel shuffle behind it. Inputs outside of the picture are 0.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "integer_kernels.hpp"

namespace scalecodec {

inline std::size_t padded_outputs(std::size_t num_outputs) {
  return (num_outputs + kIntegerLanes - 1) / kIntegerLanes * kIntegerLanes;
}

/// One phase as its maker has it.
struct PhaseView {
  const std::int16_t* weights;  // [num_outputs][num_rows][num_columns][num_inputs]
  std::size_t num_rows, num_columns;
  std::ptrdiff_t start_y, start_x;  // of the kernel's first weight, from the position
  const std::int64_t* bias;         // [num_outputs], as what follows
  const std::int32_t* multiplier;
  const std::int32_t* negative;  // the multiplier of sums below 0
  const std::int32_t* shift;
};

struct LayerView {
  std::size_t num_inputs, num_outputs, stride;
  std::int32_t low, high;         // what its outputs are clamped to
  std::vector<PhaseView> phases;  // row by row
};

/// Layers, packed for the kernels and proved.
class IntegerNetwork {
 public:
  /// Inputs are clamped to [-input_limit, input_limit], 1 to 32767. Throws std::bad_alloc. Not `ok()` where
  /// the layers do not follow each other or a number could overflow; `why()` says which.
  IntegerNetwork(std::int32_t input_limit, const std::vector<LayerView>& layers);

  bool ok() const { return why_.empty(); }
  const std::string& why() const { return why_; }
  std::size_t num_inputs() const { return layers_.front().num_inputs; }
  std::size_t num_outputs() const { return layers_.back().num_outputs; }
  std::size_t stride() const;
  /// Bits, sign included, of the largest sum that a layer could come to.
  std::vector<int> sum_bits() const;

  /// `input` [num_inputs][height][width] to `output` [num_outputs][stride * height][stride * width]. Throws
  /// std::bad_alloc.
  void run(const std::int32_t* input, std::size_t height, std::size_t width, const IntegerKernels& kernels,
           std::size_t num_threads, std::int32_t* output) const;

 private:
  struct Phase {
    std::size_t num_rows, num_pairs, group;
    std::ptrdiff_t start_y, start_x;
    std::vector<std::int16_t> weights;  // as IntegerTile has them
    std::vector<std::int64_t> bias, multiplier, negative, half, shift;
    Rescale rescale(std::size_t first_output, std::int32_t low, std::int32_t high) const;
  };
  struct Layer {
    std::size_t num_inputs, num_outputs, stride;
    std::int32_t low, high;
    std::size_t top, left, bottom, right;  // zeros about the inputs
    int sum_bits;
    std::vector<Phase> phases;
  };
  struct Plane;

  std::string pack(const LayerView& view, std::int64_t input_limit);
  static std::string prove(const PhaseView& from, std::size_t num_outputs, std::int64_t input_limit,
                           const std::vector<std::int64_t>& pair_sums, Phase& phase, int& sum_bits);
  void run_row(const Layer& layer, const Plane& from, std::size_t task, const IntegerKernels& kernels,
               Plane* to, std::int32_t* output) const;

  std::int32_t input_limit_;
  std::vector<Layer> layers_;
  std::string why_;
};

}  // namespace scalecodec
