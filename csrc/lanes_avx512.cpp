/// AVX-512 kernels of the lane stream: 32 lanes in one register of 16-bit halves.
///
/// READ ME FIRST. A decoder's states live as two registers, the high and the low 16 bits of all 32 lanes, so
/// that slots, thresholds, products and words need no widening. The first three cells of 64 tables are
/// thresholds in six registers: no memory is read for symbols mode, mode + 1 and mode - 1. The other lanes
/// are compressed, looked up with gathers, and expanded back. Two streams in turns hide each other's latency.
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

/// The low halves of 32 elements of 32 bits.
__m512i narrow(__m512i first, __m512i second) {
  const __m512i even = _mm512_set_epi16(62, 60, 58, 56, 54, 52, 50, 48, 46, 44, 42, 40, 38, 36, 34, 32, 30,
                                        28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  return _mm512_permutex2var_epi16(first, even, second);
}

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
  blocks::to_distances(symbols + i, count - i, indexes + i, modes, distances + i);
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
  const WidenResult rest = blocks::to_symbols(distances + i, count - i, indexes + i, modes, symbols + i);
  return {rest.has_escapes || escapes != 0, rest.overflows};
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

__m512i low_half(__m512i v) {
  return _mm512_cvtepu16_epi32(_mm512_castsi512_si256(v));
}
__m512i high_half(__m512i v) {
  return _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(v, 1));
}

__m512i pick(__m512i cell, __m512i next) {
  // The next cell, unless its start is beyond the slot: then the difference is negative.
  return _mm512_mask_mov_epi64(next, _mm512_test_epi64_mask(next, _mm512_set1_epi64(0x8000)), cell);
}

/// Cells with raw bits, or a third cell in a bucket: slot - start and distance made whole, as `look_up` has
/// to return them.
__attribute__((noinline)) __m512i look_up_rare(const LaneCell* cells, __m512i at, __m512i slot,
                                               __m512i cell) {
  const __m512i low_bits = _mm512_set1_epi64(0xffff);
  for (;;) {
    const __m512i within = _mm512_and_si512(cell, low_bits),
                  freq = _mm512_and_si512(_mm512_srli_epi64(cell, 16), low_bits);
    const __m512i bits = _mm512_srli_epi64(cell, 48);
    const __mmask8 beyond = _mm512_cmpge_epu64_mask(within, _mm512_sllv_epi64(freq, bits));
    if (beyond == 0) {
      const __m512i shifted = _mm512_srlv_epi64(within, bits);
      const __m512i raw = _mm512_sub_epi64(within, _mm512_sllv_epi64(shifted, bits));
      return _mm512_add_epi16(_mm512_sub_epi64(cell, _mm512_sub_epi64(within, shifted)),
                              _mm512_slli_epi64(raw, 32));
    }
    at = _mm512_mask_add_epi64(at, beyond, at, _mm512_set1_epi64(2));
    const __m512i first = _mm512_add_epi16(_mm512_mask_i64gather_epi64(cell, beyond, at, cells, 8), slot);
    const __m512i second =
        _mm512_add_epi16(_mm512_mask_i64gather_epi64(cell, beyond, at, cells + 1, 8), slot);
    cell = _mm512_mask_mov_epi64(cell, beyond, pick(first, second));
  }
}

/// 8 symbols' cells for lanes out of their order, in 64 bits each: place in the cell without raw bits, freq,
/// distance.
inline __attribute__((always_inline)) __m512i look_up(const LaneView view, __m512i first_cell, __m128i index,
                                                      __m128i slots) {
  const __m512i slot = _mm512_cvtepu16_epi64(slots);
  const __m512i bucket = _mm512_add_epi64(_mm512_slli_epi64(_mm512_cvtepu16_epi64(index), 8),
                                          _mm512_srli_epi64(slot, kBucketBits));
  const __m512i rank =
      _mm512_and_si512(_mm512_i64gather_epi64(bucket, view.buckets, 1), _mm512_set1_epi64(255));
  const __m512i at = _mm512_add_epi64(first_cell, rank);
  // The next cell is fetched along: it seldom takes a third.
  const __m512i first = _mm512_add_epi16(_mm512_i64gather_epi64(at, view.cells, 8), slot);
  const __m512i second = _mm512_add_epi16(_mm512_i64gather_epi64(at, view.cells + 1, 8), slot);
  const __m512i cell = pick(first, second);
  const __mmask32 beyond = _mm512_mask_cmpge_epu16_mask(0x11111111, cell, _mm512_srli_epi64(cell, 16));
  const __mmask8 has_raw_bits =
      _mm512_test_epi64_mask(cell, _mm512_set1_epi64(static_cast<long long>(0xffff000000000000)));
  if (__builtin_expect(beyond | has_raw_bits, 0)) return look_up_rare(view.cells, at, slot, cell);
  return cell;
}

