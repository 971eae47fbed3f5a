/// The kernel of integer networks for AVX-512: a pair of products and their sum in one VNNI instruction.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "integer_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

namespace scalecodec {

namespace {

constexpr std::size_t kBlocksAtOnce = 4;

template <std::size_t kBlocks, std::size_t kPositions>
struct Sums {
  __m512i values[kPositions][kBlocks];

  void clear() {
    for (auto& row : values)
      for (__m512i& value : row) value = _mm512_setzero_si512();
  }

  void add(const std::int16_t* weights, std::size_t block_stride, const std::int16_t* inputs,
           std::size_t position_stride) {
    __m512i weight[kBlocks];
    for (std::size_t block = 0; block < kBlocks; ++block)
      weight[block] = _mm512_loadu_si512(weights + block * block_stride);
    for (std::size_t position = 0; position < kPositions; ++position) {
      std::int32_t pair;
      std::memcpy(&pair, inputs + position * position_stride, sizeof pair);
      const __m512i input = _mm512_set1_epi32(pair);
      for (std::size_t block = 0; block < kBlocks; ++block)
        values[position][block] = _mm512_dpwssd_epi32(values[position][block], input, weight[block]);
    }
  }

  void spill(std::int64_t* to) const {
    for (const auto& row : values)
      for (const __m512i& value : row)
        for (int half = 0; half < 2; ++half, to += 8) {
          const __m256i part = half ? _mm512_extracti64x4_epi64(value, 1) : _mm512_castsi512_si256(value);
          _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_loadu_si512(to), _mm512_cvtepi32_epi64(part)));
        }
  }
};

#include "integer_body.hpp"

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

const IntegerKernels kAvx512Integers = {run_tile, count_beyond};

}  // namespace scalecodec

#endif
