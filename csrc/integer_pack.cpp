/// Convolution networks in integers: packing for the kernels, and the proof that nothing can overflow.
#include <algorithm>
#include <cstdlib>
#include <limits>

#include "integer_network.hpp"

namespace scalecodec {

namespace {

constexpr std::int64_t kInt32Max = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kInt64Max = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kMultiplierMax = 1 << 16;
constexpr std::int64_t kBiasMax = std::int64_t{1} << 46;
constexpr std::int32_t kShiftMax = 62;
constexpr std::size_t kStrideMax = 64;  // of a layer, and of all together

/// The most pairs side by side whose products add up within int32 for every output. Two products always do,
/// at 2 * 2^15 * (2^15 - 1).
std::size_t longest_group(const std::vector<std::int64_t>& pair_sums, std::size_t num_outputs,
                          std::size_t num_rows, std::size_t num_pairs, std::int64_t limit) {
  const auto holds = [&](std::size_t group, std::size_t run) {  // in runs that begin anew
    for (std::size_t output = 0; output < num_outputs; ++output)
      for (std::size_t start = 0; start < num_rows * num_pairs; start += run)
        for (std::size_t first = start; first < start + run; first += group) {
          std::int64_t sum = 0;
          for (std::size_t i = first; i < std::min(first + group, start + run); ++i)
            sum += pair_sums[output * num_rows * num_pairs + i];
          if (sum * limit > kInt32Max) return false;
        }
    return true;
  };
  if (holds(num_rows * num_pairs, num_rows * num_pairs)) return num_rows * num_pairs;
  std::size_t group = num_pairs;
  while (group > 1 && !holds(group, num_pairs)) group /= 2;
  return std::min(group, num_rows * num_pairs - 1);
}

/// Into [block][row][pair][lane][2], and the size of each output's pairs.
void pack_weights(const PhaseView& from, std::size_t num_inputs, std::size_t num_outputs,
                  std::size_t num_pairs, std::vector<std::int16_t>& weights,
                  std::vector<std::int64_t>& pair_sums) {
  const std::size_t num_columns = from.num_columns * num_inputs, row_pairs = num_pairs / from.num_rows;
  weights.resize(padded_outputs(num_outputs) * num_pairs * 2);
  pair_sums.resize(num_outputs * num_pairs);
  for (std::size_t output = 0; output < num_outputs; ++output)
    for (std::size_t row = 0; row < from.num_rows; ++row)
      for (std::size_t column = 0; column < num_columns; ++column) {
        const std::int16_t weight = from.weights[(output * from.num_rows + row) * num_columns + column];
        const std::size_t pair = row * row_pairs + column / 2;
        const std::size_t at = output / kIntegerLanes * num_pairs + pair;
        weights[(at * kIntegerLanes + output % kIntegerLanes) * 2 + column % 2] = weight;
        pair_sums[output * num_pairs + pair] += std::abs(std::int64_t{weight});
      }
}

/// How far a layer's inputs are looked at beyond the picture's edges.
std::size_t reach(std::ptrdiff_t beyond, std::size_t before) {
  return std::max(before, static_cast<std::size_t>(std::max<std::ptrdiff_t>(0, beyond)));
}

}  // namespace

IntegerNetwork::IntegerNetwork(std::int32_t input_limit, const std::vector<LayerView>& layers)
    : input_limit_(input_limit) {
  if (input_limit < 1 || input_limit > std::numeric_limits<std::int16_t>::max())
    why_ = "inputs must fit int16";
  if (layers.empty()) why_ = "there must be at least one layer";
  std::int64_t limit = input_limit;
  for (std::size_t i = 0; i < layers.size() && ok(); ++i) {
    const LayerView& view = layers[i];
    if (i > 0 && view.num_inputs != layers[i - 1].num_outputs)
      why_ = "takes other channels than the layer before it gives";
    else if (view.low > view.high || (i + 1 < layers.size() && (view.low < -32767 || view.high > 32767)))
      why_ = "must clamp to what int16 holds";
    else
      why_ = pack(view, limit);
    limit = std::max(std::abs(std::int64_t{view.low}), std::abs(std::int64_t{view.high}));
    if (ok() && stride() > kStrideMax) why_ = "makes outputs more than 64 times as dense as inputs";
    if (!ok()) why_ = "layer " + std::to_string(i) + " " + why_;
  }
}

std::string IntegerNetwork::pack(const LayerView& view, std::int64_t input_limit) {
  Layer layer{view.num_inputs, view.num_outputs, view.stride, view.low, view.high, 0, 0, 0, 0, 1, {}};
  if (!view.num_inputs || !view.num_outputs || !view.stride || view.stride > kStrideMax ||
      view.phases.size() != view.stride * view.stride)
    return "must have inputs, outputs and stride * stride phases";
  for (const PhaseView& from : view.phases) {
    const std::size_t num_pairs = (from.num_columns * view.num_inputs + 1) / 2;
    Phase phase{from.num_rows, num_pairs, 0, from.start_y, from.start_x, {}, {}, {}, {}, {}, {}};
    std::vector<std::int64_t> pair_sums;
    pack_weights(from, view.num_inputs, view.num_outputs, from.num_rows * num_pairs, phase.weights,
                 pair_sums);
    const std::string wrong = prove(from, view.num_outputs, input_limit, pair_sums, phase, layer.sum_bits);
    if (!wrong.empty()) return wrong;
    phase.group = longest_group(pair_sums, view.num_outputs, from.num_rows, num_pairs, input_limit);
    layer.top = reach(-from.start_y, layer.top);
    layer.left = reach(-from.start_x, layer.left);
    layer.bottom = reach(from.start_y + static_cast<std::ptrdiff_t>(from.num_rows) - 1, layer.bottom);
    layer.right = reach(from.start_x + static_cast<std::ptrdiff_t>(from.num_columns) - 1, layer.right);
    layer.phases.push_back(std::move(phase));
  }
  layers_.push_back(std::move(layer));
  return {};
}

/// Output by output: the largest sum times the multiplier, and the half, fit int64.
std::string IntegerNetwork::prove(const PhaseView& from, std::size_t num_outputs, std::int64_t input_limit,
                                  const std::vector<std::int64_t>& pair_sums, Phase& phase, int& sum_bits) {
  const std::size_t num_pairs = pair_sums.size() / num_outputs;
  for (std::size_t output = 0; output < num_outputs; ++output) {
    const std::int64_t bias = from.bias[output], shift = from.shift[output];
    const std::int64_t multiplier = from.multiplier[output], negative = from.negative[output];
    if (shift < 0 || shift > kShiftMax || multiplier < 0 || multiplier > kMultiplierMax || negative < 0 ||
        negative > kMultiplierMax || bias < -kBiasMax || bias > kBiasMax)
      return "has a bias, multiplier or shift out of range at output " + std::to_string(output);
    std::int64_t most = std::abs(bias);
    for (std::size_t pair = 0; pair < num_pairs; ++pair)
      most += pair_sums[output * num_pairs + pair] * input_limit;
    const std::int64_t half = shift ? std::int64_t{1} << (shift - 1) : 0;
    if (most > (kInt64Max - half) / std::max<std::int64_t>(1, std::max(multiplier, negative)))
      return "could overflow at output " + std::to_string(output);
    while (most >> (sum_bits - 1)) ++sum_bits;
    phase.bias.push_back(bias);
    phase.multiplier.push_back(multiplier);
    phase.negative.push_back(negative);
    phase.half.push_back(half);
    phase.shift.push_back(shift);
  }
  for (auto* values : {&phase.bias, &phase.multiplier, &phase.negative, &phase.half, &phase.shift})
    values->resize(padded_outputs(num_outputs));
  return {};
}

}  // namespace scalecodec
