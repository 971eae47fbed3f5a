/// Encoding of lanes with AVX-512: division by a reciprocal that is put right, words compressed.
#include "lanes_avx512.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

namespace scalecodec {

namespace {

/// 8 symbols' steps for lanes out of their order, in 64 bits each: start + raw, freq, raw_bits.
template <int kPart>
inline __attribute__((always_inline)) __m512i find_steps(const LaneView view, __m512i index, __m512i distance,
                                                         __mmask32& all_escapes) {
  const __m512i low_bits = _mm512_set1_epi64(0xffff);
  const __m512i rows = _mm512_i64gather_epi64(_mm512_cvtepu16_epi64(_mm512_extracti32x4_epi32(index, kPart)),
                                              view.encode_rows, 8);
  // In the low 16 bits the symbol's place among those in cells.
  const __m512i row =
      _mm512_add_epi16(rows, _mm512_cvtepu16_epi64(_mm512_extracti32x4_epi32(distance, kPart)));
  const __m512i num_values = _mm512_and_si512(_mm512_srli_epi64(row, 16), low_bits);
  __m512i value = _mm512_and_si512(row, low_bits);
  const __mmask8 escapes = _mm512_cmpge_epu64_mask(value, num_values);
  all_escapes |= static_cast<__mmask32>(escapes) << (8 * kPart);
  value =
      _mm512_mask_mov_epi64(value, escapes, num_values);  // whose cell's place is the escape's, with no raw
  __m512i at = _mm512_srli_epi64(row, 35);
  if (__builtin_expect(_mm512_test_epi64_mask(row, _mm512_set1_epi64(7ll << 32)) == 0, 1))
    return _mm512_and_si512(_mm512_i64gather_epi64(_mm512_add_epi64(at, value), view.packed_steps, 4),
                            _mm512_set1_epi64(0xffffffff));
  const __m512i bits = _mm512_and_si512(_mm512_srli_epi64(row, 32), _mm512_set1_epi64(7));
  const __m512i cell = _mm512_srlv_epi64(value, bits);
  const __m512i raw = _mm512_sub_epi64(value, _mm512_sllv_epi64(cell, bits));
  at = _mm512_add_epi64(at, cell);
  const __m512i start_freq =
      _mm512_and_si512(_mm512_i64gather_epi64(at, view.packed_steps, 4), _mm512_set1_epi64(0xffffffff));
  const __m512i shift = _mm512_maskz_mov_epi64(static_cast<__mmask8>(~escapes), bits);
  return _mm512_add_epi64(_mm512_add_epi64(start_freq, raw), _mm512_slli_epi64(shift, 32));
}

struct EncodeState {
  __m512i first, second;  // states of lanes 0 to 15 and 16 to 31
  std::uint8_t* next;
  const std::uint16_t* indexes;
  const std::int16_t* distances;
};

/// Put 16 symbols into 16 states, which have room.
template <bool kHasRawBits>
inline __attribute__((always_inline)) __m512i put(__m512i x, __m512i freq, __m512i bias, __m512i bits) {
  // floor(x / freq) below 2^17: the reciprocal is a little too small, by up to 2^-20, so the quotient is
  // right or one too small.
  const __m512 divisor = _mm512_cvtepi32_ps(freq);
  __m512 reciprocal = _mm512_rcp14_ps(divisor);
  reciprocal =
      _mm512_mul_ps(reciprocal, _mm512_fnmadd_ps(divisor, reciprocal, _mm512_set1_ps(2.0f - 0x1p-21f)));
  __m512i quotient = _mm512_cvttps_epu32(
      _mm512_mul_ps(_mm512_cvt_roundepu32_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC), reciprocal));
  __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, freq));
  const __mmask16 small = _mm512_cmpge_epu32_mask(rest, freq);
  quotient = _mm512_mask_add_epi32(quotient, small, quotient, _mm512_set1_epi32(1));
  rest = _mm512_mask_sub_epi32(rest, small, rest, freq);
  if (kHasRawBits) rest = _mm512_sllv_epi32(rest, bits);
  return _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(quotient, kSlotBits), bias), rest);
}