/// Where `lanes`, from the lowest on, find field 0 of theirs in vectors of 8 times 64 bits.
__m512i places_of(__mmask32 lanes) {
  return _mm512_maskz_expand_epi16(
      lanes, _mm512_set_epi16(124, 120, 116, 112, 108, 104, 100, 96, 92, 88, 84, 80, 76, 72, 68, 64, 60, 56,
                              52, 48, 44, 40, 36, 32, 28, 24, 20, 16, 12, 8, 4, 0));
}

/// Field `i` of results for `lanes`; places beyond 63 wrap round.
__m512i spread(__m512i old, __mmask32 lanes, __m512i places, int i, __m512i first, __m512i second) {
  const __m512i at = _mm512_add_epi16(places, _mm512_set1_epi16(static_cast<short>(i)));
  return _mm512_mask_mov_epi16(old, lanes, _mm512_permutex2var_epi16(first, at, second));
}

__m512i spread(__m512i old, __mmask32 lanes, __m512i places, int i, __m512i only) {
  return _mm512_mask_permutexvar_epi16(
      old, lanes, _mm512_add_epi16(places, _mm512_set1_epi16(static_cast<short>(i))), only);
}

struct DecodeState {
  __m512i high, low;
  const std::uint8_t* next;
  const std::uint8_t* limit;
  const std::uint16_t* indexes;
  std::int16_t* distances;
};

template <bool kInRegisters>
inline __attribute__((always_inline)) __m512i first_cells_of(const LaneView view, const Registers& registers,
                                                             __m128i index) {
  if (kInRegisters)
    return _mm512_cvtepu16_epi64(_mm512_castsi512_si128(registers.of(3, _mm512_castsi128_si512(index))));
  return _mm512_cvtepu32_epi64(_mm256_i32gather_epi32(reinterpret_cast<const int*>(view.first_cells),
                                                      _mm256_cvtepu16_epi32(index), 4));
}

/// Lanes 8 kPart to 8 kPart + 7 of those compressed.
template <int kPart, bool kInRegisters>
inline __attribute__((always_inline)) __m512i look_up_part(const LaneView view, const Registers& registers,
                                                           __m512i index, __m512i slot) {
  const __m128i index8 = _mm512_extracti32x4_epi32(index, kPart),
                slot8 = _mm512_extracti32x4_epi32(slot, kPart);
  return look_up(view, first_cells_of<kInRegisters>(view, registers, index8), index8, slot8);
}

template <bool kInRegisters>
inline __attribute__((always_inline)) void decode_turn(const LaneView view, const Registers& registers,
                                                       DecodeState& s) {
  const __m512i index = _mm512_loadu_si512(s.indexes);
  const __m512i slot = _mm512_and_si512(s.low, _mm512_set1_epi16(kNumSlots - 1));
  __m512i freq = _mm512_setzero_si512(), within = freq, distance = freq;
  __mmask32 others = ~__mmask32{0};
  if (kInRegisters) {
    const __m512i end0 = registers.of(0, index), end1 = registers.of(1, index), end2 = registers.of(2, index);
    const __mmask32 beyond0 = _mm512_cmpge_epu16_mask(slot, end0);
    const __mmask32 beyond1 = _mm512_cmpge_epu16_mask(slot, end1);
    others = _mm512_cmpge_epu16_mask(slot, end2);
    const __m512i start = _mm512_maskz_mov_epi16(beyond0, _mm512_mask_mov_epi16(end0, beyond1, end1));
    const __m512i end = _mm512_mask_mov_epi16(_mm512_mask_mov_epi16(end0, beyond0, end1), beyond1, end2);
    freq = _mm512_sub_epi16(end, start);
    within = _mm512_sub_epi16(slot, start);
    distance = _mm512_maskz_mov_epi16(
        beyond0, _mm512_mask_mov_epi16(_mm512_set1_epi16(1), beyond1, _mm512_set1_epi16(-1)));
  }
  if (others) {
    const int num_others = __builtin_popcount(others);
    const __m512i index_of = _mm512_maskz_compress_epi16(others, index);
    const __m512i slot_of = _mm512_maskz_compress_epi16(others, slot);
    const __m512i places = places_of(others);
    const __m512i first = look_up_part<0, kInRegisters>(view, registers, index_of, slot_of);
    if (kInRegisters && __builtin_expect(num_others <= 8, 1)) {
      within = spread(within, others, places, 0, first);
      freq = spread(freq, others, places, 1, first);
      distance = spread(distance, others, places, 2, first);
    } else {
      const __m512i second = look_up_part<1, kInRegisters>(view, registers, index_of, slot_of);
      within = spread(within, others, places, 0, first, second);
      freq = spread(freq, others, places, 1, first, second);
      distance = spread(distance, others, places, 2, first, second);
    }
    if (num_others > 16) {
      const __mmask32 upper = _mm512_cmpgt_epu16_mask(places, _mm512_set1_epi16(63));
      const __m512i third = look_up_part<2, kInRegisters>(view, registers, index_of, slot_of);
      const __m512i fourth = look_up_part<3, kInRegisters>(view, registers, index_of, slot_of);
      within = spread(within, upper, places, 0, third, fourth);
      freq = spread(freq, upper, places, 1, third, fourth);
      distance = spread(distance, upper, places, 2, third, fourth);
    }
  }
  // x = freq * (2 * high + top bit of low) + within, in halves.
  const __m512i twice = _mm512_add_epi16(freq, freq);
  const __m512i addend = _mm512_mask_add_epi16(within, _mm512_movepi16_mask(s.low), within, freq);
  const __m512i low = _mm512_add_epi16(_mm512_mullo_epi16(twice, s.high), addend);
  __m512i high = _mm512_mulhi_epu16(twice, s.high);
  high = _mm512_mask_sub_epi16(high, _mm512_cmplt_epu16_mask(low, addend), high, _mm512_set1_epi16(-1));
  _mm512_storeu_si512(s.distances, distance);
  const __mmask32 renorm = _mm512_testn_epi16_mask(high, high);
  s.high = _mm512_mask_mov_epi16(high, renorm, low);
  s.low = _mm512_mask_expand_epi16(low, renorm, _mm512_loadu_si512(s.next));
  s.next += kLaneWordBytes * static_cast<std::size_t>(__builtin_popcount(renorm));
  s.indexes += kLanes;
  s.distances += kLanes;
}

