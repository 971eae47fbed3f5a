/// AVX-512 kernels of the lane stream: 32 lanes in one register of 16-bit halves.
///
/// READ ME FIRST. A decoder's states live as two registers, the high and the low 16 bits of all 32 lanes, so that slots,
/// thresholds, products and words need no widening. The first three cells of 64 tables are thresholds in six registers:
/// no memory is read for symbols mode, mode + 1 and mode - 1. The other lanes are compressed, looked up with gathers,
/// and expanded back. Two streams in turns hide each other's latency.
#include "lane_kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>

#include "lane_step.hpp"

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vbmi2,bmi,bmi2,popcnt")

#include "lane_blocks.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kLanes = 32;

/// Three thresholds of 64 tables.
struct Thresholds {
  __m512i low[3], high[3];

  explicit Thresholds(const std::uint16_t* from) {
    for (int i = 0; i < 3; ++i) {
      low[i] = _mm512_loadu_si512(from + i * kRegisterTables);
      high[i] = _mm512_loadu_si512(from + i * kRegisterTables + 32);
    }
  }
  __m512i of(int i, __m512i index) const { return _mm512_permutex2var_epi16(low[i], index, high[i]); }
};

__m512i low_half(__m512i v) { return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v)); }
__m512i high_half(__m512i v) { return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1)); }

__m512i join(__m256i low, __m256i high) { return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1); }

/// 32 bits of each of 16 elements, from `shift` on.
__m512i field(__m512i first, __m512i second, unsigned shift) {
  return join(_mm512_cvtepi64_epi32(_mm512_srli_epi64(first, shift)), _mm512_cvtepi64_epi32(_mm512_srli_epi64(second, shift)));
}

/// Up to 16 lanes taken out of their order; 32 bits each.
struct Found {
  __m256i high, low, distance;  // of the new state, and of the symbol; 16 bits each
};

__m512i start_of(__m512i low) { return _mm512_and_si512(low, _mm512_set1_epi32(0xffff)); }
__m512i width_of(__m512i low, __m512i high) { return _mm512_sllv_epi32(_mm512_srli_epi32(low, 16), _mm512_srli_epi32(high, 16)); }

/// Look cells up for 16 lanes: `index` of table, `high` and `low` of state, 16 bits each.
inline __attribute__((always_inline)) Found look_up(const LaneView& view, __m256i index, __m256i high, __m256i low) {
  const __m512i index32 = _mm512_cvtepu16_epi32(index), low32 = _mm512_cvtepu16_epi32(low);
  const __m512i slot = _mm512_and_si512(low32, _mm512_set1_epi32(kNumSlots - 1));
  const __m512i bucket = _mm512_add_epi32(_mm512_slli_epi32(index32, 8), _mm512_srli_epi32(slot, kBucketBits));
  const __m512i rank = _mm512_and_si512(_mm512_i32gather_epi32(bucket, view.buckets, 1), _mm512_set1_epi32(255));
  __m512i at = _mm512_add_epi32(_mm512_i32gather_epi32(index32, view.first_cells, 4), rank);
  __m512i cell_low, cell_high, within;
  for (;;) {
    const __m512i first = _mm512_i32gather_epi64(_mm512_castsi512_si256(at), view.cells, 8);
    const __m512i second = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(at, 1), view.cells, 8);
    cell_low = field(first, second, 0);
    cell_high = field(first, second, 32);
    within = _mm512_sub_epi32(slot, start_of(cell_low));
    const __mmask16 beyond = _mm512_cmpge_epu32_mask(within, width_of(cell_low, cell_high));
    if (__builtin_expect(beyond == 0, 1)) break;
    at = _mm512_mask_add_epi32(at, beyond, at, _mm512_set1_epi32(1));
  }
  const __m512i bits = _mm512_srli_epi32(cell_high, 16);
  const __m512i shifted = _mm512_srlv_epi32(within, bits);
  const __m512i raw = _mm512_sub_epi32(within, _mm512_sllv_epi32(shifted, bits));
  const __m512i rest = _mm512_add_epi32(_mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 1), _mm512_srli_epi32(low32, kSlotBits));
  const __m512i x = _mm512_add_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(cell_low, 16), rest), shifted);
  return {_mm512_cvtepi32_epi16(_mm512_srli_epi32(x, 16)), _mm512_cvtepi32_epi16(x),
          _mm512_cvtepi32_epi16(_mm512_add_epi32(cell_high, raw))};
}

