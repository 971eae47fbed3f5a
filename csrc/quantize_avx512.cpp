/// AVX-512 kernels of quantization: a binary search of six permutations among up to 63 thresholds, all in
/// registers. Latents are rounded by the AVX2 set: wider registers only wait longer for memory.
#include "quantize_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

namespace scalecodec {

namespace {

constexpr std::size_t kWidth = 16;

void store_lanes(std::int32_t* to, __m512i v) {
  _mm512_storeu_si512(to, v);
}
void store_lanes(std::uint16_t* to, __m512i v) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(v));
}
void store_lanes(std::uint8_t* to, __m512i v) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(v));
}

/// One register a level, from its first node on; a path reaches no node beyond its level. The last level
/// takes two.
struct Tree {
  __m512 levels[5], deepest[2];
  __m512 bound;
  __m512i index_of_path;

  explicit Tree(const ScaleSearch& search)
      : bound(_mm512_set1_ps(search.bound)), index_of_path(_mm512_load_si512(search.index_of_path)) {
    for (int level = 0; level < 5; ++level) levels[level] = _mm512_loadu_ps(search.tree + (1 << level));
    for (int i = 0; i < 2; ++i) deepest[i] = _mm512_load_ps(search.tree + 32 + 16 * i);
  }
};

/// The path with the decision of its level, as its bit: towards the upper half, as NaN always goes.
template <int kLevel>
inline __attribute__((always_inline)) __m512i decide(__m512i path, __m512 scale, __m512 threshold) {
  const __mmask16 beyond = _mm512_cmp_ps_mask(scale, threshold, _CMP_NLE_UQ);
  return _mm512_mask_or_epi32(path, beyond, path, _mm512_set1_epi32(1 << kLevel));
}

/// The index of 16 scales.
inline __attribute__((always_inline)) __m512i find(const Tree& tree, __m512 scaled) {
  const __m512 scale = _mm512_max_ps(tree.bound, scaled);  // in this order NaN stays
  __m512i path =
      decide<0>(_mm512_setzero_si512(), scale, _mm512_permutexvar_ps(_mm512_setzero_si512(), tree.levels[0]));
  path = decide<1>(path, scale, _mm512_permutexvar_ps(path, tree.levels[1]));
  path = decide<2>(path, scale, _mm512_permutexvar_ps(path, tree.levels[2]));
  path = decide<3>(path, scale, _mm512_permutexvar_ps(path, tree.levels[3]));
  path = decide<4>(path, scale, _mm512_permutexvar_ps(path, tree.levels[4]));
  path = decide<5>(path, scale, _mm512_permutex2var_ps(tree.deepest[0], path, tree.deepest[1]));
  // Byte by byte: the three upper bytes of a path are 0, and so is the index of path 0.
  return _mm512_permutexvar_epi8(path, tree.index_of_path);
}

/// The same for any number of thresholds, one gather a decision: what the scalar set does, 16 at a time.
inline __attribute__((always_inline)) __m512i find_any(const ScaleSearch& search, __m512 scaled) {
  const __m512 scale = _mm512_max_ps(_mm512_set1_ps(search.bound), scaled);
  __m512i index = _mm512_setzero_si512();
  for (std::uint32_t left = search.last; left > 0; left /= 2) {
    const std::uint32_t half = (left + 1) / 2;
    const __m512 threshold = _mm512_i32gather_ps(index, search.thresholds + half - 1, 4);
    const __mmask16 beyond = _mm512_cmp_ps_mask(scale, threshold, _CMP_NLE_UQ);
    index = _mm512_mask_add_epi32(index, beyond, index, _mm512_set1_epi32(static_cast<int>(half)));
  }
  return index;
}

template <class Index>
void build_indexes(const ScaleSearch& search, const float* scale, float gain, std::size_t count,
                   Index* indexes) {
  const __m512 gains = _mm512_set1_ps(gain);
  std::size_t i = 0;
  if (search.last <= kRegisterThresholds) {
    const Tree tree(search);
    for (; i + kWidth <= count; i += kWidth)
      store_lanes(indexes + i, find(tree, _mm512_mul_ps(_mm512_loadu_ps(scale + i), gains)));
  } else {
    for (; i + kWidth <= count; i += kWidth)
      store_lanes(indexes + i, find_any(search, _mm512_mul_ps(_mm512_loadu_ps(scale + i), gains)));
  }
  scalar::build_indexes(search, scale + i, gain, count - i, indexes + i);
}

}  // namespace

}  // namespace scalecodec

SCALECODEC_TARGET_END

namespace scalecodec {

const IndexKernels kAvx512Indexes{build_indexes<std::uint8_t>, build_indexes<std::uint16_t>,
                                  build_indexes<std::int32_t>};

}  // namespace scalecodec

#endif
