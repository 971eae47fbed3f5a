/// Context networks: packing of weights, encoding and decoding.
#include "context.hpp"

#include <algorithm>
#include <cstdint>

#include "context_walk.hpp"
#include "pool.hpp"
#include "quantize_step.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kLine = 16;  // floats of a cache line

/// `weight(o, i)` into panels.
template <class Weight>
ContextNetwork::Layer pack(std::size_t num_inputs, std::size_t num_outputs, const float* bias,
                           const Weight& weight) {
  const std::size_t num_vectors = (num_outputs + kDenseLanes - 1) / kDenseLanes;
  const std::size_t width = num_vectors * kDenseLanes;
  ContextNetwork::Layer layer{
      std::vector<float>(width * (num_inputs + 1) + kLine), {}, num_outputs, false, 0.0f};
  const std::size_t misplaced = reinterpret_cast<std::uintptr_t>(layer.memory.data()) / sizeof(float) % kLine;
  float* weights = layer.memory.data() + (kLine - misplaced) % kLine;
  float* biases = weights + width * num_inputs;
  std::copy_n(bias, num_outputs, biases);
  for (std::size_t panel = 0; panel < width; panel += kPanel) {
    const std::size_t stride = std::min(kPanel, width - panel);
    for (std::size_t o = panel; o < std::min(panel + kPanel, num_outputs); ++o)
      for (std::size_t i = 0; i < num_inputs; ++i)
        weights[panel * num_inputs + i * stride + o - panel] = weight(o, i);
  }
  layer.dense = {weights, biases, num_inputs, num_vectors};
  return layer;
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
                         num_channels_ * (part + 1) / num_parts, ordered_.data() + first);
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

}  // namespace

ContextNetwork::ContextNetwork(const ConvolutionView& convolution, const std::vector<DenseView>& layers)
    : num_channels_(convolution.num_channels), pad_(convolution.kernel / 2) {
  const std::size_t num_taps = convolution.kernel * convolution.kernel;
  context_ = pack(num_taps / 2 * num_channels_, convolution.num_outputs, convolution.bias,
                  [&](std::size_t o, std::size_t i) {
                    const std::size_t tap = i / num_channels_, channel = i % num_channels_;
                    return convolution.weight[(o * num_channels_ + channel) * num_taps + tap];
                  });
  for (const DenseView& view : layers) {
    layers_.push_back(pack(view.num_inputs, view.num_outputs, view.bias, [&](std::size_t o, std::size_t i) {
      return view.weight[o * view.num_inputs + i];
    }));
    layers_.back().activates = view.activates;
    layers_.back().slope = view.slope;
  }
}

Result context_encode(const ContextTask& task, const ContextBackend& backend, const float* latent,
                      Rans64Encoder* streams, std::size_t num_threads) {
  Encoder encoder(task, backend.quantize, latent);
  ContextWalk walk(task, backend.context, false);
  Team team;
  Result result;
  team.run(num_threads, [&] { result = walk.run(team, encoder); });
  return result.ok() ? encoder.finish(streams, num_threads) : result;
}

Result context_decode(const ContextTask& task, const ContextBackend& backend, Rans64Decoder* streams,
                      std::size_t num_threads) {
  Decoder decoder(task, backend.quantize, streams);
  ContextWalk walk(task, backend.context, task.order == ContextOrder::kRaster);
  Team team;
  Result result;
  team.run(num_threads, [&] { result = walk.run(team, decoder); });
  for (std::size_t item = 0; item < task.num_items && result.ok(); ++item) result = streams[item].finish();
  return result;
}

}  // namespace scalecodec