/// Note the places of escapes, the last first.
void note_escapes(LaneEncodeRun& run, const std::uint16_t* indexes, __mmask32 escapes) {
  std::uint32_t lanes = escapes;
  while (lanes) {
    const std::uint32_t lane = 31 - static_cast<std::uint32_t>(__builtin_clz(lanes));
    run.escapes[run.num_escapes++] = static_cast<std::uint16_t>(indexes - run.origin + lane);
    lanes &= ~(1u << lane);
  }
}

/// A turn's steps; `bias` is start and raw bits' value.
struct Steps {
  __m512i freq, bias, bits;
};

/// Steps of any tables; those of the cells in registers first.
template <bool kInRegisters>
struct ManyTables {
  static constexpr std::uint16_t kNoRegisters[4 * kRegisterTables] = {};
  const LaneView view;
  const Registers registers;

  explicit ManyTables(const LaneView& of) : view(of), registers(kInRegisters ? of.registers : kNoRegisters) {}

  inline __attribute__((always_inline)) Steps find(const std::uint16_t* indexes, __m512i distance,
                                                   LaneEncodeRun& run) const {
    const __m512i index = _mm512_loadu_si512(indexes);
    __m512i freq = _mm512_setzero_si512(), bias = freq, bits = freq;
    __mmask32 others = ~__mmask32{0};
    if (kInRegisters) {
      const __m512i end0 = registers.of(0, index), end1 = registers.of(1, index),
                    end2 = registers.of(2, index);
      const __mmask32 is_other = _mm512_test_epi16_mask(distance, distance);  // than the mode
      const __mmask32 above = _mm512_cmpeq_epi16_mask(distance, _mm512_set1_epi16(1));
      const __mmask32 below = _mm512_cmpeq_epi16_mask(distance, _mm512_set1_epi16(-1));
      bias = _mm512_maskz_mov_epi16(is_other, _mm512_mask_mov_epi16(end0, below, end1));
      const __m512i end = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(end0, above, end1), below, end2);
      freq = _mm512_sub_epi16(end, bias);
      others = (is_other & ~(above | below)) | _mm512_testn_epi16_mask(freq, freq);
    }
    if (others) {
      const int num_others = __builtin_popcount(others);
      const __m512i index_of = _mm512_maskz_compress_epi16(others, index);
      const __m512i distance_of = _mm512_maskz_compress_epi16(others, distance);
      const __m512i places = places_of(others);
      __mmask32 escapes = 0;  // among those compressed
      const __m512i first = find_steps<0>(view, index_of, distance_of, escapes);
      if (kInRegisters && __builtin_expect(num_others <= 8, 1)) {
        bias = spread(bias, others, places, 0, first);
        freq = spread(freq, others, places, 1, first);
        bits = spread(bits, others, places, 2, first);
      } else {
        const __m512i second = find_steps<1>(view, index_of, distance_of, escapes);
        bias = spread(bias, others, places, 0, first, second);
        freq = spread(freq, others, places, 1, first, second);
        bits = spread(bits, others, places, 2, first, second);
      }
      if (num_others > 16) {
        const __mmask32 upper = _mm512_cmpgt_epu16_mask(places, _mm512_set1_epi16(63));
        const __m512i third = find_steps<2>(view, index_of, distance_of, escapes),
                      fourth = find_steps<3>(view, index_of, distance_of, escapes);
        bias = spread(bias, upper, places, 0, third, fourth);
        freq = spread(freq, upper, places, 1, third, fourth);
        bits = spread(bits, upper, places, 2, third, fourth);
      }
      escapes = _bzhi_u32(escapes, static_cast<std::uint32_t>(num_others));
      if (__builtin_expect(escapes != 0, 0)) note_escapes(run, indexes, _pdep_u32(escapes, others));
    }
    return {freq, bias, bits};
  }
};

/// Steps of one table of few cells, in registers whole.
struct OneTable {
  const __m512i starts, freqs, below, escape;

  explicit OneTable(const LaneView& of)
      : starts(_mm512_loadu_si512(of.only->step_starts)),
        freqs(_mm512_loadu_si512(of.only->step_freqs)),
        below(_mm512_set1_epi16(static_cast<short>(of.only->symbols_below))),
        escape(_mm512_set1_epi16(static_cast<short>(of.only->count - 1))) {}

