/// What the AVX-512 kernels of the lane stream share: 32 lanes in one register of 16-bit halves.
///
/// READ ME FIRST. A decoder's states live as two registers, the high and the low 16 bits of all 32 lanes, so
/// that slots, thresholds, products and words need no widening. The first three cells of 64 tables are
/// thresholds in six registers: no memory is read for symbols mode, mode + 1 and mode - 1. The other lanes
/// are compressed, looked up with gathers, and expanded back. Two streams in turns hide each other's latency.
#pragma once

#include "lane_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <cstring>

// Functions only: lambdas do not inherit the region's target.
SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

#include "lane_turns.hpp"

namespace scalecodec {

void decode_avx512(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes);
void encode_avx512(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes);

namespace {

constexpr std::size_t kLanes = 32;

/// The low halves of 32 elements of 32 bits.
inline __m512i narrow(__m512i first, __m512i second) {
  const __m512i even = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30,
                                        28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_epi16(first, even, second);
}

/// What a block needs of 64 tables: three thresholds and the first cell of each.
struct Registers {
  __m512i low[4], high[4];

  explicit Registers(const std::uint16_t* from) {
    for (int i = 0; i < 4; ++i) {
      low[i] = _mm512_loadu_si512(from + i * kRegisterTables);
      high[i] = _mm512_loadu_si512(from + i * kRegisterTables + 32);
    }
  }
  __m512i of(int i, __m512i index) const { return _mm512_permutex2var_epi16(low[i], index, high[i]); }
};

inline __m512i low_half(__m512i v) {
  return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v));
}
inline __m512i high_half(__m512i v) {
  return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1));
}

/// Where `lanes`, from the lowest on, find field 0 of theirs in vectors of 8 times 64 bits.
inline __m512i places_of(__mmask32 lanes) {
  return _mm512_maskz_expand_epi16(
      lanes, _mm512_set_epi16(124, 120, 116, 112, 108, 104, 100, 96, 92, 88, 84, 80, 76, 72, 68, 64, 60, 56,
                              52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0));
}

/// Field `i` of results for `lanes`; places beyond 63 wrap round.
inline __m512i spread(__m512i old, __mmask32 lanes, __m512i places, int i, __m512i first, __m512i second) {
  const __m512i at = _mm512_add_epi16(places, _mm512_set1_epi16(static_cast<short>(i)));
  return _mm512_mask_mov_epi16(old, lanes, _mm512_permutex2var_epi16(first, at, second));
}

inline __m512i spread(__m512i old, __mmask32 lanes, __m512i places, int i, __m512i only) {
  return _mm512_mask_permutexvar_epi16(
      old, lanes, _mm512_add_epi16(places, _mm512_set1_epi16(static_cast<short>(i))), only);
}

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

#endif