/// The same for 8 lanes, which is what most turns have. The next cell is fetched along: it seldom takes a third.
inline __attribute__((always_inline)) Found look_up_few(const LaneView& view, __m128i index, __m128i high, __m128i low) {
  const __m256i index32 = _mm256_cvtepu16_epi32(index), low32 = _mm256_cvtepu16_epi32(low);
  const __m256i slot = _mm256_and_si256(low32, _mm256_set1_epi32(kNumSlots - 1));
  const __m256i bucket = _mm256_add_epi32(_mm256_slli_epi32(index32, 8), _mm256_srli_epi32(slot, kBucketBits));
  const __m256i rank = _mm256_and_si256(_mm256_i32gather_epi32(reinterpret_cast<const int*>(view.buckets), bucket, 1), _mm256_set1_epi32(255));
  __m256i at = _mm256_add_epi32(_mm256_i32gather_epi32(reinterpret_cast<const int*>(view.first_cells), index32, 4), rank);
  __m256i cell_low, cell_high, within;
  for (;;) {
    __m512i cells = _mm512_i32gather_epi64(at, view.cells, 8);
    const __m512i next = _mm512_i32gather_epi64(at, view.cells + 1, 8);
    const __mmask8 in_next = _mm256_cmpge_epu32_mask(slot, _mm256_and_si256(_mm512_cvtepi64_epi32(next), _mm256_set1_epi32(0xffff)));
    cells = _mm512_mask_mov_epi64(cells, in_next, next);
    cell_low = _mm512_cvtepi64_epi32(cells);
    cell_high = _mm512_cvtepi64_epi32(_mm512_srli_epi64(cells, 32));
    within = _mm256_sub_epi32(slot, _mm256_and_si256(cell_low, _mm256_set1_epi32(0xffff)));
    const __mmask8 beyond = _mm256_cmpge_epu32_mask(within, _mm256_sllv_epi32(_mm256_srli_epi32(cell_low, 16), _mm256_srli_epi32(cell_high, 16)));
    if (__builtin_expect(beyond == 0, 1)) break;
    at = _mm256_mask_add_epi32(at, beyond, at, _mm256_set1_epi32(2));
  }
  const __m256i bits = _mm256_srli_epi32(cell_high, 16);
  const __m256i shifted = _mm256_srlv_epi32(within, bits);
  const __m256i raw = _mm256_sub_epi32(within, _mm256_sllv_epi32(shifted, bits));
  const __m256i rest = _mm256_add_epi32(_mm256_slli_epi32(_mm256_cvtepu16_epi32(high), 1), _mm256_srli_epi32(low32, kSlotBits));
  const __m256i x = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(cell_low, 16), rest), shifted);
  return {_mm256_castsi128_si256(_mm256_cvtepi32_epi16(_mm256_srli_epi32(x, 16))), _mm256_castsi128_si256(_mm256_cvtepi32_epi16(x)),
          _mm256_castsi128_si256(_mm256_cvtepi32_epi16(_mm256_add_epi32(cell_high, raw)))};
}

struct DecodeState {
  __m512i high, low;
  const std::uint8_t* next;
  const std::uint8_t* limit;
  const std::uint16_t* indexes;
  std::int16_t* distances;
};

