/// AVX-512 kernels of context networks: a register holds 16 outputs of one position.
#include "context_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

namespace scalecodec {

namespace {

/// One segment onto the sums; moves `weights` and `ahead` past it.
template <bool kFused, int kVectors, int kPositions>
inline __attribute__((always_inline)) void take(__m512 (&sums)[kPositions][kVectors], const Tile& tile,
                                                const Segment& segment, const float*& weights,
                                                const float*& ahead) {
  const float* inputs[kPositions];
#pragma GCC unroll 8
  for (int p = 0; p < kPositions; ++p) inputs[p] = tile.inputs[p] + segment.offset;
  const std::size_t stride = tile.stride, count = segment.count;
  for (std::size_t i = 0; i < count; ++i, weights += stride) {
    if constexpr (kPositions > 1) {  // alone, a position is faster than memory: nothing to hide
      _mm_prefetch(ahead, _MM_HINT_T1);
      _mm_prefetch(ahead + 16, _MM_HINT_T1);
      ahead += kAhead;
    }
    __m512 row[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) row[v] = _mm512_loadu_ps(weights + 16 * v);
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      const __m512 input = _mm512_set1_ps(inputs[p][i]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sums[p][v] = kFused ? _mm512_fmadd_ps(row[v], input, sums[p][v])
                            : _mm512_add_ps(sums[p][v], _mm512_mul_ps(row[v], input));
    }
  }
}

template <int kVectors, int kPositions>
void run(const Tile& tile) {
  const float *weights = tile.weights, *ahead = tile.ahead;
  const Segment* segment = tile.program->segments.data();
  for (const TileOp& op : tile.program->ops) {
    __m512 sums[kPositions][kVectors];
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      const float* source = tile.source(op, static_cast<std::size_t>(p));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        sums[p][v] = source ? _mm512_loadu_ps(source + 16 * v) : _mm512_setzero_ps();
    }
    const Segment* end = segment + op.num_segments;
    if (op.fused)
      for (; segment != end; ++segment) take<true>(sums, tile, *segment, weights, ahead);
    else
      for (; segment != end; ++segment) take<false>(sums, tile, *segment, weights, ahead);
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      float* target = tile.slot(op.target, static_cast<std::size_t>(p));
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v)
        _mm512_storeu_ps(target + 16 * v,
                         op.adds ? _mm512_add_ps(_mm512_loadu_ps(target + 16 * v), sums[p][v]) : sums[p][v]);
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
