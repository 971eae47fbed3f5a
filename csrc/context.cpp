/// Context networks: encoding, decoding, and what they say of given latents.
#include "context.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "context_walk.hpp"
#include "pool.hpp"
#include "quantize_step.hpp"

namespace scalecodec {

namespace {

/// Symbols back to latents.
class Reconstruction {
 public:
  explicit Reconstruction(const ContextTask& task)
      : rate_(task.rate), bound_(task.search.bound), step_(1.0f / task.rate.gain) {
    if (rate_.offsets) scratch_.resize(rate_.offsets->scratch());
  }

  void operator()(const std::int32_t* symbols, const float* scales, const float* means, std::size_t count,
                  float* latents) {
    if (rate_.gain == 1.0f && !rate_.offsets) {
      for (std::size_t c = 0; c < count; ++c) latents[c] = static_cast<float>(symbols[c]) + means[c];
      return;
    }
    for (std::size_t c = 0; c < count; ++c) {
      float value = static_cast<float>(symbols[c]);
      if (rate_.offsets && symbols[c] != 0) {
        const float scaled = scales[c] * rate_.gain;
        const float scale = scaled < bound_ ? bound_ : scaled;
        const float size = std::fabs(value) - rate_.offsets->offset(scale, rate_.gain, c, scratch_.data());
        value = symbols[c] < 0 ? -size : size;
      }
      latents[c] = value * step_ + means[c];
    }
  }

 private:
  const ContextRate rate_;
  const float bound_, step_;
  std::vector<float> scratch_;
};

/// Latents to symbols, and these to streams when all are there: a rans64 encoder goes backwards.
class Encoder final : public ContextCoder {
 public:
  Encoder(const ContextTask& task, const QuantizeKernels& kernels, const float* latent)
      : task_(task),
        kernels_(kernels),
        latent_(latent),
        num_channels_(task.network.num_channels()),
        reconstruct_(task) {
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
    const float gain = task_.rate.gain;
    const float* latent = ordered_.data() + (at.item * num_places + place) * num_channels_;
    const std::size_t to = (at.item * num_places + at.ordinal) * num_channels_;
    std::int32_t* symbols = symbols_.data() + to;
    if (!std::get<SymbolKernel<std::int32_t>>(*kernels_.symbols)(latent, means, gain, num_channels_, symbols))
      for (std::size_t c = 0; c < num_channels_; ++c)
        if (!fits_symbol<std::int32_t>(rounded_latent(latent[c], means[c], gain)))
          return {Status::kLatentRange, first + c * num_places};
    std::get<IndexKernel<std::int32_t>> (*kernels_.indexes)(task_.search, scales, task_.rate.gain,
                                                            num_channels_, indexes_.data() + to);
    reconstruct_(symbols, scales, means, num_channels_, latents);
    return {};
  }

  const ContextTask& task_;
  const QuantizeKernels& kernels_;
  const float* latent_;
  const std::size_t num_channels_;
  Reconstruction reconstruct_;
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
        reconstruct_(task),
        symbols_(num_channels_),
        indexes_(num_channels_) {}

  Result settle(const Group& group) override {
    for (std::size_t p = 0; p < group.count; ++p) {
      const float *scales = group.distributions[p], *means = scales + num_channels_;
      std::get<IndexKernel<std::int32_t>> (*kernels_.indexes)(task_.search, scales, task_.rate.gain,
                                                              num_channels_, indexes_.data());
      const Position& at = group.positions[p];
      Result result =
          streams_[at.item].decode({indexes_.data(), IntegerType::kInt32, num_channels_}, task_.table,
                                   {symbols_.data(), IntegerType::kInt32, num_channels_});
      result.where += at.ordinal * num_channels_;
      if (!result.ok()) return result;
      reconstruct_(symbols_.data(), scales, means, num_channels_, group.latents[p]);
    }
    return {};
  }

 private:
  const ContextTask& task_;
  const QuantizeKernels& kernels_;
  Rans64Decoder* streams_;
  const std::size_t num_channels_;
  Reconstruction reconstruct_;
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