template <bool kInRegisters>
inline __attribute__((always_inline)) void decode_turn(const LaneView& view, const Thresholds& thresholds, DecodeState& s) {
  const __m512i index = _mm512_loadu_si512(s.indexes);
  const __m512i slot = _mm512_and_si512(s.low, _mm512_set1_epi16(kNumSlots - 1));
  __m512i high = _mm512_setzero_si512(), low = high, distance = high;
  __mmask32 others = ~__mmask32{0};
  if (kInRegisters) {
    const __m512i end0 = thresholds.of(0, index), end1 = thresholds.of(1, index), end2 = thresholds.of(2, index);
    const __mmask32 beyond0 = _mm512_cmpge_epu16_mask(slot, end0);
    const __mmask32 beyond1 = _mm512_cmpge_epu16_mask(slot, end1);
    others = _mm512_cmpge_epu16_mask(slot, end2);
    const __m512i start = _mm512_maskz_mov_epi16(beyond0, _mm512_mask_mov_epi16(end0, beyond1, end1));
    const __m512i end = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(end0, beyond0, end1), beyond1, end2);
    const __m512i freq = _mm512_sub_epi16(end, start);
    distance = _mm512_maskz_mov_epi16(beyond0, _mm512_mask_mov_epi16(_mm512_set1_epi16(1), beyond1, _mm512_set1_epi16(-1)));
    // x = freq * (2 * high + top bit of low) + slot - start, in halves.
    const __m512i twice = _mm512_add_epi16(freq, freq);
    const __m512i within = _mm512_sub_epi16(slot, start);
    const __m512i addend = _mm512_mask_add_epi16(within, _mm512_movepi16_mask(s.low), within, freq);
    low = _mm512_add_epi16(_mm512_mullo_epi16(twice, s.high), addend);
    high = _mm512_mulhi_epu16(twice, s.high);
    high = _mm512_mask_sub_epi16(high, _mm512_cmplt_epu16_mask(low, addend), high, _mm512_set1_epi16(-1));
  }
  const int num_others = __builtin_popcount(others);
  const __m512i index_of = _mm512_maskz_compress_epi16(others, index);
  const __m512i high_of = _mm512_maskz_compress_epi16(others, s.high);
  const __m512i low_of = _mm512_maskz_compress_epi16(others, s.low);
  if (kInRegisters && __builtin_expect(num_others <= 8, 1)) {
    const Found few = look_up_few(view, _mm512_castsi512_si128(index_of), _mm512_castsi512_si128(high_of), _mm512_castsi512_si128(low_of));
    high = _mm512_mask_expand_epi16(high, others, _mm512_castsi256_si512(few.high));
    low = _mm512_mask_expand_epi16(low, others, _mm512_castsi256_si512(few.low));
    distance = _mm512_mask_expand_epi16(distance, others, _mm512_castsi256_si512(few.distance));
  } else {
    const Found first = look_up(view, _mm512_castsi512_si256(index_of), _mm512_castsi512_si256(high_of), _mm512_castsi512_si256(low_of));
    Found second = first;
    if (num_others > 16)
      second = look_up(view, _mm512_extracti64x4_epi64(index_of, 1), _mm512_extracti64x4_epi64(high_of, 1), _mm512_extracti64x4_epi64(low_of, 1));
    high = _mm512_mask_expand_epi16(high, others, join(first.high, second.high));
    low = _mm512_mask_expand_epi16(low, others, join(first.low, second.low));
    distance = _mm512_mask_expand_epi16(distance, others, join(first.distance, second.distance));
  }
  _mm512_storeu_si512(s.distances, distance);
  const __mmask32 renorm = _mm512_testn_epi16_mask(high, high);
  s.high = _mm512_mask_mov_epi16(high, renorm, low);
  s.low = _mm512_mask_expand_epi16(low, renorm, _mm512_loadu_si512(s.next));
  s.next += kLaneWordBytes * static_cast<std::size_t>(__builtin_popcount(renorm));
  s.indexes += kLanes;
  s.distances += kLanes;
}

template <int kCount, bool kInRegisters>
void decode_runs(const LaneView& view, LaneDecodeRun* runs) {
  const __m512i even = _mm512_slli_epi16(_mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0), 1);
  const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
  static constexpr std::uint16_t kNoThresholds[3 * kRegisterTables] = {};
  const Thresholds thresholds(kInRegisters ? view.thresholds : kNoThresholds);
  DecodeState s[kCount];
  std::size_t turns = runs[0].turns;
  for (int i = 0; i < kCount; ++i) {
    const __m512i a = _mm512_loadu_si512(runs[i].states), b = _mm512_loadu_si512(runs[i].states + 16);
    s[i] = {_mm512_permutex2var_epi16(a, odd, b), _mm512_permutex2var_epi16(a, even, b), runs[i].next, runs[i].limit, runs[i].indexes, runs[i].distances};
    turns = std::min(turns, runs[i].turns);
  }
  std::size_t left = turns;
  for (; left > 0; --left) {
    bool has_room = true;
    for (int i = 0; i < kCount; ++i) has_room &= s[i].next <= s[i].limit;
    if (__builtin_expect(!has_room, 0)) break;
#pragma GCC unroll 2
    for (int i = 0; i < kCount; ++i) decode_turn<kInRegisters>(view, thresholds, s[i]);
  }
  for (int i = 0; i < kCount; ++i) {
    const __m512i a = _mm512_or_si512(_mm512_slli_epi32(low_half(s[i].high), 16), low_half(s[i].low));
    const __m512i b = _mm512_or_si512(_mm512_slli_epi32(high_half(s[i].high), 16), high_half(s[i].low));
    _mm512_storeu_si512(runs[i].states, a);
    _mm512_storeu_si512(runs[i].states + 16, b);
    runs[i].next = s[i].next;
    runs[i].indexes = s[i].indexes;
    runs[i].distances = s[i].distances;
    runs[i].turns -= turns - left;
  }
}

