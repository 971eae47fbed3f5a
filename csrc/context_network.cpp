/// Context networks: their layers planned and packed.
#include "context_network.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

namespace scalecodec {

namespace {

constexpr std::size_t kLine = 16;  // floats of a cache line

/// `weight(output, input)` into panels, outputs in the order given.
template <class Weight>
void pack(ContextNetwork::Part& part, const std::vector<std::uint32_t>& outputs, const float* bias,
          const Weight& weight) {
  const std::size_t num_vectors = (outputs.size() + kDenseLanes - 1) / kDenseLanes;
  const std::size_t width = num_vectors * kDenseLanes, num_inputs = part.sums.inputs.size();
  part.memory.assign(width * (num_inputs + 1) + kLine, 0.0f);
  const std::size_t misplaced = reinterpret_cast<std::uintptr_t>(part.memory.data()) / sizeof(float) % kLine;
  float* weights = part.memory.data() + (kLine - misplaced) % kLine;
  float* biases = weights + width * num_inputs;
  for (std::size_t o = 0; o < outputs.size(); ++o) {
    const std::size_t panel = o / kPanel * kPanel, stride = std::min(kPanel, width - panel);
    float* to = weights + panel * num_inputs + o - panel;
    for (std::size_t i = 0; i < num_inputs; ++i) to[i * stride] = weight(outputs[o], part.sums.inputs[i]);
    biases[o] = bias[outputs[o]];
  }
  part.packed = {weights, biases, num_inputs, num_vectors};
}

/// Where each number below `count` stands in `order`, which has them all and may have others.
std::vector<std::uint32_t> ranks_in(const std::vector<std::uint32_t>& order, std::size_t first,
                                    std::size_t count) {
  std::vector<std::uint32_t> ranks(count);
  std::uint32_t next = 0;
  for (const std::uint32_t number : order)
    if (number >= first && number < first + count) ranks[number - first] = next++;
  return ranks;
}

std::vector<std::uint32_t> count_up(std::size_t count) {
  std::vector<std::uint32_t> numbers(count);
  std::iota(numbers.begin(), numbers.end(), 0u);
  return numbers;
}

/// A layer's sums: in blocks, what each may do early, and in what order they take their inputs.
struct LayerPlan {
  std::vector<OutputSums> sums;
  std::vector<SumPlan> plans;

