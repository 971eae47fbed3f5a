/// Driver, part 7: every kernel set's integer networks against the definition, in blocks of exactly their
/// size.
#include <algorithm>
#include <new>
#include <vector>

#include "backend.hpp"
#include "driver.hpp"
#include "integer_network.hpp"

namespace driver {

namespace {

/// A layer's arrays.
struct Layer {
  std::size_t num_inputs, num_outputs, stride, rows, columns;
  std::ptrdiff_t start_y, start_x;
  std::int32_t low, high;
  std::vector<std::vector<std::int16_t>> weights;  // a phase each
  std::vector<std::int64_t> bias;
  std::vector<std::int32_t> multiplier, negative, shift;

  Layer(Random& random, std::size_t inputs, bool last)
      : num_inputs(inputs),
        num_outputs(1 + random.below(70)),
        stride(1 + random.below(3)),
        rows(1 + random.below(4)),
        columns(1 + random.below(4)),
        start_y(static_cast<std::ptrdiff_t>(random.below(rows + 3)) - static_cast<std::ptrdiff_t>(rows)),
        start_x(static_cast<std::ptrdiff_t>(random.below(columns + 3)) -
                static_cast<std::ptrdiff_t>(columns)),
        low(last ? -(1 << 30) : -32767),
        high(last ? 1 << 30 : 32767),
        weights(stride * stride),
        bias(num_outputs),
        multiplier(num_outputs),
        negative(num_outputs),
        shift(num_outputs) {
    const int bits = static_cast<int>(8 + random.below(9));
    const auto most = std::int64_t{1} << (bits - 1);
    for (auto& phase : weights) {
      phase.resize(num_outputs * rows * columns * num_inputs);
      for (std::int16_t& weight : phase)
        weight = static_cast<std::int16_t>(
            static_cast<std::int64_t>(random.below(static_cast<std::uint64_t>(2 * most - 1))) - most + 1);
    }
    for (std::size_t i = 0; i < num_outputs; ++i) {
      bias[i] = static_cast<std::int64_t>(random.spread(24)) - (1 << 20);
      multiplier[i] = static_cast<std::int32_t>(random.below(1 << 15));
      negative[i] = random.below(2) ? multiplier[i] : 0;
      shift[i] = static_cast<std::int32_t>(random.below(static_cast<std::uint64_t>(bits) + 16));
    }
  }

  LayerView view() const {
    LayerView view{num_inputs, num_outputs, stride, low, high, {}};
    for (const auto& phase : weights)
      view.phases.push_back({phase.data(), rows, columns, start_y, start_x, bias.data(), multiplier.data(),
                             negative.data(), shift.data()});
    return view;
  }

  /// The definition, output by output.
  std::vector<std::int32_t> run(const std::vector<std::int32_t>& x, std::size_t height,
                                std::size_t width) const {
    std::vector<std::int32_t> out(num_outputs * stride * height * stride * width);
    for (std::size_t at = 0; at < out.size(); ++at) {
      const std::size_t output = at / (stride * height * stride * width);
      const std::size_t out_y = at / (stride * width) % (stride * height), out_x = at % (stride * width);
      const auto& phase = weights[out_y % stride * stride + out_x % stride];
      std::int64_t sum = bias[output];
      for (std::size_t row = 0; row < rows; ++row)
        for (std::size_t column = 0; column < columns; ++column) {
          const auto y = static_cast<std::ptrdiff_t>(out_y / stride + row) + start_y;
          const auto from = static_cast<std::ptrdiff_t>(out_x / stride + column) + start_x;
          if (y < 0 || from < 0 || y >= static_cast<std::ptrdiff_t>(height) ||
              from >= static_cast<std::ptrdiff_t>(width))
            continue;
          for (std::size_t i = 0; i < num_inputs; ++i)
            sum += std::int64_t{phase[((output * rows + row) * columns + column) * num_inputs + i]} *
                   x[(i * height + static_cast<std::size_t>(y)) * width + static_cast<std::size_t>(from)];
        }
      const std::int64_t half = shift[output] ? std::int64_t{1} << (shift[output] - 1) : 0;
      const std::int64_t value = (sum * (sum < 0 ? negative : multiplier)[output] + half) >> shift[output];
      out[at] = static_cast<std::int32_t>(std::min<std::int64_t>(std::max<std::int64_t>(value, low), high));
    }
    return out;
  }
};

void compare(Random& random) {
  const std::size_t height = 1 + random.below(6), width = 1 + random.below(15);
  const auto limit = static_cast<std::int32_t>(1 + random.below(32767));
  std::vector<Layer> layers;
  const std::size_t num_layers = 1 + random.below(2);
  for (std::size_t i = 0; i < num_layers; ++i)
    layers.emplace_back(random, i ? layers.back().num_outputs : 1 + random.below(40), i + 1 == num_layers);
  std::vector<LayerView> views;
  for (const Layer& layer : layers) views.push_back(layer.view());
  const IntegerNetwork network(limit, views);
  if (!CHECK(network.ok())) return;

  std::vector<std::int32_t> values(layers.front().num_inputs * height * width);
  for (std::int32_t& value : values) value = static_cast<std::int32_t>(random.bits());
  const Exact<std::int32_t> input(values.data(), values.size());
  for (std::int32_t& value : values) value = std::clamp(value, -limit, limit);
  std::size_t rows = height, columns = width;
  for (const Layer& layer : layers) {
    values = layer.run(values, rows, columns);
    rows *= layer.stride;
    columns *= layer.stride;
  }
  Exact<std::int32_t> output(values.size());
  for (const std::string& name : available_backends()) {
    force_backend(name);
    for (const std::size_t threads : {1, 3}) {
      network.run(input.data.get(), height, width, active_kernels().integers, threads, output.data.get());
      CHECK(std::equal(values.begin(), values.end(), output.data.get()));
    }
    const Exact<std::int32_t> thresholds(values.data(),
                                         std::min<std::size_t>(values.size(), random.below(256)));
    Exact<std::uint8_t> counts(values.size());
    active_kernels().integers.count(output.data.get(), output.size, thresholds.data.get(), thresholds.size,
                                    counts.data.get());
    const std::size_t at = random.below(values.size());
    CHECK(counts.data[at] == std::count_if(thresholds.data.get(), thresholds.data.get() + thresholds.size,
                                           [&](std::int32_t threshold) { return values[at] > threshold; }));
  }
  force_backend("");
}

void fail_allocations(Random& random) {
  const Layer layer(random, 5, true);
  const Exact<std::int32_t> input(5 * 4 * 4);
  Exact<std::int32_t> output(layer.num_outputs * layer.stride * layer.stride * 16);
  int failures = 0;
  for (int number = 1; number < 40; ++number) {
    allocations_until_failure = number;
    try {
      IntegerNetwork(9, {layer.view()})
          .run(input.data.get(), 4, 4, active_kernels().integers, 1, output.data.get());
    } catch (const std::bad_alloc&) {
      ++failures;
    }
    allocations_until_failure = 0;
  }
  CHECK(failures > 5);
}

}  // namespace

void test_integer(Random& random) {
  for (int i = 0; i < 60; ++i) compare(random);
  fail_allocations(random);
}

}  // namespace driver
