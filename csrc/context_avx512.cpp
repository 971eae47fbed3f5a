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
  const float* inputs[kPositions];
  float* outputs[kPositions];
#pragma GCC unroll 8
  for (int p = 0; p < kPositions; ++p) {
    inputs[p] = tile.inputs[p];
    outputs[p] = tile.outputs[p] + tile.first_output;
    if (tile.start)
      for (int v = 0; v < kVectors; ++v)
        _mm512_storeu_ps(outputs[p] + 16 * v, _mm512_loadu_ps(tile.start + 16 * v));
  }
  const float *weights = tile.weights, *ahead = tile.ahead;
  const std::size_t stride = tile.stride, num_inputs = tile.num_inputs;
  for (std::size_t i = 0; i < num_inputs;) {
    __m512 sums[kPositions][kVectors];
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[p][v] = _mm512_setzero_ps();
    }
    const std::size_t end = num_inputs - i < kChain ? num_inputs : i + kChain;
    for (; i < end; ++i, weights += stride) {
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
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        float* out = outputs[p] + 16 * v;
        _mm512_storeu_ps(out, _mm512_add_ps(_mm512_loadu_ps(out), sums[p][v]));
      }
    }
  }
  if (!tile.activates) return;
  const __m512 slope = _mm512_set1_ps(tile.slope);
  for (int p = 0; p < kPositions; ++p)
    for (int v = 0; v < kVectors; ++v) {
      const __m512 x = _mm512_loadu_ps(outputs[p] + 16 * v);
      const __mmask16 slopes = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_NGT_UQ);
      _mm512_storeu_ps(outputs[p] + 16 * v, _mm512_mask_mul_ps(x, slopes, x, slope));
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