void decode(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes) {
  if (num_lanes != kLanes) return kScalarLanes.decode(view, runs, count, num_lanes);
  if (count == 1) return view.thresholds ? decode_runs<1, true>(view, runs) : decode_runs<1, false>(view, runs);
  return view.thresholds ? decode_runs<2, true>(view, runs) : decode_runs<2, false>(view, runs);
}

/// A step for 16 lanes, 16 bits each; bias = start + raw.
struct Step {
  __m256i freq, bias, raw_bits;
  __mmask16 escapes;
};

Step find_steps(const LaneView& view, __m256i index, __m256i distance) {
  const __m512i index32 = _mm512_cvtepu16_epi32(index);
  const __m512i first = _mm512_i32gather_epi64(_mm512_castsi512_si256(index32), view.encode_rows, 8);
  const __m512i second = _mm512_i32gather_epi64(_mm512_extracti64x4_epi64(index32, 1), view.encode_rows, 8);
  const __m512i range = field(first, second, 0), num_values = _mm512_srli_epi32(range, 16);
  __m512i bits = _mm512_and_si512(field(first, second, 32), _mm512_set1_epi32(7));
  const __m512i first_value = _mm512_srai_epi32(_mm512_slli_epi32(range, 16), 16);
  __m512i value = _mm512_sub_epi32(_mm512_cvtepi16_epi32(distance), first_value);
  const __mmask16 escapes = _mm512_cmpge_epu32_mask(value, num_values);
  value = _mm512_mask_mov_epi32(value, escapes, num_values);  // whose cell's place is the escape's, with no raw
  const __m512i cell = _mm512_srlv_epi32(value, bits);
  const __m512i raw = _mm512_sub_epi32(value, _mm512_sllv_epi32(cell, bits));
  const __m512i packed = _mm512_i32gather_epi32(_mm512_add_epi32(field(first, second, 35), cell), view.packed_steps, 4);
  bits = _mm512_maskz_mov_epi32(static_cast<__mmask16>(~escapes), bits);
  return {_mm512_cvtepi32_epi16(_mm512_srli_epi32(packed, 16)), _mm512_cvtepi32_epi16(_mm512_add_epi32(packed, raw)),
          _mm512_cvtepi32_epi16(bits), escapes};
}

Step find_few_steps(const LaneView& view, __m128i index, __m128i distance) {
  const __m512i rows = _mm512_i32gather_epi64(_mm256_cvtepu16_epi32(index), view.encode_rows, 8);
  const __m256i range = _mm512_cvtepi64_epi32(rows), num_values = _mm256_srli_epi32(range, 16);
  __m256i bits = _mm256_and_si256(_mm512_cvtepi64_epi32(_mm512_srli_epi64(rows, 32)), _mm256_set1_epi32(7));
  const __m256i first_value = _mm256_srai_epi32(_mm256_slli_epi32(range, 16), 16);
  __m256i value = _mm256_sub_epi32(_mm256_cvtepi16_epi32(distance), first_value);
  const __mmask8 escapes = _mm256_cmpge_epu32_mask(value, num_values);
  value = _mm256_mask_mov_epi32(value, escapes, num_values);
  const __m256i cell = _mm256_srlv_epi32(value, bits);
  const __m256i raw = _mm256_sub_epi32(value, _mm256_sllv_epi32(cell, bits));
  const __m256i first_step = _mm512_cvtepi64_epi32(_mm512_srli_epi64(rows, 35));
  const __m256i packed = _mm256_i32gather_epi32(reinterpret_cast<const int*>(view.packed_steps), _mm256_add_epi32(first_step, cell), 4);
  bits = _mm256_maskz_mov_epi32(static_cast<__mmask8>(~escapes), bits);
  return {_mm256_castsi128_si256(_mm256_cvtepi32_epi16(_mm256_srli_epi32(packed, 16))),
          _mm256_castsi128_si256(_mm256_cvtepi32_epi16(_mm256_add_epi32(packed, raw))),
          _mm256_castsi128_si256(_mm256_cvtepi32_epi16(bits)), escapes};
}

