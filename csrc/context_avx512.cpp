/// AVX-512 kernels of context networks: a register holds 16 outputs of one position.
#include "context_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

namespace scalecodec {

namespace {

template <int kVectors, int kPositions>
void run(const Tile& tile) {
  __m512 sums[kPositions][kVectors];
  const float* inputs[kPositions];
#pragma GCC unroll 8
  for (int p = 0; p < kPositions; ++p) {
    inputs[p] = tile.inputs[p];
    const float* start = tile.start ? tile.start : tile.outputs[p] + tile.first_output;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_loadu_ps(start + 16 * v);
  }
  const float *weights = tile.weights, *ahead = tile.ahead;
  const std::size_t stride = tile.stride, num_inputs = tile.num_inputs;
  for (std::size_t i = 0; i < num_inputs; ++i, weights += stride) {
    if constexpr (kPositions > 1) {  // alone, a position is faster than memory: nothing to hide
      _mm_prefetch(ahead + kAhead * i, _MM_HINT_T1);
      _mm_prefetch(ahead + kAhead * i + 16, _MM_HINT_T1);
    }
    __m512 row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) row[v] = _mm512_loadu_ps(weights + 16 * v);
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      const __m512 input = _mm512_set1_ps(inputs[p][i]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_fmadd_ps(row[v], input, sums[p][v]);
    }
  }
  const __m512 slope = _mm512_set1_ps(tile.slope);
#pragma GCC unroll 8
  for (int p = 0; p < kPositions; ++p) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      __m512 sum = sums[p][v];
      if (tile.activates)
        sum = _mm512_mask_mul_ps(sum, _mm512_cmp_ps_mask(sum, _mm512_setzero_ps(), _CMP_NGT_UQ), sum, slope);
      _mm512_storeu_ps(tile.outputs[p] + tile.first_output + 16 * v, sum);
    }
  }
}

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

#define SCALECODEC_ROW(v) {run<v, 1>, run<v, 2>, run<v, 3>, run<v, 4>, run<v, 5>, run<v, 6>}
const ContextKernels kAvx512Context{
    {SCALECODEC_ROW(1), SCALECODEC_ROW(2), SCALECODEC_ROW(3), SCALECODEC_ROW(4)}};

}  // namespace scalecodec

#endif
