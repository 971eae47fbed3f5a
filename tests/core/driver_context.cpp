/// Driver, part 5: context networks of every shape, by every kernel set, in blocks of exactly their size.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstring>
#include <memory>
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

/// Any order of additions: runs onto slots, and slots onto each other.
SumOrder random_order(Random& random, std::size_t num_inputs) {
  SumOrder order;
  for (std::size_t i = 0; i < num_inputs; ++i)
    order.inputs.insert(order.inputs.begin() + static_cast<std::ptrdiff_t>(random.below(i + 1)),
                        static_cast<std::uint32_t>(i));
  if (random.below(3) == 0) std::sort(order.inputs.begin(), order.inputs.end());
  std::size_t left = num_inputs;
  bool has_bias = false;
  std::vector<std::uint32_t> open;
  std::uint32_t num_slots = 0;
  const auto run = [&] {
    const std::size_t count = std::min(left, random.below(random.below(4) ? 5 : 40));
    left -= count;
    return static_cast<std::uint32_t>(count);
  };
  const auto start = [&] {
    order.steps.push_back({SumStep::kStart, num_slots, run(), random.below(2) > 0});
    open.push_back(num_slots++);
  };
  start();
  while (left > 0 || !has_bias || open.size() > 1) {
    const std::size_t which = random.below(open.size());
    const std::size_t kind = random.below(left > 0 && open.size() < 20 ? 5 : 3);
    if (kind == 0 && !has_bias) {
      order.steps.push_back({SumStep::kBias, open[which], 0, false});
      has_bias = true;
    } else if (kind == 1 && open.size() > 1) {
      const std::size_t other = 1 + random.below(open.size() - 1);  // slot 0 is never taken
      if (other == which) continue;
      order.steps.push_back({SumStep::kAdd, open[which], open[other], false});
      open.erase(open.begin() + static_cast<std::ptrdiff_t>(other));
    } else if (kind == 3) {
      start();
    } else {
      order.steps.push_back({SumStep::kContinue, open[which], run(), random.below(2) > 0});
    }
  }
  return order;
}

/// For outputs in up to three groups.
std::vector<OutputSums> random_sums(Random& random, std::size_t num_inputs, std::size_t num_outputs) {
  std::vector<OutputSums> sums(1 + random.below(std::min<std::size_t>(num_outputs, 3)));
  for (OutputSums& some : sums) some.order = random_order(random, num_inputs);
  for (std::size_t o = 0; o < num_outputs; ++o)
    sums[o < sums.size() ? o : random.below(sums.size())].outputs.push_back(static_cast<std::uint32_t>(o));
  return sums;
}

template <class Weight, class Input>
float sum_of(const SumOrder& order, float bias, const Weight& weight, const Input& input) {
  std::vector<float> slots(order.steps.size());
  std::size_t next = 0;
  for (const SumStep& step : order.steps) {
    float& slot = slots[step.slot];
    if (step.kind == SumStep::kBias) slot += bias;
    if (step.kind == SumStep::kAdd) slot += slots[step.value];
    if (step.kind != SumStep::kStart && step.kind != SumStep::kContinue) continue;
    for (std::uint32_t i = 0; i < step.value; ++i, ++next) {
      const volatile float product = weight(order.inputs[next]) * input(order.inputs[next]);
      slot =
          step.fused ? std::fma(weight(order.inputs[next]), input(order.inputs[next]), slot) : slot + product;
    }
  }
  return slots[0];
}

const SumOrder& order_of(const std::vector<OutputSums>& sums, std::size_t output) {
  for (const OutputSums& some : sums)
    for (const std::uint32_t o : some.outputs)
      if (o == output) return some.order;
  return sums[0].order;
}

