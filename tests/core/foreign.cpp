/// Reads cases as numbers in text and runs them through the core: what another processor makes of golden
/// streams and of integer networks. tests/run_foreign.py builds it, feeds it, and runs it under an emulator.
///
///     lanes|rans64 ours num_tables width CDF LENGTHS OFFSETS count INDEXES SYMBOLS num_bytes BYTES
///     network input_limit num_layers (num_inputs num_outputs stride low high (rows columns start_y start_x
///     WEIGHTS BIAS
///         MULTIPLIER NEGATIVE SHIFT)...)... height width num_thresholds INPUT THRESHOLDS OUTPUT COUNTS
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "backend.hpp"
#include "integer_network.hpp"
#include "lanes.hpp"
#include "rans64.hpp"

namespace {

using namespace scalecodec;

template <class T>
std::vector<T> numbers(std::size_t count) {
  std::vector<T> values(count);
  for (T& value : values) {
    long long number = 0;
    std::cin >> number;
    value = static_cast<T>(number);
  }
  return values;
}

std::size_t number() {
  return numbers<std::size_t>(1).front();
}

bool same(const std::vector<std::uint8_t>& wanted, const std::uint8_t* bytes, std::size_t num_bytes) {
  return wanted == std::vector<std::uint8_t>(bytes, bytes + num_bytes);
}

bool stream(bool is_lanes) {
  const bool ours = number() != 0;
  const std::size_t num_tables = number(), width = number();
  const auto cdf = numbers<std::int32_t>(num_tables * width), lengths = numbers<std::int32_t>(num_tables),
             offsets = numbers<std::int32_t>(num_tables);
  const std::size_t count = number();
  const auto indexes = numbers<std::int32_t>(count), symbols = numbers<std::int32_t>(count);
  const auto bytes = numbers<std::uint8_t>(number());
  CdfTable table;
  if (!table.build(cdf.data(), num_tables, width, lengths.data(), offsets.data()).ok()) return false;
  std::vector<std::int32_t> decoded(count);
  const IntegerSource from{symbols.data(), IntegerType::kInt32, count},
      which{indexes.data(), IntegerType::kInt32, count};
  const IntegerSink to{decoded.data(), IntegerType::kInt32, count};
  if (is_lanes) {
    LaneDecodeTask decode{bytes.data(), bytes.size(), which, to, {}};
    lanes_decode(&decode, 1, table.lanes(), *active_kernels().lanes, 1);
    LaneEncodeTask encode{from, which, {}, {}};
    lanes_encode(&encode, 1, table.lanes(), *active_kernels().lanes, 1);
    return decode.result.ok() && decoded == symbols && encode.result.ok() && (!ours || encode.out == bytes);
  }
  Rans64Decoder decoder;
  Rans64Encoder encoder;
  return decoder.start(bytes.data(), bytes.size()).ok() && decoder.decode(which, table, to).ok() &&
         decoder.finish().ok() && decoded == symbols && encoder.encode_reverse(from, which, table).ok() &&
         encoder.finish().ok() && same(bytes, encoder.bytes(), encoder.num_bytes());
}

struct Phase {
  std::size_t rows, columns;
  std::ptrdiff_t start_y, start_x;
  std::vector<std::int16_t> weights;
  std::vector<std::int64_t> bias;
  std::vector<std::int32_t> multiplier, negative, shift;
};

bool network() {
  const auto input_limit = static_cast<std::int32_t>(number());
  std::vector<LayerView> views(number());
  std::vector<std::vector<Phase>> phases;
  for (LayerView& view : views) {
    view.num_inputs = number();
    view.num_outputs = number();
    view.stride = number();
    view.low = numbers<std::int32_t>(1).front();
    view.high = numbers<std::int32_t>(1).front();
    auto& mine = phases.emplace_back();
    for (std::size_t i = 0; i < view.stride * view.stride; ++i) {
      Phase phase{number(), number(), 0, 0, {}, {}, {}, {}, {}};
      phase.start_y = numbers<std::ptrdiff_t>(1).front();
      phase.start_x = numbers<std::ptrdiff_t>(1).front();
      phase.weights = numbers<std::int16_t>(view.num_outputs * phase.rows * phase.columns * view.num_inputs);
      phase.bias = numbers<std::int64_t>(view.num_outputs);
      phase.multiplier = numbers<std::int32_t>(view.num_outputs);
      phase.negative = numbers<std::int32_t>(view.num_outputs);
      phase.shift = numbers<std::int32_t>(view.num_outputs);
      mine.push_back(std::move(phase));
    }
    for (const Phase& phase : mine)
      view.phases.push_back({phase.weights.data(), phase.rows, phase.columns, phase.start_y, phase.start_x,
                             phase.bias.data(), phase.multiplier.data(), phase.negative.data(),
                             phase.shift.data()});
  }
  const IntegerNetwork net(input_limit, views);
  const std::size_t height = number(), width = number(), num_thresholds = number();
  const auto input = numbers<std::int32_t>(views.front().num_inputs * height * width),
             thresholds = numbers<std::int32_t>(num_thresholds);
  if (!net.ok()) return false;
  const auto wanted = numbers<std::int32_t>(net.num_outputs() * net.stride() * height * net.stride() * width);
  const auto wanted_counts = numbers<std::uint8_t>(wanted.size());
  std::vector<std::int32_t> output(wanted.size());
  std::vector<std::uint8_t> counts(wanted.size());
  net.run(input.data(), height, width, active_kernels().integers, 2, output.data());
  active_kernels().integers.count(output.data(), output.size(), thresholds.data(), num_thresholds,
                                  counts.data());
  return output == wanted && counts == wanted_counts;
}

}  // namespace

int main() {
  std::string kind;
  int cases = 0, failures = 0;
  while (std::cin >> kind) {
    ++cases;
    const bool good = kind == "network" ? network() : stream(kind == "lanes");
    if (!good) {
      ++failures;
      std::printf("case %d (%s) failed\n", cases, kind.c_str());
    }
  }
  const std::uint16_t one = 1;
  const bool is_little = *reinterpret_cast<const std::uint8_t*>(&one) == 1;
  std::printf("%d cases, %d failed, %s-endian\n", cases, failures, is_little ? "little" : "big");
  return failures != 0 || cases == 0;
}