struct EncodeState {
  __m512i first, second;  // states of lanes 0 to 15 and 16 to 31
  std::uint8_t* next;
  const std::uint16_t* indexes;
  const std::int16_t* distances;
};

/// Put 16 symbols into 16 states, which have room.
inline __attribute__((always_inline)) __m512i put(__m512i x, __m512i freq, __m512i bias, __m512i bits) {
  // floor(x / freq) below 2^17: the reciprocal is a little too small, by up to 2^-20, so the quotient is right or
  // one too small.
  const __m512 divisor = _mm512_cvtepi32_ps(freq);
  __m512 reciprocal = _mm512_rcp14_ps(divisor);
  reciprocal = _mm512_mul_ps(reciprocal, _mm512_fnmadd_ps(divisor, reciprocal, _mm512_set1_ps(2.0f - 0x1p-21f)));
  __m512i quotient = _mm512_cvttps_epu32(_mm512_mul_ps(_mm512_cvt_roundepu32_ps(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC), reciprocal));
  __m512i rest = _mm512_sub_epi32(x, _mm512_mullo_epi32(quotient, freq));
  const __mmask16 small = _mm512_cmpge_epu32_mask(rest, freq);
  quotient = _mm512_mask_add_epi32(quotient, small, quotient, _mm512_set1_epi32(1));
  rest = _mm512_mask_sub_epi32(rest, small, rest, freq);
  return _mm512_add_epi32(_mm512_add_epi32(_mm512_slli_epi32(quotient, kSlotBits), bias), _mm512_sllv_epi32(rest, bits));
}

/// Note the places of escapes among the lanes of `others`, the last first.
void note_escapes(LaneEncodeRun& run, const std::uint16_t* indexes, __mmask32 others, __mmask32 escapes) {
  std::uint32_t lanes = _pdep_u32(escapes, others);
  while (lanes) {
    const std::uint32_t lane = 31 - static_cast<std::uint32_t>(__builtin_clz(lanes));
    run.escapes[run.num_escapes++] = static_cast<std::uint16_t>(indexes - run.origin + lane);
    lanes &= ~(1u << lane);
  }
}

