/// Context networks: packing of weights, encoding and decoding.
#include "context.hpp"

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <utility>

#include "context_walk.hpp"
#include "pool.hpp"
#include "quantize_step.hpp"

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

/// Latents to symbols, and these to streams when all are there: a rans64 encoder goes backwards.
class Encoder final : public ContextCoder {
 public:
  Encoder(const ContextTask& task, const QuantizeKernels& kernels, const float* latent)
      : task_(task), kernels_(kernels), latent_(latent), num_channels_(task.network.num_channels()) {
    const std::size_t size = task.num_items * task.height * task.width * num_channels_;
    symbols_.resize(size);
    indexes_.resize(size);
    ordered_.resize(size);
  }

  void begin(Team& team) override {
    const std::size_t num_places = task_.height * task_.width;
    team.share([&](std::size_t part, std::size_t num_parts) {
      for (std::size_t item = 0; item < task_.num_items; ++item) {
        const std::size_t first = item * num_places * num_channels_;
        to_channels_last(latent_ + first, num_places, num_channels_, num_channels_ * part / num_parts,
                         num_channels_ * (part + 1) / num_parts, nullptr, ordered_.data() + first);
      }
    });
  }

  Result settle(const Group& group) override {
    for (std::size_t p = 0; p < group.count; ++p) {
      const Result result = settle(group.positions[p], group.distributions[p], group.latents[p]);
      if (!result.ok()) return result;
    }
    return {};
  }

  Result finish(Rans64Encoder* streams, std::size_t num_threads) {
    std::vector<Result> results(task_.num_items);
    const std::size_t size = symbols_.size() / task_.num_items;
    run_parallel(task_.num_items, num_threads, [&](std::size_t item) {
      const IntegerSource symbols{symbols_.data() + item * size, IntegerType::kInt32, size};
      const IntegerSource indexes{indexes_.data() + item * size, IntegerType::kInt32, size};
      results[item] = streams[item].encode_reverse(symbols, indexes, task_.table);
      if (results[item].ok()) results[item] = streams[item].finish();
    });
    for (const Result& result : results)
      if (!result.ok()) return result;
    return {};
  }

 private:
  Result settle(const Position& at, const float* scales, float* latents) {
    const std::size_t num_places = task_.height * task_.width, place = at.row * task_.width + at.column;
    const std::size_t first = at.item * num_channels_ * num_places + place;
    const float* means = scales + num_channels_;
    const float* latent = ordered_.data() + (at.item * num_places + place) * num_channels_;
    const std::size_t to = (at.item * num_places + at.ordinal) * num_channels_;
    std::int32_t* symbols = symbols_.data() + to;
    if (!std::get<SymbolKernel<std::int32_t>>(*kernels_.symbols)(latent, means, 1.0f, num_channels_, symbols))
      for (std::size_t c = 0; c < num_channels_; ++c)
        if (!fits_symbol<std::int32_t>(rounded_latent(latent[c], means[c], 1.0f)))
          return {Status::kLatentRange, first + c * num_places};
    std::get<IndexKernel<std::int32_t>> (*kernels_.indexes)(task_.search, scales, 1.0f, num_channels_,
                                                            indexes_.data() + to);
    for (std::size_t c = 0; c < num_channels_; ++c) latents[c] = static_cast<float>(symbols[c]) + means[c];
    return {};
  }

  const ContextTask& task_;
  const QuantizeKernels& kernels_;
  const float* latent_;
  const std::size_t num_channels_;
  std::vector<std::int32_t> symbols_, indexes_;
  std::vector<float> ordered_;  // the latents, channels innermost
};

class Decoder final : public ContextCoder {
 public:
  Decoder(const ContextTask& task, const QuantizeKernels& kernels, Rans64Decoder* streams)
      : task_(task),
        kernels_(kernels),
        streams_(streams),
        num_channels_(task.network.num_channels()),
        symbols_(num_channels_),
        indexes_(num_channels_) {}

  Result settle(const Group& group) override {
    for (std::size_t p = 0; p < group.count; ++p) {
      const float *scales = group.distributions[p], *means = scales + num_channels_;
      std::get<IndexKernel<std::int32_t>> (*kernels_.indexes)(task_.search, scales, 1.0f, num_channels_,
                                                              indexes_.data());
      const Position& at = group.positions[p];
      Result result =
          streams_[at.item].decode({indexes_.data(), IntegerType::kInt32, num_channels_}, task_.table,
                                   {symbols_.data(), IntegerType::kInt32, num_channels_});
      result.where += at.ordinal * num_channels_;
      if (!result.ok()) return result;
      float* latents = group.latents[p];
      for (std::size_t c = 0; c < num_channels_; ++c) latents[c] = static_cast<float>(symbols_[c]) + means[c];
    }
    return {};
  }

 private:
  const ContextTask& task_;
  const QuantizeKernels& kernels_;
  Rans64Decoder* streams_;
  const std::size_t num_channels_;
  std::vector<std::int32_t> symbols_, indexes_;
};

class Predictor final : public ContextCoder {
 public:
  Predictor(const ContextPlace& place, const float* latent, float* distributions)
      : place_(place), latent_(latent), distributions_(distributions) {}

  Result settle(const Group& group) override {
    const std::size_t num_channels = place_.network.num_channels(), num_places = place_.height * place_.width;
    for (std::size_t p = 0; p < group.count; ++p) {
      const Position& at = group.positions[p];
      const std::size_t first = at.item * num_channels * num_places + at.row * place_.width + at.column;
      for (std::size_t c = 0; c < num_channels; ++c) group.latents[p][c] = latent_[first + c * num_places];
      float* to = distributions_ + first + at.item * num_channels * num_places;  // twice as many channels
      for (std::size_t i = 0; i < 2 * num_channels; ++i) to[i * num_places] = group.distributions[p][i];
    }
    return {};
  }

 private:
  const ContextPlace& place_;
  const float* latent_;
  float* distributions_;
};

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

void context_predict(const ContextPlace& place, const ContextKernels& kernels, const float* latent,
                     float* distributions, std::size_t num_threads) {
  Predictor predictor(place, latent, distributions);
  ContextWalk walk(place, kernels, false, num_threads);
  Team team;
  team.run(num_threads, [&] { walk.run(team, predictor); });
}

Result context_encode(const ContextTask& task, const ContextBackend& backend, const float* latent,
                      Rans64Encoder* streams, std::size_t num_threads) {
  Encoder encoder(task, backend.quantize, latent);
  ContextWalk walk(task, backend.context, false, num_threads);
  Team team;
  Result result;
  team.run(num_threads, [&] { result = walk.run(team, encoder); });
  return result.ok() ? encoder.finish(streams, num_threads) : result;
}

Result context_decode(const ContextTask& task, const ContextBackend& backend, Rans64Decoder* streams,
                      std::size_t num_threads) {
  Decoder decoder(task, backend.quantize, streams);
  ContextWalk walk(task, backend.context, task.order == ContextOrder::kRaster, num_threads);
  Team team;
  Result result;
  team.run(num_threads, [&] { result = walk.run(team, decoder); });
  for (std::size_t item = 0; item < task.num_items && result.ok(); ++item) result = streams[item].finish();
  return result;
}

}  // namespace scalecodec
