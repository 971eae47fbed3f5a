/// The networks of an autoregressive model, as the kernels read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "context_kernels.hpp"
#include "context_sums.hpp"

namespace scalecodec {

/// 1x1 convolution: `weight` [num_outputs, num_inputs], `bias` [num_outputs].
struct DenseView {
  const float* weight;
  const float* bias;
  std::size_t num_inputs, num_outputs;
  bool activates;
  float slope;
};

/// Masked convolution: `weight` [num_outputs, num_channels, kernel, kernel], of which only the taps before
/// the centre are read; `bias` [num_outputs]. Requires: kernel is odd.
struct ConvolutionView {
  const float* weight;
  const float* bias;
  std::size_t num_channels, num_outputs, kernel;
};

/// Inputs of one chain. In chains of 64 the sums of mbt2018 are off by a third of what one chain over all
/// inputs makes of them, and by as little as those of other programs.
constexpr std::size_t kChain = 64;

/// The weights as the kernels read them: copied, and shared by threads.
class ContextNetwork {
 public:
  /// Requires: at least one layer; the first takes num_params + the convolution's outputs, each other one
  /// what the one before it gives, and the last gives 2 * num_channels. All sizes are positive. `sums`:
  /// empty, or for the convolution and each layer orders without a fault, every output in one of them.
  ContextNetwork(const ConvolutionView& convolution, const std::vector<DenseView>& layers,
                 std::vector<std::vector<OutputSums>> sums = {});

  /// What can be summed before, or has to be behind, the last inputs.
  struct Part {
    SumPart sums;
    std::vector<float> memory;
    PackedWeights packed;
    Program program;  // of the convolution: none, it depends on the width
  };
  /// Outputs that add up alike.
  struct Block {
    Part early, late;
    std::size_t num_kept = 0;                      // slots between the parts
    std::uint32_t result = 0;                      // the late part's slot
    std::size_t width = 0;                         // floats in a slot, and in the outputs, padded
    std::size_t first_kept = 0, first_output = 0;  // where they stand among those of the layer
  };
  struct Layer {
    std::vector<Block> blocks;
    std::size_t kept = 0, width = 0;    // floats of all blocks
    std::vector<std::uint32_t> places;  // of the outputs in that width
    bool activates = false;
    float slope = 0.0f;
  };

  std::size_t num_channels() const { return num_channels_; }
  std::size_t num_params() const { return param_places_.size(); }
  std::size_t pad() const { return pad_; }
  const Layer& context() const { return context_; }
  const std::vector<Layer>& layers() const { return layers_; }
  /// Where the first layer's early parts find params. Late ones find the context's outputs, and behind them,
  /// if any of them reads params, these again.
  const std::vector<std::uint32_t>& param_places() const { return param_places_; }
  bool late_params() const { return late_params_; }
  /// Floats of scratch that one thread needs.
  std::size_t scratch() const { return scratch_; }

 private:
  std::size_t num_channels_, pad_, scratch_ = 0;
  std::vector<std::uint32_t> param_places_;
  bool late_params_ = false;
  Layer context_;
  std::vector<Layer> layers_;
};

/// The program of a part whose inputs lie at `offset_of(input)`.
template <class Offset>
Program program_of(const SumPart& sums, const Offset& offset_of) {
  Program program;
  const std::uint32_t* input = sums.inputs.data();
  for (const SumOp& op : sums.ops) {
    const std::size_t first = program.segments.size();
    for (std::uint32_t i = 0; i < op.count; ++i, ++input) {
      const std::size_t offset = offset_of(*input);
      if (program.segments.size() > first &&
          program.segments.back().offset + program.segments.back().count == offset)
        ++program.segments.back().count;
      else
        program.segments.push_back({offset, 1});
    }
    program.ops.push_back({op.source, op.target, static_cast<std::uint32_t>(program.segments.size() - first),
                           op.fused, op.adds});
  }
  return program;
}

}  // namespace scalecodec