template <bool kInRegisters>
inline __attribute__((always_inline)) void encode_turn(const LaneView& view, const Thresholds& thresholds, EncodeState& s, LaneEncodeRun& run) {
  s.indexes -= kLanes;
  s.distances -= kLanes;
  const __m512i index = _mm512_loadu_si512(s.indexes), distance = _mm512_loadu_si512(s.distances);
  __m512i freq = _mm512_setzero_si512(), bias = freq, bits = freq;
  __mmask32 others = ~__mmask32{0};
  if (kInRegisters) {
    const __m512i end0 = thresholds.of(0, index), end1 = thresholds.of(1, index), end2 = thresholds.of(2, index);
    const __mmask32 is_other = _mm512_test_epi16_mask(distance, distance);  // than the mode
    const __mmask32 above = _mm512_cmpeq_epi16_mask(distance, _mm512_set1_epi16(1));
    const __mmask32 below = _mm512_cmpeq_epi16_mask(distance, _mm512_set1_epi16(-1));
    bias = _mm512_maskz_mov_epi16(is_other, _mm512_mask_mov_epi16(end0, below, end1));
    const __m512i end = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(end0, above, end1), below, end2);
    freq = _mm512_sub_epi16(end, bias);
    others = (is_other & ~(above | below)) | _mm512_testn_epi16_mask(freq, freq);
  }
  const int num_others = __builtin_popcount(others);
  if (num_others) {
    const __m512i index_of = _mm512_maskz_compress_epi16(others, index);
    const __m512i distance_of = _mm512_maskz_compress_epi16(others, distance);
    Step found;
    __m512i found_freq, found_bias, found_bits;
    __mmask32 escapes;
    if (__builtin_expect(num_others <= 8, 1)) {
      found = find_few_steps(view, _mm512_castsi512_si128(index_of), _mm512_castsi512_si128(distance_of));
      escapes = found.escapes;
      found_freq = _mm512_castsi256_si512(found.freq);
      found_bias = _mm512_castsi256_si512(found.bias);
      found_bits = _mm512_castsi256_si512(found.raw_bits);
    } else {
      found = find_steps(view, _mm512_castsi512_si256(index_of), _mm512_castsi512_si256(distance_of));
      Step second = found;
      if (num_others > 16)
        second = find_steps(view, _mm512_extracti64x4_epi64(index_of, 1), _mm512_extracti64x4_epi64(distance_of, 1));
      escapes = found.escapes | static_cast<__mmask32>(second.escapes) << 16;
        found_freq = join(found.freq, second.freq);
      found_bias = join(found.bias, second.bias);
      found_bits = join(found.raw_bits, second.raw_bits);
    }
    freq = _mm512_mask_expand_epi16(freq, others, found_freq);
    bias = _mm512_mask_expand_epi16(bias, others, found_bias);
    bits = _mm512_maskz_expand_epi16(others, found_bits);
    escapes = _bzhi_u32(escapes, static_cast<std::uint32_t>(num_others));
    if (__builtin_expect(escapes != 0, 0)) note_escapes(run, s.indexes, others, escapes);
  }
  const __m512i freq_first = low_half(freq), freq_second = high_half(freq);
  const __mmask16 full_first = _mm512_cmpge_epu32_mask(s.first, _mm512_slli_epi32(freq_first, 17));
  const __mmask16 full_second = _mm512_cmpge_epu32_mask(s.second, _mm512_slli_epi32(freq_second, 17));
  const __mmask32 full = full_first | static_cast<__mmask32>(full_second) << 16;
  const __m512i words = _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi32_epi16(s.first)), _mm512_cvtepi32_epi16(s.second), 1);
  const std::uint32_t num_words = static_cast<std::uint32_t>(__builtin_popcount(full));
  s.next -= kLaneWordBytes * num_words;
  _mm512_mask_storeu_epi16(s.next, _bzhi_u32(~0u, num_words), _mm512_maskz_compress_epi16(full, words));
  s.first = _mm512_mask_srli_epi32(s.first, full_first, s.first, 16);
  s.second = _mm512_mask_srli_epi32(s.second, full_second, s.second, 16);
  s.first = put(s.first, freq_first, low_half(bias), low_half(bits));
  s.second = put(s.second, freq_second, high_half(bias), high_half(bits));
}

template <int kCount, bool kInRegisters>
void encode_runs(const LaneView& view, LaneEncodeRun* runs) {
  static constexpr std::uint16_t kNoThresholds[3 * kRegisterTables] = {};
  const Thresholds thresholds(kInRegisters ? view.thresholds : kNoThresholds);
  EncodeState s[kCount];
  std::size_t turns = runs[0].turns;
  for (int i = 0; i < kCount; ++i) {
    s[i] = {_mm512_loadu_si512(runs[i].states), _mm512_loadu_si512(runs[i].states + 16), runs[i].next, runs[i].indexes, runs[i].distances};
    turns = std::min(turns, runs[i].turns);
  }
  for (std::size_t left = turns; left > 0; --left) {
#pragma GCC unroll 2
    for (int i = 0; i < kCount; ++i) encode_turn<kInRegisters>(view, thresholds, s[i], runs[i]);
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

void encode(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes) {
  if (num_lanes != kLanes) return kScalarLanes.encode(view, runs, count, num_lanes);
  if (count == 1) return view.thresholds ? encode_runs<1, true>(view, runs) : encode_runs<1, false>(view, runs);
  return view.thresholds ? encode_runs<2, true>(view, runs) : encode_runs<2, false>(view, runs);
}

}  // namespace

const LaneKernels kAvx512Lanes{decode, encode, narrow_indexes, to_distances, to_symbols};

}  // namespace scalecodec

#pragma GCC pop_options

#endif
