/// Driver, part 5: context networks of every shape, by every kernel set, in blocks of exactly their size.
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>

#include "backend.hpp"
#include "context.hpp"
#include "driver.hpp"
#include "quantize.hpp"
#include "team.hpp"

namespace driver {

namespace {

float uniform(Random& random) {
  return static_cast<float>(random.below(1 << 20)) / (1 << 19) - 1.0f;
}

Exact<float> floats(Random& random, std::size_t count, float size) {
  Exact<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values.data[i] = size * uniform(random);
  return values;
}

/// Chains of 64, and their total.
struct Sum {
  float total, chain = 0.0f;
  int length = 0;

  void add(float weight, float value) {
    if (length == 64) close();
    chain = std::fma(weight, value, chain);
    ++length;
  }
  float close() {
    if (length > 0) total += chain;
    chain = 0.0f;
    length = 0;
    return total;
  }
};

/// A network, latents and params for it, and how one item's position is computed, from the definition.
struct Case {
  std::size_t channels, params, context, kernel, items, height, width;
  std::vector<std::size_t> sizes;  // inputs of the first layer, and outputs of each
  std::vector<Exact<float>> weights, biases;
  std::vector<DenseView> layers;
  Exact<float> latent, given;
  std::vector<float> scales;
  ScaleSearch search;
  Tables tables;

  Case(Random& random, std::size_t num_items, std::size_t h, std::size_t w)
      : channels(1 + random.below(random.below(4) ? 6 : 40)),
        params(random.below(20)),
        context(1 + random.below(random.below(4) ? 20 : 90)),
        kernel(1 + 2 * random.below(4)),
        items(num_items),
        height(h),
        width(w),
        latent(floats(random, items * channels * height * width, 9.0f)),
        given(floats(random, items * params * height * width, 1.0f)),
        tables(random_tables(random, 1 + random.below(90), 30)) {
    const std::size_t num_taps = kernel * kernel;
    weights.push_back(floats(random, context * channels * num_taps, 1.0f / static_cast<float>(num_taps)));
    biases.push_back(floats(random, context, 0.5f));
    sizes = {params + context};
    for (std::size_t left = random.below(3); left > 0; --left) sizes.push_back(1 + random.below(150));
    sizes.push_back(2 * channels);
    for (std::size_t i = 0; i + 1 < sizes.size(); ++i) {
      weights.push_back(floats(random, sizes[i] * sizes[i + 1], 2.0f / static_cast<float>(sizes[i])));
      biases.push_back(floats(random, sizes[i + 1], 1.0f));
      layers.push_back({weights.back().data.get(), biases.back().data.get(), sizes[i], sizes[i + 1],
                        random.below(4) > 0, uniform(random)});
    }
    for (std::size_t i = 0; i < 1 + random.below(tables.num_tables); ++i)
      scales.push_back(0.05f * static_cast<float>(1 + i));
    CHECK(prepare(scales.data(), scales.size(), 0.11f, search).ok());
  }

  ConvolutionView convolution() const {
    return {weights[0].data.get(), biases[0].data.get(), channels, context, kernel};
  }
  ContextNetwork network() const { return ContextNetwork(convolution(), layers); }
  ContextTask task(const ContextNetwork& network, ContextOrder order, Exact<float>& latent_hat) const {
    return {network,
            items,
            height,
            width,
            given.data.get(),
            search,
            tables.prepared,
            order,
            latent_hat.data.get()};
  }

  /// Scales and means at one position, given what was decoded before it.
  std::vector<float> slow(const Exact<float>& decoded, std::size_t item, std::size_t h, std::size_t w) const {
    const std::size_t pad = kernel / 2;
    std::vector<float> values(params + context);
    for (std::size_t i = 0; i < params; ++i)
      values[i] = given.data[((item * params + i) * height + h) * width + w];
    for (std::size_t o = 0; o < context; ++o) {
      Sum sum{biases[0].data[o]};
      for (std::size_t tap = 0; tap < kernel * kernel / 2; ++tap) {
        if (tap % kernel == 0) sum.close();
        for (std::size_t c = 0; c < channels; ++c) {
          const std::size_t row = h + tap / kernel, column = w + tap % kernel;
          const bool inside = row >= pad && column >= pad && column < width + pad;
          const float value =
              inside ? decoded.data[((item * channels + c) * height + row - pad) * width + column - pad] : 0;
          sum.add(weights[0].data[(o * channels + c) * kernel * kernel + tap], value);
        }
      }
      values[params + o] = sum.close();
    }
    for (const DenseView& layer : layers) {
      std::vector<float> outputs(layer.num_outputs);
      for (std::size_t o = 0; o < layer.num_outputs; ++o) {
        Sum sum{layer.bias[o]};
        for (std::size_t i = 0; i < layer.num_inputs; ++i) {
          if (&layer == &layers[0] && i == params) sum.close();
          sum.add(layer.weight[o * layer.num_inputs + i], values[i]);
        }
        const float total = sum.close();
        outputs[o] = layer.activates && !(total > 0) ? total * layer.slope : total;
      }
      values = outputs;
    }
    return values;
  }