  LayerPlan(std::vector<OutputSums> all, std::size_t num_early) : sums(std::move(all)) {
    for (const OutputSums& block : sums) plans.push_back(plan_sums(block.order, num_early));
  }
  /// The most outputs' order: inputs that stand in it lie side by side.
  const SumPlan& main() const {
    std::size_t most = 0;
    for (std::size_t b = 0; b < sums.size(); ++b)
      if (sums[b].outputs.size() > sums[most].outputs.size()) most = b;
    return plans[most];
  }
  std::vector<std::uint32_t> inputs() const {
    std::vector<std::uint32_t> all = main().early.inputs;
    all.insert(all.end(), main().late.inputs.begin(), main().late.inputs.end());
    return all;
  }
  bool takes_late(std::size_t below) const {
    for (const SumPlan& plan : plans)
      for (const std::uint32_t input : plan.late.inputs)
        if (input < below) return true;
    return false;
  }
};

/// The outputs of a block stand in the order of `ranks`.
template <class Weight>
ContextNetwork::Layer make_layer(LayerPlan& plan, const std::vector<std::uint32_t>& ranks, const float* bias,
                                 const Weight& weight) {
  ContextNetwork::Layer layer;
  layer.places.resize(ranks.size());
  for (std::size_t b = 0; b < plan.sums.size(); ++b) {
    std::vector<std::uint32_t>& outputs = plan.sums[b].outputs;
    std::sort(outputs.begin(), outputs.end(),
              [&](std::uint32_t one, std::uint32_t other) { return ranks[one] < ranks[other]; });
    ContextNetwork::Block block;
    block.early.sums = plan.plans[b].early;
    block.late.sums = plan.plans[b].late;
    for (ContextNetwork::Part* part : {&block.early, &block.late}) pack(*part, outputs, bias, weight);
    block.num_kept = plan.plans[b].num_kept;
    block.result = plan.plans[b].result;
    block.width = block.late.packed.num_vectors * kDenseLanes;
    block.first_kept = layer.kept;
    block.first_output = layer.width;
    for (std::size_t o = 0; o < outputs.size(); ++o)
      layer.places[outputs[o]] = static_cast<std::uint32_t>(layer.width + o);
    layer.kept += block.num_kept * block.width;
    layer.width += block.width;
    layer.blocks.push_back(std::move(block));
  }
  return layer;
}

std::vector<std::vector<OutputSums>> own_sums(const ConvolutionView& convolution,
                                              const std::vector<DenseView>& layers) {
  const std::size_t pad = convolution.kernel / 2;
  std::vector<std::size_t> rows(pad, convolution.kernel * convolution.num_channels);
  rows.push_back(pad * convolution.num_channels);
  std::vector<std::vector<OutputSums>> sums{
      {{count_up(convolution.num_outputs), chained_order(rows, kChain)}}};
  for (const DenseView& view : layers) {
    std::vector<std::size_t> stretches{view.num_inputs};
    if (sums.size() == 1) stretches = {view.num_inputs - convolution.num_outputs, convolution.num_outputs};
    sums.push_back({{count_up(view.num_outputs), chained_order(stretches, kChain)}});
  }
  return sums;
}

}  // namespace

ContextNetwork::ContextNetwork(const ConvolutionView& convolution, const std::vector<DenseView>& layers,
                               std::vector<std::vector<OutputSums>> sums)
    : num_channels_(convolution.num_channels), pad_(convolution.kernel / 2) {
  if (sums.empty()) sums = own_sums(convolution, layers);
  const std::size_t num_taps = convolution.kernel * convolution.kernel;
  const std::size_t num_params = layers[0].num_inputs - convolution.num_outputs;
  LayerPlan context(std::move(sums[0]), pad_ * convolution.kernel * num_channels_);
  std::vector<LayerPlan> plans;
  for (std::size_t i = 0; i < layers.size(); ++i)
    plans.emplace_back(std::move(sums[i + 1]), i == 0 ? num_params : 0);
  // Every layer's outputs stand in the order in which the next one takes them.
  context_ = make_layer(context, ranks_in(plans[0].inputs(), num_params, convolution.num_outputs),
                        convolution.bias, [&](std::size_t o, std::size_t i) {
                          const std::size_t tap = i / num_channels_, channel = i % num_channels_;
                          return convolution.weight[(o * num_channels_ + channel) * num_taps + tap];
                        });
  param_places_ = ranks_in(plans[0].inputs(), 0, num_params);
  late_params_ = plans[0].takes_late(num_params);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const DenseView& view = layers[i];
    const std::vector<std::uint32_t> ranks = i + 1 < layers.size()
                                                 ? ranks_in(plans[i + 1].inputs(), 0, view.num_outputs)
                                                 : count_up(view.num_outputs);
    Layer layer = make_layer(plans[i], ranks, view.bias, [&](std::size_t o, std::size_t input) {
      return view.weight[o * view.num_inputs + input];
    });
    layer.activates = view.activates;
    layer.slope = view.slope;
    const Layer& before = i == 0 ? context_ : layers_[i - 1];
    for (Block& block : layer.blocks) {
      block.early.program = program_of(
          block.early.sums, [&](std::uint32_t input) -> std::size_t { return param_places_[input]; });
      block.late.program = program_of(block.late.sums, [&](std::uint32_t input) -> std::size_t {
        if (i > 0) return before.places[input];
        return input < num_params ? before.width + param_places_[input] : before.places[input - num_params];
      });
    }
    layers_.push_back(std::move(layer));
  }
  const auto need = [&](const Layer& layer) {
    for (const Block& block : layer.blocks) {
      const std::size_t most = std::max(block.early.sums.num_slots, block.late.sums.num_slots);
      scratch_ = std::max(scratch_, (most - block.num_kept) * kTilePositions * kPanel);
    }
  };
  need(context_);
  for (const Layer& layer : layers_) need(layer);
}

}  // namespace scalecodec