template <int kCount, bool kInRegisters>
void decode_runs(const LaneView view, LaneDecodeRun* runs) {
  const __m512i even =
      _mm512_slli_epi16(_mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
                                         14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                        1);
  const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
  static constexpr std::uint16_t kNoRegisters[4 * kRegisterTables] = {};
  const Registers registers(kInRegisters ? view.registers : kNoRegisters);
  DecodeState s[kCount];
  std::size_t turns = runs[0].turns;
  for (int i = 0; i < kCount; ++i) {
    const __m512i a = _mm512_loadu_si512(runs[i].states), b = _mm512_loadu_si512(runs[i].states + 16);
    s[i] = {_mm512_permutex2var_epi16(a, odd, b),
            _mm512_permutex2var_epi16(a, even, b),
            runs[i].next,
            runs[i].limit,
            runs[i].indexes,
            runs[i].distances};
    turns = std::min(turns, runs[i].turns);
  }
  std::size_t left = turns;
  for (; left > 0; --left) {
    bool has_room = true;
    for (int i = 0; i < kCount; ++i) has_room &= s[i].next <= s[i].limit;
    if (__builtin_expect(!has_room, 0)) break;
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) decode_turn<kInRegisters>(view, registers, s[i]);
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
  switch (count) {
    case 1:
      return view.registers ? decode_runs<1, true>(view, runs) : decode_runs<1, false>(view, runs);
    case 2:
      return view.registers ? decode_runs<2, true>(view, runs) : decode_runs<2, false>(view, runs);
    case 3:
      return view.registers ? decode_runs<3, true>(view, runs) : decode_runs<3, false>(view, runs);
    default:
      return view.registers ? decode_runs<4, true>(view, runs) : decode_runs<4, false>(view, runs);
  }
}

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

template <bool kInRegisters>
inline __attribute__((always_inline)) void encode_turn(const LaneView view, const Registers& registers,
                                                       EncodeState& s, LaneEncodeRun& run) {
  s.indexes -= kLanes;
  s.distances -= kLanes;
  const __m512i index = _mm512_loadu_si512(s.indexes), distance = _mm512_loadu_si512(s.distances);
  __m512i freq = _mm512_setzero_si512(), bias = freq, bits = freq;
  __mmask32 others = ~__mmask32{0};
  if (kInRegisters) {
    const __m512i end0 = registers.of(0, index), end1 = registers.of(1, index), end2 = registers.of(2, index);
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
    if (__builtin_expect(escapes != 0, 0)) note_escapes(run, s.indexes, _pdep_u32(escapes, others));
  }
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

template <int kCount, bool kInRegisters>
void encode_runs(const LaneView view, LaneEncodeRun* runs) {
  static constexpr std::uint16_t kNoRegisters[4 * kRegisterTables] = {};
  const Registers registers(kInRegisters ? view.registers : kNoRegisters);
  EncodeState s[kCount];
  std::size_t turns = runs[0].turns;
  for (int i = 0; i < kCount; ++i) {
    s[i] = {_mm512_loadu_si512(runs[i].states), _mm512_loadu_si512(runs[i].states + 16), runs[i].next,
            runs[i].indexes, runs[i].distances};
    turns = std::min(turns, runs[i].turns);
  }
  for (std::size_t left = turns; left > 0; --left) {
#pragma GCC unroll 4
    for (int i = 0; i < kCount; ++i) encode_turn<kInRegisters>(view, registers, s[i], runs[i]);
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
  // Two at a time: more states than that spill, which costs more than it hides.
  for (; count >= 2; count -= 2, runs += 2)
    view.registers ? encode_runs<2, true>(view, runs) : encode_runs<2, false>(view, runs);
  if (count) view.registers ? encode_runs<1, true>(view, runs) : encode_runs<1, false>(view, runs);
}

}  // namespace

const LaneKernels kAvx512Lanes{decode, encode, narrow_indexes, to_distances, to_symbols};

}  // namespace scalecodec

#pragma GCC pop_options

#endif
