/// Convolution networks in integers: the walk over a picture.
#include "integer_network.hpp"

#include <algorithm>

#include "pool.hpp"

namespace scalecodec {

/// Inputs of a layer, [y][x][channel], in a frame of zeros.
struct IntegerNetwork::Plane {
  std::size_t height, width, channels, top, left, row_stride;
  std::vector<std::int16_t> values;

  Plane(const Layer& layer, std::size_t rows, std::size_t columns)
      : height(rows),
        width(columns),
        channels(layer.num_inputs),
        top(layer.top),
        left(layer.left),
        row_stride((columns + layer.left + layer.right) * layer.num_inputs),
        // One beyond the end: a pair may reach there, with weight 0.
        values((rows + layer.top + layer.bottom) * row_stride + 1) {}

  const std::int16_t* at(std::ptrdiff_t y, std::ptrdiff_t x) const { return values.data() + place(y, x); }
  std::int16_t* at(std::size_t y, std::size_t x) {
    return values.data() + place(static_cast<std::ptrdiff_t>(y), static_cast<std::ptrdiff_t>(x));
  }

 private:
  std::size_t place(std::ptrdiff_t y, std::ptrdiff_t x) const {
    const auto row = static_cast<std::size_t>(y + static_cast<std::ptrdiff_t>(top));
    const auto column = static_cast<std::size_t>(x + static_cast<std::ptrdiff_t>(left));
    return row * row_stride + column * channels;
  }
};

Rescale IntegerNetwork::Phase::rescale(std::size_t first, std::int32_t low, std::int32_t high) const {
  return {&bias[first], &multiplier[first], &negative[first], &half[first], &shift[first], low, high};
}

std::size_t IntegerNetwork::stride() const {
  std::size_t stride = 1;
  for (const Layer& layer : layers_) stride *= layer.stride;
  return stride;
}

std::vector<int> IntegerNetwork::sum_bits() const {
  std::vector<int> bits;
  for (const Layer& layer : layers_) bits.push_back(layer.sum_bits);
  return bits;
}

/// One row of one phase, into the next layer's plane, or where there is none into the output.
void IntegerNetwork::run_row(const Layer& layer, const Plane& from, std::size_t task,
                             const IntegerKernels& kernels, Plane* to, std::int32_t* output) const {
  const std::size_t place = task % layer.phases.size(), y = task / layer.phases.size();
  const Phase& phase = layer.phases[place];
  const std::size_t out_y = y * layer.stride + place / layer.stride, shift_x = place % layer.stride;
  const std::size_t out_width = from.width * layer.stride, out_size = from.height * layer.stride * out_width;
  const std::size_t num_blocks = padded_outputs(layer.num_outputs) / kIntegerLanes;
  const std::size_t block_stride = phase.num_rows * phase.num_pairs * kIntegerLanes * 2;
  std::int32_t values[kIntegerTile];
  for (std::size_t block = 0; block < num_blocks; block += kIntegerBlocks) {
    const std::size_t first = block * kIntegerLanes;
    const std::size_t tile_blocks = std::min(kIntegerBlocks, num_blocks - block);
    const std::size_t count = std::min(tile_blocks * kIntegerLanes, layer.num_outputs - first);
    for (std::size_t x = 0; x < from.width; x += kIntegerPositions) {
      const std::size_t num_positions = std::min(kIntegerPositions, from.width - x);
      kernels.tile({from.at(static_cast<std::ptrdiff_t>(y) + phase.start_y,
                            static_cast<std::ptrdiff_t>(x) + phase.start_x),
                    num_positions, from.channels, phase.num_rows, from.row_stride, phase.num_pairs,
                    phase.weights.data() + block * block_stride, tile_blocks, block_stride, phase.group,
                    phase.rescale(first, layer.low, layer.high)},
                   values);
      for (std::size_t position = 0; position < num_positions; ++position) {
        const std::int32_t* value = values + position * tile_blocks * kIntegerLanes;
        const std::size_t out_x = (x + position) * layer.stride + shift_x;
        if (to) {
          std::int16_t* at = to->at(out_y, out_x);
          for (std::size_t i = 0; i < count; ++i) at[first + i] = static_cast<std::int16_t>(value[i]);
        } else {
          for (std::size_t i = 0; i < count; ++i)
            output[(first + i) * out_size + out_y * out_width + out_x] = value[i];
        }
      }
    }
  }
}

void IntegerNetwork::run(const std::int32_t* input, std::size_t height, std::size_t width,
                         const IntegerKernels& kernels, std::size_t num_threads, std::int32_t* output) const {
  Plane plane(layers_.front(), height, width);
  for (std::size_t y = 0; y < height; ++y)
    for (std::size_t x = 0; x < width; ++x) {
      std::int16_t* at = plane.at(y, x);
      for (std::size_t channel = 0; channel < plane.channels; ++channel)
        at[channel] = static_cast<std::int16_t>(
            std::clamp(input[(channel * height + y) * width + x], -input_limit_, input_limit_));
    }
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const Layer& layer = layers_[i];
    const bool last = i + 1 == layers_.size();
    Plane next = last ? Plane(layer, 0, 0)
                      : Plane(layers_[i + 1], plane.height * layer.stride, plane.width * layer.stride);
    run_parallel(plane.height * layer.phases.size(), num_threads, [&](std::size_t task) {
      run_row(layer, plane, task, kernels, last ? nullptr : &next, output);
    });
    plane = std::move(next);
  }
}

}  // namespace scalecodec
