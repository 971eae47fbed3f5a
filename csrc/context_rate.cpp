/// Reconstruction offsets, one channel at a time: few symbols are not zero.
#include "context_rate.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace scalecodec {

namespace {

float add_up(const SumPart& part, const float* weight, float bias, const float* inputs) {
  float slots[kMostSlots] = {};
  const std::uint32_t* input = part.inputs.data();
  for (const SumOp& op : part.ops) {
    float sum = op.source == SumOp::kZero ? 0.0f : op.source == SumOp::kBias ? bias : slots[op.source];
    for (std::uint32_t i = 0; i < op.count; ++i, ++input)
      sum = op.fused ? std::fma(weight[*input], inputs[*input], sum) : sum + weight[*input] * inputs[*input];
    slots[op.target] = op.adds ? slots[op.target] + sum : sum;
  }
  return slots[0];
}

}  // namespace

OffsetNetwork::OffsetNetwork(std::vector<Layer> layers, std::vector<std::uint32_t> kinds)
    : kinds_(std::move(kinds)) {
  for (Layer& layer : layers) {
    Step step;
    for (const std::vector<OutputSums>& all : layer.sums) {
      step.sums.emplace_back();
      for (const OutputSums& some : all)
        for (const std::uint32_t output : some.outputs)
          // All of it early: then slot 0 is the only one kept, and the result.
          step.sums.back().push_back({output, plan_sums(some.order, layer.num_inputs).early});
    }
    widest_ = std::max(widest_, layer.num_outputs);
    step.layer = std::move(layer);
    steps_.push_back(std::move(step));
  }
}

float OffsetNetwork::offset(float scale, float gain, std::size_t channel, float* scratch) const {
  float *inputs = scratch, *outputs = scratch + widest_;
  inputs[0] = scale;
  inputs[1] = gain;
  for (const Step& step : steps_) {
    const bool activates = &step != &steps_.back();
    for (const Sum& sum : step.sums[kinds_[channel]]) {
      const float* weight = step.layer.weight.data() + sum.output * step.layer.num_inputs;
      const float total = add_up(sum.part, weight, step.layer.bias[sum.output], inputs);
      outputs[sum.output] = activates && total < 0.0f ? 0.0f : total;  // NaN stays
    }
    std::swap(inputs, outputs);
  }
  return inputs[0];
}

}  // namespace scalecodec
