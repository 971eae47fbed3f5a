/// The kernel of integer networks for AVX2.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "integer_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX2)

namespace scalecodec {

namespace {

constexpr std::size_t kBlocksAtOnce = 1;  // of two registers each: 12 sums of 16

template <std::size_t kBlocks, std::size_t kPositions>
struct Sums {
  __m256i values[kPositions][kBlocks][2];

  void clear() {
    for (auto& row : values)
      for (auto& block : row) block[0] = block[1] = _mm256_setzero_si256();
  }

  void add(const std::int16_t* weights, std::size_t block_stride, const std::int16_t* inputs,
           std::size_t position_stride) {
    for (std::size_t block = 0; block < kBlocks; ++block, weights += block_stride)
      for (int half = 0; half < 2; ++half) {
        const __m256i weight = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(weights) + half);
        for (std::size_t position = 0; position < kPositions; ++position) {
          std::int32_t pair;
          std::memcpy(&pair, inputs + position * position_stride, sizeof pair);
          __m256i& value = values[position][block][half];
          value = _mm256_add_epi32(value, _mm256_madd_epi16(_mm256_set1_epi32(pair), weight));
        }
      }
  }

  void spill(std::int64_t* to) const {
    for (const auto& row : values)
      for (const auto& block : row)
        for (const __m256i& value : block)
          for (int half = 0; half < 2; ++half, to += 4) {
            const __m128i part = half ? _mm256_extracti128_si256(value, 1) : _mm256_castsi256_si128(value);
            auto* at = reinterpret_cast<__m256i*>(to);
            _mm256_storeu_si256(at, _mm256_add_epi64(_mm256_loadu_si256(at), _mm256_cvtepi32_epi64(part)));
          }
  }
};

#include "integer_body.hpp"

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

const IntegerKernels kAvx2Integers = {run_tile, count_beyond};

}  // namespace scalecodec

#endif