  inline __attribute__((always_inline)) Steps find(const std::uint16_t* indexes, __m512i distance,
                                                   LaneEncodeRun& run) const {
    const __m512i place = _mm512_add_epi16(distance, below);
    const __mmask32 escapes = _mm512_cmpge_epu16_mask(place, escape);
    if (__builtin_expect(escapes != 0, 0)) note_escapes(run, indexes, escapes);
    const __m512i step = _mm512_min_epu16(place, escape);
    return {_mm512_permutexvar_epi16(step, freqs), _mm512_permutexvar_epi16(step, starts),
            _mm512_setzero_si512()};
  }
};

template <class Tables>
inline __attribute__((always_inline)) void encode_turn(const Tables& tables, EncodeState& s,
                                                       LaneEncodeRun& run) {
  s.indexes -= kLanes;
  s.distances -= kLanes;
  const Steps steps = tables.find(s.indexes, _mm512_loadu_si512(s.distances), run);
  const __m512i freq = steps.freq, bias = steps.bias, bits = steps.bits;
  const __m512i freq_first = low_half(freq), freq_second = high_half(freq);
  const __mmask16 full_first = _mm512_cmpge_epu32_mask(s.first, _mm512_slli_epi32(freq_first, 17));
  const __mmask16 full_second = _mm512_cmpge_epu32_mask(s.second, _mm512_slli_epi32(freq_second, 17));
  const __mmask32 full = full_first | static_cast<__mmask32>(full_second) << 16;
  const __m512i words = narrow(s.first, s.second);
  const std::uint32_t num_words = static_cast<std::uint32_t>(__builtin_popcount(full));
  s.next -= kLaneWordBytes * num_words;
  _mm512_mask_storeu_epi16(s.next, _bzhi_u32(~0u, num_words), _mm512_maskz_compress_epi16(full, words));
  s.first = _mm512_mask_srli_epi32(s.first, full_first, s.first, 16);
  s.second = _mm512_mask_srli_epi32(s.second, full_second, s.second, 16);
  if (_mm512_test_epi16_mask(bits, bits)) {
    s.first = put<true>(s.first, freq_first, low_half(bias), low_half(bits));
    s.second = put<true>(s.second, freq_second, high_half(bias), high_half(bits));
  } else {
    s.first = put<false>(s.first, freq_first, low_half(bias), bits);
    s.second = put<false>(s.second, freq_second, high_half(bias), bits);
  }
}

template <int kCount, class Tables>
void encode_runs(const LaneView& view, LaneEncodeRun* runs) {
  const Tables tables(view);
  EncodeState s[kCount];
  std::size_t turns = runs[0].turns;
  for (int i = 0; i < kCount; ++i) {
    s[i] = {_mm512_loadu_si512(runs[i].states), _mm512_loadu_si512(runs[i].states + 16), runs[i].next,
            runs[i].indexes, runs[i].distances};
    turns = std::min(turns, runs[i].turns);
  }
  for (std::size_t left = turns; left > 0; --left) {
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) encode_turn(tables, s[i], runs[i]);
  }
  for (int i = 0; i < kCount; ++i) {
    _mm512_storeu_si512(runs[i].states, s[i].first);
    _mm512_storeu_si512(runs[i].states + 16, s[i].second);
    runs[i].next = s[i].next;
    runs[i].indexes = s[i].indexes;
    runs[i].distances = s[i].distances;
    runs[i].turns -= turns;
  }
}

/// Two at a time: more states than that spill, which costs more than it hides.
template <class Tables>
void encode_with(const LaneView& view, LaneEncodeRun* runs, int count) {
  for (; count >= 2; count -= 2, runs += 2) encode_runs<2, Tables>(view, runs);
  if (count) encode_runs<1, Tables>(view, runs);
}

}  // namespace

void encode_avx512(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes) {
  for (int i = 0; i < count && num_lanes != kLanes; ++i) encode_one_by_one(view, runs[i], num_lanes);
  if (num_lanes != kLanes) return;
  if (view.only) return encode_with<OneTable>(view, runs, count);
  return view.registers ? encode_with<ManyTables<true>>(view, runs, count)
                        : encode_with<ManyTables<false>>(view, runs, count);
}

}  // namespace scalecodec

SCALECODEC_TARGET_END

#endif