/// A network, latents and params for it, and how one item's position is computed, from the definition.
struct Case {
  std::size_t channels, params, context, kernel, items, height, width;
  std::vector<std::size_t> sizes;  // inputs of the first layer, and outputs of each
  std::vector<Exact<float>> weights, biases;
  std::vector<DenseView> layers;
  std::vector<std::vector<OutputSums>> sums;  // empty: our own
  Exact<float> latent, given;
  Exact<float> shift;
  std::vector<OffsetNetwork::Layer> offset_layers;
  std::vector<std::uint32_t> kinds;
  std::unique_ptr<OffsetNetwork> offsets;
  ContextRate rate;
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
        shift(floats(random, context, 0.5f)),
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
    if (random.below(2)) {
      sums.push_back(random_sums(random, kernel * kernel / 2 * channels, context));
      for (const DenseView& layer : layers)
        sums.push_back(random_sums(random, layer.num_inputs, layer.num_outputs));
      for (const auto& all : sums)
        for (const OutputSums& some : all) CHECK(!fault_of(some.order, some.order.inputs.size()));
    }
    if (random.below(2)) make_rate(random);
    for (std::size_t i = 0; i < 1 + random.below(tables.num_tables); ++i)
      scales.push_back(0.05f * static_cast<float>(1 + i));
    CHECK(prepare(scales.data(), scales.size(), 0.11f, search).ok());
  }

  void make_rate(Random& random) {
    rate.gain = 0.05f + static_cast<float>(random.below(100)) / 60.0f;
    if (random.below(3)) rate.shift = shift.data.get();
    if (!random.below(3)) return;
    const std::size_t num_kinds = 1 + random.below(3);
    const std::size_t hidden = 1 + random.below(14);
    for (const auto& [num_inputs, num_outputs] :
         {std::pair<std::size_t, std::size_t>{2, hidden}, {hidden, hidden}, {hidden, 1}}) {
      OffsetNetwork::Layer layer{num_inputs, num_outputs, {}, {}, {}};
      for (std::size_t i = 0; i < num_inputs * num_outputs; ++i)
        layer.weight.push_back(0.4f * uniform(random));
      for (std::size_t i = 0; i < num_outputs; ++i) layer.bias.push_back(0.2f * uniform(random));
      for (std::size_t kind = 0; kind < num_kinds; ++kind)
        layer.sums.push_back(random_sums(random, num_inputs, num_outputs));
      offset_layers.push_back(layer);
    }
    for (std::size_t c = 0; c < channels; ++c)
      kinds.push_back(static_cast<std::uint32_t>(random.below(num_kinds)));
    offsets = std::make_unique<OffsetNetwork>(offset_layers, kinds);
    rate.offsets = offsets.get();
  }

  float slow_offset(float scale, std::size_t channel) const {
    std::vector<float> values{scale, rate.gain};
    for (const OffsetNetwork::Layer& layer : offset_layers) {
      std::vector<float> outputs;
      for (std::size_t o = 0; o < layer.num_outputs; ++o) {
        const float total = sum_of(
            order_of(layer.sums[kinds[channel]], o), layer.bias[o],
            [&](std::size_t i) { return layer.weight[o * layer.num_inputs + i]; },
            [&](std::size_t i) { return values[i]; });
        outputs.push_back(&layer != &offset_layers.back() && total < 0.0f ? 0.0f : total);
      }
      values = outputs;
    }
    return values[0];
  }

  float decoded(float latent_value, float scale, float mean, std::size_t channel) const {
    const float symbol = std::nearbyint((latent_value - mean) * rate.gain);
    const float reciprocal = 1.0f / rate.gain;
    if (!rate.offsets || symbol == 0.0f) return symbol * reciprocal + mean;
    const float offset = slow_offset(std::max(scale * rate.gain, 0.11f), channel);
    return std::copysign(1.0f, symbol) * (std::fabs(symbol) - offset) * reciprocal + mean;
  }

  ConvolutionView convolution() const {
    return {weights[0].data.get(), biases[0].data.get(), channels, context, kernel};
  }
  ContextNetwork network() const { return ContextNetwork(convolution(), layers, sums); }
  ContextTask task(const ContextNetwork& network, ContextOrder order, Exact<float>& latent_hat) const {
    return {{network, items, height, width, given.data.get(), order, latent_hat.data.get(), rate},
            search,
            tables.prepared};
  }

  float latent_at(const Exact<float>& decoded, std::size_t item, std::size_t c, std::size_t row,
                  std::size_t column) const {
    const std::size_t pad = kernel / 2;
    const bool inside = row >= pad && column >= pad && column < width + pad;
    return inside ? decoded.data[((item * channels + c) * height + row - pad) * width + column - pad] : 0.0f;
  }

  float context_sum(const Exact<float>& decoded, std::size_t item, std::size_t h, std::size_t w,
                    std::size_t o) const {
    const auto weight = [&](std::size_t i) {
      return weights[0].data[(o * channels + i % channels) * kernel * kernel + i / channels];
    };
    const auto input = [&](std::size_t i) {
      const std::size_t tap = i / channels;
      return latent_at(decoded, item, i % channels, h + tap / kernel, w + tap % kernel);
    };
    if (!sums.empty()) return sum_of(order_of(sums[0], o), biases[0].data[o], weight, input);
    Sum sum{biases[0].data[o]};
    for (std::size_t i = 0; i < kernel * kernel / 2 * channels; ++i) {
      if (i % (kernel * channels) == 0) sum.close();
      sum.add(weight(i), input(i));
    }
    return sum.close();
  }

  float dense_sum(std::size_t which, const std::vector<float>& values, std::size_t o) const {
    const DenseView& layer = layers[which];
    const auto weight = [&](std::size_t i) { return layer.weight[o * layer.num_inputs + i]; };
    const auto input = [&](std::size_t i) { return values[i]; };
    if (!sums.empty()) return sum_of(order_of(sums[which + 1], o), layer.bias[o], weight, input);
    Sum sum{layer.bias[o]};
    for (std::size_t i = 0; i < layer.num_inputs; ++i) {
      if (which == 0 && i == params) sum.close();
      sum.add(weight(i), input(i));
    }
    return sum.close();
  }

  /// Scales and means at one position, given what was decoded before it.
  std::vector<float> slow(const Exact<float>& decoded, std::size_t item, std::size_t h, std::size_t w) const {
    std::vector<float> values(params + context);
    for (std::size_t i = 0; i < params; ++i)
      values[i] = given.data[((item * params + i) * height + h) * width + w];
    for (std::size_t o = 0; o < context; ++o) {
      values[params + o] = context_sum(decoded, item, h, w, o);
      if (rate.shift) values[params + o] += shift.data[o];
    }
    for (std::size_t i = 0; i < layers.size(); ++i) {
      std::vector<float> outputs(layers[i].num_outputs);
      for (std::size_t o = 0; o < outputs.size(); ++o) {
        const float total = dense_sum(i, values, o);
        outputs[o] = layers[i].activates && !(total > 0) ? total * layers[i].slope : total;
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
            wrong += decoded.data[at] != this->decoded(latent.data[at], values[c], values[channels + c], c);
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

/// What was predicted for given latents is what the definition says, in every kernel set.
void check_prediction(Random& random) {
  const Case at(random, 1 + random.below(3), 1 + random.below(4), 1 + random.below(9));
  const ContextNetwork network = at.network();
  const std::size_t num_places = at.height * at.width;
  for (const std::string& name : available_backends()) {
    CHECK(force_backend(name));
    Exact<float> distributions(2 * at.latent.size);
    const ContextPlace place{
        network, at.items, at.height, at.width, at.given.data.get(), ContextOrder::kRaster, nullptr, at.rate};
    context_predict(place, *active_kernels().context, at.latent.data.get(), distributions.data.get(),
                    1 + random.below(3));
    std::size_t wrong = 0;
    for (std::size_t item = 0; item < at.items; ++item)
      for (std::size_t i = 0; i < num_places; ++i) {
        const std::vector<float> values = at.slow(at.latent, item, i / at.width, i % at.width);
        for (std::size_t c = 0; c < values.size(); ++c)
          wrong += distributions.data[(item * values.size() + c) * num_places + i] != values[c];
      }
    CHECK(wrong == 0);
  }
  CHECK(force_backend(""));
}

/// Orders that are not quite right: refused, or as good as any other.
void check_bad_orders(Random& random) {
  for (int i = 0; i < 2000; ++i) {
    const std::size_t num_inputs = random.below(30);
    SumOrder order = random_order(random, num_inputs);
    for (std::size_t changes = random.below(3); changes > 0; --changes) {
      const std::size_t which = random.below(order.steps.size());
      SumStep& step = order.steps[which];
      const auto number = static_cast<std::uint32_t>(random.below(random.below(5) ? 8 : 1u << 31));
      switch (random.below(6)) {
        case 0:
          step.kind = static_cast<SumStep::Kind>(number);
          break;
        case 1:
          step.slot = number;
          break;
        case 2:
          step.value = number;
          break;
        case 3:
          order.steps.erase(order.steps.begin() + static_cast<std::ptrdiff_t>(which));
          break;
        case 4:
          order.steps.push_back(step);
          break;
        default:
          if (num_inputs > 0) order.inputs[random.below(num_inputs)] = number;
      }
      if (order.steps.empty()) break;
    }
    if (fault_of(order, num_inputs)) continue;
    for (const std::size_t num_early : {std::size_t{0}, num_inputs / 2, num_inputs}) {
      const SumPlan plan = plan_sums(order, num_early);
      CHECK(plan.early.inputs.size() + plan.late.inputs.size() == num_inputs);
      for (const SumPart* part : {&plan.early, &plan.late})
        for (const SumOp& op : part->ops)
          CHECK(op.target < part->num_slots && (op.source >= SumOp::kBias || op.source < part->num_slots));
    }
  }
}

void check_bad_latent(Random& random) {
  const float bad[] = {std::nanf(""), std::numeric_limits<float>::infinity(), -3e38f, 2147483648.0f};
  for (const float value : bad) {
    Case at(random, 2, 3, 4);
    at.rate = {};  // a small gain makes a symbol of 2^31
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
  for (int i = 0; i < 40; ++i) check_prediction(random);
  check_bad_orders(random);
  check_bad_latent(random);
  check_no_memory(random);
}

}  // namespace driver
