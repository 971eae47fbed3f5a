/// AVX2 kernels of quantization: up to 63 thresholds in eight registers, chosen from by permutation.
///
/// The first three decisions pick one of 8 lanes, the same lane for all registers below: so the permutations
/// of the last three levels do not wait for one another, and blends by the decisions choose among their
/// results.
#include "quantize_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX2)

namespace scalecodec {

namespace {

constexpr std::size_t kWidth = 8;

__m128i low_half(__m256i v) {
  return _mm256_castsi256_si128(v);
}
__m128i high_half(__m256i v) {
  return _mm256_extracti128_si256(v, 1);
}

// Packing saturates: what is stored fits, or is looked at again.
__m128i pack_signed(__m256i v) {
  return _mm_packs_epi32(low_half(v), high_half(v));
}
void store_lanes(std::int32_t* to, __m256i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v);
}
void store_lanes(std::int16_t* to, __m256i v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), pack_signed(v));
}
void store_lanes(std::int8_t* to, __m256i v) {
  const __m128i words = pack_signed(v);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packs_epi16(words, words));
}
void store_lanes(std::uint16_t* to, __m256i v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), pack_signed(v));
}
void store_lanes(std::uint8_t* to, __m256i v) {
  const __m128i words = pack_signed(v);
  _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}

struct Tree {
  __m256 levels[8];  // levels 0 to 2, then 1, 2 and 4 registers of the three others
  __m256 bound;
  __m256i last;

  explicit Tree(const ScaleSearch& search)
      : bound(_mm256_set1_ps(search.bound)), last(_mm256_set1_epi32(static_cast<int>(search.last))) {
    for (int i = 0; i < 8; ++i) levels[i] = _mm256_load_ps(search.tree + 8 * i);
  }
};

/// All ones where the decision is for the upper half; for NaN it always is.
__m256 beyond(__m256 scale, __m256 threshold) {
  return _mm256_cmp_ps(scale, threshold, _CMP_NLE_UQ);
}

__m256i bit_of(__m256 decision, int bit) {
  return _mm256_and_si256(_mm256_castps_si256(decision), _mm256_set1_epi32(bit));
}

__m256 at(__m256 level, __m256i lane) {
  return _mm256_permutevar8x32_ps(level, lane);
}

__m256i or_all(__m256i a, __m256i b, __m256i c) {
  return _mm256_or_si256(_mm256_or_si256(a, b), c);
}

/// The index of 8 scales.
inline __attribute__((always_inline)) __m256i find(const Tree& tree, __m256 scaled) {
  const __m256 scale = _mm256_max_ps(tree.bound, scaled);  // in this order NaN stays
  const __m256* t = tree.levels;
  // The lane of a level's node is 2^level plus the path; permutations read three bits of it.
  const __m256 d0 = beyond(scale, at(t[0], _mm256_set1_epi32(1)));
  const __m256i p1 = bit_of(d0, 1);
  const __m256 d1 = beyond(scale, at(t[0], _mm256_or_si256(p1, _mm256_set1_epi32(2))));
  const __m256i p2 = _mm256_or_si256(p1, bit_of(d1, 2));
  const __m256 d2 = beyond(scale, at(t[0], _mm256_or_si256(p2, _mm256_set1_epi32(4))));
  const __m256i path = _mm256_or_si256(p2, bit_of(d2, 4));
  const __m256 d3 = beyond(scale, at(t[1], path));
  const __m256 d4 = beyond(scale, _mm256_blendv_ps(at(t[2], path), at(t[3], path), d3));
  const __m256 low = _mm256_blendv_ps(at(t[4], path), at(t[5], path), d3);
  const __m256 high = _mm256_blendv_ps(at(t[6], path), at(t[7], path), d3);
  const __m256 d5 = beyond(scale, _mm256_blendv_ps(low, high, d4));
  const __m256i index = _mm256_or_si256(or_all(bit_of(d0, 32), bit_of(d1, 16), bit_of(d2, 8)),
                                        or_all(bit_of(d3, 4), bit_of(d4, 2), bit_of(d5, 1)));
  return _mm256_min_epi32(index, tree.last);
}

template <class Index>
void build_indexes(const ScaleSearch& search, const float* scale, float gain, std::size_t count,
                   Index* indexes) {
  std::size_t i = 0;
  if (search.last <= kRegisterThresholds) {
    const Tree tree(search);
    const __m256 gains = _mm256_set1_ps(gain);
    for (; i + kWidth <= count; i += kWidth)
      store_lanes(indexes + i, find(tree, _mm256_mul_ps(_mm256_loadu_ps(scale + i), gains)));
  }
  scalar::build_indexes(search, scale + i, gain, count - i, indexes + i);
}

bool all_within(__m256i least, __m256i greatest, int low, int high) {
  const __m256i below = _mm256_cmpgt_epi32(_mm256_set1_epi32(low), least);
  const __m256i above = _mm256_cmpgt_epi32(greatest, _mm256_set1_epi32(high));
  const __m256i outside = _mm256_or_si256(below, above);
  return _mm256_testz_si256(outside, outside) != 0;
}

template <bool kHasMean, class Symbol>
bool quantize_about(const float* latent, const float* mean, float gain, std::size_t count, Symbol* symbols) {
  const __m256 gains = _mm256_set1_ps(gain);
  __m256i least = _mm256_setzero_si256(), greatest = least;
  std::size_t i = 0;
  for (; i + kWidth <= count; i += kWidth) {
    __m256 value = _mm256_loadu_ps(latent + i);
    if (kHasMean) value = _mm256_sub_ps(value, _mm256_loadu_ps(mean + i));
    const __m256i rounded = _mm256_cvtps_epi32(_mm256_mul_ps(value, gains));  // half to even
    least = _mm256_min_epi32(least, rounded);
    greatest = _mm256_max_epi32(greatest, rounded);
    store_lanes(symbols + i, rounded);
  }
  const bool rest = scalar::quantize(latent + i, kHasMean ? mean + i : nullptr, gain, count - i, symbols + i);
  return all_within(least, greatest, kLowestSure<Symbol>, kHighestSure<Symbol>) && rest;
}

template <class Symbol>
bool quantize(const float* latent, const float* mean, float gain, std::size_t count, Symbol* symbols) {
  return mean ? quantize_about<true>(latent, mean, gain, count, symbols)
              : quantize_about<false>(latent, mean, gain, count, symbols);
}

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

const IndexKernels kAvx2Indexes{build_indexes<std::uint8_t>, build_indexes<std::uint16_t>,
                                build_indexes<std::int32_t>};
const SymbolKernels kAvx2Symbols{quantize<std::int8_t>, quantize<std::int16_t>, quantize<std::int32_t>};

}  // namespace scalecodec

#endif