  /// Whether the latents are those of the definition, each from those before it.
  bool is_right(const Exact<float>& decoded) const {
    std::size_t wrong = 0;
    for (std::size_t item = 0; item < items; ++item)
      for (std::size_t h = 0; h < height; ++h)
        for (std::size_t w = 0; w < width; ++w) {
          const std::vector<float> values = slow(decoded, item, h, w);
          for (std::size_t c = 0; c < channels; ++c) {
            const std::size_t at = ((item * channels + c) * height + h) * width + w;
            const float mean = values[channels + c];
            wrong += decoded.data[at] != std::nearbyint(latent.data[at] - mean) + mean;
          }
        }
    return wrong == 0;
  }
};

ContextBackend backend() {
  return {*active_kernels().context, active_kernels().quantize};
}

std::vector<Rans64Encoder> encode(const Case& at, const ContextNetwork& network, ContextOrder order,
                                  Exact<float>& latent_hat, std::size_t threads) {
  std::vector<Rans64Encoder> streams(at.items);
  CHECK(context_encode(at.task(network, order, latent_hat), backend(), at.latent.data.get(), streams.data(),
                       threads)
            .ok());
  return streams;
}

Result decode(const Case& at, const ContextNetwork& network, ContextOrder order,
              const std::vector<Bytes>& data, Exact<float>& latent_hat, std::size_t threads) {
  std::vector<Rans64Decoder> streams(at.items);
  for (std::size_t i = 0; i < at.items; ++i) {
    const Result result = streams[i].start(data[i].data.get(), data[i].size);
    if (!result.ok()) return result;
  }
  return context_decode(at.task(network, order, latent_hat), backend(), streams.data(), threads);
}

bool same(const Exact<float>& one, const Exact<float>& other) {
  return std::memcmp(one.data.get(), other.data.get(), one.size * sizeof(float)) == 0;
}

std::vector<Bytes> bytes_of(const std::vector<Rans64Encoder>& streams) {
  std::vector<Bytes> all;
  for (const Rans64Encoder& stream : streams) all.emplace_back(stream.bytes(), stream.num_bytes());
  return all;
}

/// Damaged streams of one item: a status or other latents, and no byte read outside.
void check_damage(Random& random, const Case& at, const ContextNetwork& network, ContextOrder order,
                  const std::vector<Bytes>& data) {
  Exact<float> latent_hat(at.latent.size);
  for (int i = 0; i < 4; ++i) {
    std::vector<Bytes> damaged;
    for (const Bytes& stream : data) damaged.emplace_back(stream.data.get(), stream.size);
    Bytes& one = damaged[random.below(at.items)];
    if (i % 2) {
      one = Bytes(one.data.get(), one.size - std::min(one.size, 4 * (1 + random.below(4))));
    } else {
      one.data[random.below(one.size)] ^= static_cast<std::uint8_t>(1 + random.below(255));
    }
    const Result result = decode(at, network, order, damaged, latent_hat, 1 + random.below(3));
    CHECK(i % 2 == 0 || !result.ok());
  }
}

void check_case(Random& random, std::size_t items, std::size_t height, std::size_t width) {
  const Case at(random, items, height, width);
  const ContextNetwork network = at.network();
  Exact<float> first(at.latent.size), again(at.latent.size);
  for (const ContextOrder order : {ContextOrder::kRaster, ContextOrder::kWavefront}) {
    const std::vector<Bytes> data = bytes_of(encode(at, network, order, first, 1));
    if (order == ContextOrder::kRaster) CHECK(at.is_right(first));
    for (const std::string& name : available_backends()) {
      CHECK(force_backend(name));
      const std::vector<Bytes> others = bytes_of(encode(at, network, order, again, 1 + random.below(3)));
      CHECK(same(first, again));
      for (std::size_t i = 0; i < items; ++i)
        CHECK(others[i].size == data[i].size &&
              std::memcmp(others[i].data.get(), data[i].data.get(), data[i].size) == 0);
      std::fill_n(again.data.get(), again.size, 0.0f);
      CHECK(decode(at, network, order, data, again, 1 + random.below(3)).ok());
      CHECK(same(first, again));
    }
    CHECK(force_backend(""));
    check_damage(random, at, network, order, data);
  }
}

void check_bad_latent(Random& random) {
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(), -3e38f, 2147483648.0f};
  for (const float value : bad) {
    const Case at(random, 2, 3, 4);
    const std::size_t where = random.below(at.latent.size);
    at.latent.data[where] = value;
    Exact<float> latent_hat(at.latent.size);
    const ContextNetwork network = at.network();
    Rans64Encoder streams[2];
    const Result result = context_encode(at.task(network, ContextOrder::kRaster, latent_hat), backend(),
                                         at.latent.data.get(), streams, 1 + random.below(3));
    CHECK(result.status == Status::kLatentRange && result.where == where);
  }
}

/// Every allocation fails once: std::bad_alloc or a status, and nothing is lost.
void check_no_memory(Random& random) {
  const Case at(random, 2, 4, 5);
  const ContextNetwork network = at.network();
  Exact<float> latent_hat(at.latent.size);
  const std::vector<Bytes> data = bytes_of(encode(at, network, ContextOrder::kRaster, latent_hat, 1));
  for (int failing = 1;; ++failing) {
    bool failed = false;
    allocations_until_failure = failing;
    try {
      const ContextNetwork other = at.network();
      Rans64Encoder streams[2];
      failed = !context_encode(at.task(other, ContextOrder::kRaster, latent_hat), backend(),
                               at.latent.data.get(), streams, 1)
                    .ok();
      if (!failed) failed = !decode(at, other, ContextOrder::kRaster, data, latent_hat, 1).ok();
    } catch (const std::bad_alloc&) {
      failed = true;
    }
    const bool done = allocations_until_failure > 0;
    allocations_until_failure = 0;
    CHECK(failed != done);
    if (done) break;
  }
}

/// Each piece's every part is done once, and before the next piece begins; with helpers that sleep, too.
void check_team(std::size_t num_threads, int num_pieces, int pause_every) {
  Team team;
  std::vector<int> count(64);
  std::size_t most_parts = 0, wrong = 0;
  team.run(num_threads, [&] {
    for (int piece = 0; piece < num_pieces; ++piece) {
      std::size_t parts = 0;
      team.share([&](std::size_t part, std::size_t num_parts) {
        if (part == 0) parts = num_parts;
        // A late part now and then, so that the leader goes on alone.
        if (part > 0 && pause_every && piece % pause_every == 0)
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
        ++count[part];
      });
      for (std::size_t part = 0; part < parts; ++part) wrong += count[part]-- != 1;
      for (const int left : count) wrong += left != 0;
      most_parts = std::max(most_parts, parts);
    }
  });
  CHECK(wrong == 0 && most_parts <= num_threads);
}

void check_teams() {
  for (const std::size_t num_threads : {1, 2, 3, 64}) {
    check_team(num_threads, 2000, 0);
    check_team(num_threads, 3000, 40);
    check_team(num_threads, 0, 0);
  }
  std::vector<std::thread> callers;  // more teams than the pool has threads
  for (int i = 0; i < 4; ++i) callers.emplace_back([] { Team().run(3, [] {}); });
  for (std::thread& caller : callers) caller.join();
}

}  // namespace

void test_context(Random& random) {
  check_teams();
  for (const auto& [items, height, width] : {std::array<std::size_t, 3>{1, 1, 1},
                                             {3, 1, 7},
                                             {2, 9, 1},
                                             {1, 2, 3},
                                             {1, 6, 9},
                                             {2, 5, 4},
                                             {67, 2, 2},
                                             {1, 2, 70}})
    for (int i = 0; i < 3; ++i) check_case(random, items, height, width);
  check_bad_latent(random);
  check_no_memory(random);
}

}  // namespace driver
