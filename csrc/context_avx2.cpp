/// AVX2 kernels of context networks: a register holds 8 outputs of one position, and 16 registers hold the
/// sums of so many outputs at a time that 12 are enough, or all 64 of a panel for one position.
#include "context_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX2_FMA)

namespace scalecodec {

namespace {

/// Registers of outputs, from output `first` of the tile on.
template <int kRegisters, int kPositions>
inline __attribute__((always_inline)) void add(const Tile& tile, std::size_t first) {
  const float* inputs[kPositions];
  float* outputs[kPositions];
#pragma GCC unroll 8
  for (int p = 0; p < kPositions; ++p) {
    inputs[p] = tile.inputs[p];
    outputs[p] = tile.outputs[p] + tile.first_output + first;
    if (tile.start)
      for (int r = 0; r < kRegisters; ++r)
        _mm256_storeu_ps(outputs[p] + 8 * r, _mm256_loadu_ps(tile.start + first + 8 * r));
  }
  const float* weights = tile.weights + first;
  const std::size_t stride = tile.stride, num_inputs = tile.num_inputs;
  for (std::size_t i = 0; i < num_inputs;) {
    __m256 sums[kPositions][kRegisters];
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r) sums[p][r] = _mm256_setzero_ps();
    }
    const std::size_t end = num_inputs - i < kChain ? num_inputs : i + kChain;
    for (; i < end; ++i, weights += stride) {
#pragma GCC unroll 8
      for (int p = 0; p < kPositions; ++p) {
        const __m256 input = _mm256_broadcast_ss(inputs[p] + i);
#pragma GCC unroll 8
        for (int r = 0; r < kRegisters; ++r)
          sums[p][r] = _mm256_fmadd_ps(_mm256_loadu_ps(weights + 8 * r), input, sums[p][r]);
      }
    }
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r) {
        float* out = outputs[p] + 8 * r;
        _mm256_storeu_ps(out, _mm256_add_ps(_mm256_loadu_ps(out), sums[p][r]));
      }
    }
  }
  if (!tile.activates) return;
  const __m256 slope = _mm256_set1_ps(tile.slope);
  for (int p = 0; p < kPositions; ++p)
    for (int r = 0; r < kRegisters; ++r) {
      const __m256 x = _mm256_loadu_ps(outputs[p] + 8 * r);
      const __m256 positive = _mm256_cmp_ps(x, _mm256_setzero_ps(), _CMP_GT_OQ);
      _mm256_storeu_ps(outputs[p] + 8 * r, _mm256_blendv_ps(_mm256_mul_ps(x, slope), x, positive));
    }
}

template <int kVectors, int kPositions>
void run(const Tile& tile) {
  constexpr int kAll = 2 * kVectors;
  constexpr int kAtOnce = kPositions == 1 ? kAll : kPositions <= 3 && kAll % 4 == 0 ? 4 : 2;
  for (int r = 0; r < kAll; r += kAtOnce) add<kAtOnce, kPositions>(tile, 8 * static_cast<std::size_t>(r));
}

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

#define SCALECODEC_ROW(v) {run<v, 1>, run<v, 2>, run<v, 3>, run<v, 4>, run<v, 5>, run<v, 6>}
const ContextKernels kAvx2Context{
    {SCALECODEC_ROW(1), SCALECODEC_ROW(2), SCALECODEC_ROW(3), SCALECODEC_ROW(4)}};

}  // namespace scalecodec

#endif
