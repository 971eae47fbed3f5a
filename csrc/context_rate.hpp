/// One rate of a variable-rate autoregressive model (arXiv:2402.18930): gain, a shift of the context's
/// outputs, and the network that gives reconstruction offsets.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "context_sums.hpp"

namespace scalecodec {

/// Dense layers with ReLU between them, from a channel's scale and the gain to its reconstruction offset.
///
/// A sum adds up in the order of its layer, output, and the channel's kind.
class OffsetNetwork {
 public:
  struct Layer {
    std::size_t num_inputs, num_outputs;
    std::vector<float> weight, bias;            // [num_outputs, num_inputs], [num_outputs]
    std::vector<std::vector<OutputSums>> sums;  // by kinds; every output in one of them, without a fault
  };

  /// Requires: at least one layer; the first takes 2 inputs, each other one what the one before it gives, the
  /// last gives 1; `kinds`, by channels, are below the number of kinds that every layer has.
  OffsetNetwork(std::vector<Layer> layers, std::vector<std::uint32_t> kinds);

  std::size_t num_channels() const { return kinds_.size(); }
  /// `scratch`: scratch() floats.
  float offset(float scale, float gain, std::size_t channel, float* scratch) const;
  std::size_t scratch() const { return 2 * widest_; }

 private:
  struct Sum {
    std::size_t output;
    SumPart part;
  };
  struct Step {
    Layer layer;
    std::vector<std::vector<Sum>> sums;  // by kinds, one for every output
  };
  std::vector<Step> steps_;
  std::vector<std::uint32_t> kinds_;
  std::size_t widest_ = 2;
};

/// Symbols are round((latent - mean) * gain), indexes of scale * gain, and latents decoded as
/// sign(symbol) * (|symbol| - offset) * (1 / gain) + mean, with no offset where the symbol is 0.
struct ContextRate {
  float gain = 1.0f;
  const float* shift = nullptr;  // by the context's outputs: added to them; null: zeros
  const OffsetNetwork* offsets = nullptr;
};

}  // namespace scalecodec
