/// The kernel of integer networks in plain C++.
#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "integer_kernels.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kBlocksAtOnce = 1;  // one is enough for a compiler

template <std::size_t kBlocks, std::size_t kPositions>
struct Sums {
  std::int32_t values[kPositions][kBlocks][kIntegerLanes];

  void clear() { std::fill_n(&values[0][0][0], kPositions * kBlocks * kIntegerLanes, 0); }

  void add(const std::int16_t* weights, std::size_t block_stride, const std::int16_t* inputs,
           std::size_t position_stride) {
    for (std::size_t block = 0; block < kBlocks; ++block, weights += block_stride)
      for (std::size_t position = 0; position < kPositions; ++position) {
        const std::int32_t first = inputs[position * position_stride];
        const std::int32_t second = inputs[position * position_stride + 1];
        for (std::size_t lane = 0; lane < kIntegerLanes; ++lane)
          values[position][block][lane] += weights[2 * lane] * first + weights[2 * lane + 1] * second;
      }
  }

  void spill(std::int64_t* to) const {
    const std::int32_t* from = &values[0][0][0];
    for (std::size_t i = 0; i < kPositions * kBlocks * kIntegerLanes; ++i) to[i] += from[i];
  }
};

#include "integer_body.hpp"

}  // namespace

const IntegerKernels kScalarIntegers = {run_tile, count_beyond};

}  // namespace scalecodec
