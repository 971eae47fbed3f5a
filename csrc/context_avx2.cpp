/// AVX2 kernels of context networks: a register holds 8 outputs of one position, and 16 registers hold the
/// sums of so many outputs at a time that 12 are enough, or all 64 of a panel for one position.
#include "context_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX2_FMA)

namespace scalecodec {

namespace {

/// One segment onto the sums of registers from output `first` of the tile on; moves `weights` past it.
template <bool kFused, int kRegisters, int kPositions>
inline __attribute__((always_inline)) void take(__m256 (&sums)[kPositions][kRegisters], const Tile& tile,
                                                const Segment& segment, const float*& weights) {
  const float* inputs[kPositions];
#pragma GCC unroll 8
  for (int p = 0; p < kPositions; ++p) inputs[p] = tile.inputs[p] + segment.offset;
  const std::size_t stride = tile.stride, count = segment.count;
  for (std::size_t i = 0; i < count; ++i, weights += stride) {
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      const __m256 input = _mm256_broadcast_ss(inputs[p] + i);
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r) {
        const __m256 weight = _mm256_loadu_ps(weights + 8 * r);
        sums[p][r] = kFused ? _mm256_fmadd_ps(weight, input, sums[p][r])
                            : _mm256_add_ps(sums[p][r], _mm256_mul_ps(weight, input));
      }
    }
  }
}

template <int kRegisters, int kPositions>
inline __attribute__((always_inline)) void run_registers(const Tile& tile, std::size_t first) {
  const float* weights = tile.weights + first;
  const Segment* segment = tile.program->segments.data();
  for (const TileOp& op : tile.program->ops) {
    __m256 sums[kPositions][kRegisters];
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      const float* source = tile.source(op, static_cast<std::size_t>(p));
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r)
        sums[p][r] = source ? _mm256_loadu_ps(source + first + 8 * r) : _mm256_setzero_ps();
    }
    const Segment* end = segment + op.num_segments;
    if (op.fused)
      for (; segment != end; ++segment) take<true>(sums, tile, *segment, weights);
    else
      for (; segment != end; ++segment) take<false>(sums, tile, *segment, weights);
#pragma GCC unroll 8
    for (int p = 0; p < kPositions; ++p) {
      float* target = tile.slot(op.target, static_cast<std::size_t>(p)) + first;
#pragma GCC unroll 8
      for (int r = 0; r < kRegisters; ++r)
        _mm256_storeu_ps(target + 8 * r,
                         op.adds ? _mm256_add_ps(_mm256_loadu_ps(target + 8 * r), sums[p][r]) : sums[p][r]);
    }
  }
}

template <int kVectors, int kPositions>
void run(const Tile& tile) {
  constexpr int kAll = 2 * kVectors;
  constexpr int kAtOnce = kPositions == 1 ? kAll : kPositions <= 3 && kAll % 4 == 0 ? 4 : 2;
  for (int r = 0; r < kAll; r += kAtOnce)
    run_registers<kAtOnce, kPositions>(tile, 8 * static_cast<std::size_t>(r));
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
