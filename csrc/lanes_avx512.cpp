/// The AVX-512 kernel set of the lane stream, and its loads and stores of blocks.
#include "lanes_avx512.hpp"

#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

#include "lane_blocks.hpp"

namespace scalecodec {

namespace {

bool narrow_indexes(const std::int32_t* from, std::size_t count, std::uint32_t num_tables,
                    std::uint16_t* to) {
  __m512i greatest = _mm512_setzero_si512();
  std::size_t i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512i first = _mm512_loadu_si512(from + i), second = _mm512_loadu_si512(from + i + 16);
    greatest = _mm512_max_epu32(greatest, _mm512_max_epu32(first, second));
    _mm512_storeu_si512(to + i, narrow(first, second));
  }
  const bool good = _mm512_reduce_max_epu32(greatest) < num_tables;
  return blocks::narrow_indexes(from + i, count - i, num_tables, to + i) && good;
}

void to_distances(const std::int32_t* symbols, std::size_t count, const std::uint16_t* indexes,
                  const std::int32_t* modes, std::int16_t* distances) {
  std::size_t i = 0;
  for (; !modes && i + 32 <= count; i += 32) {
    // Saturates at -32768, which no cell holds either.
    const __m256i first = _mm512_cvtsepi32_epi16(_mm512_loadu_si512(symbols + i));
    const __m256i second = _mm512_cvtsepi32_epi16(_mm512_loadu_si512(symbols + i + 16));
    _mm512_storeu_si512(distances + i, _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1));
  }
  blocks::to_distances(symbols + i, count - i, indexes ? indexes + i : nullptr, modes, distances + i);
}

WidenResult to_symbols(const std::int16_t* distances, std::size_t count, const std::uint16_t* indexes,
                       const std::int32_t* modes, std::int32_t* symbols) {
  std::size_t i = 0;
  __mmask32 escapes = 0;
  for (; !modes && i + 32 <= count; i += 32) {
    const __m512i distance = _mm512_loadu_si512(distances + i);
    escapes |= _mm512_cmpeq_epi16_mask(distance, _mm512_set1_epi16(kEscapeDistance));
    _mm512_storeu_si512(symbols + i, _mm512_cvtepi16_epi32(_mm512_castsi512_si256(distance)));
    _mm512_storeu_si512(symbols + i + 16, _mm512_cvtepi16_epi32(_mm512_extracti64x4_epi64(distance, 1)));
  }
  const WidenResult rest =
      blocks::to_symbols(distances + i, count - i, indexes ? indexes + i : nullptr, modes, symbols + i);
  return {rest.has_escapes || escapes != 0, rest.overflows};
}

}  // namespace

const LaneKernels kAvx512Lanes{decode_avx512, encode_avx512, narrow_indexes, to_distances, to_symbols};

}  // namespace scalecodec

SCALECODEC_TARGET_END

#endif
