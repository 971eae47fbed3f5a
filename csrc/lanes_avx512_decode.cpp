/// Decoding of lanes with AVX-512: thresholds in registers, other lanes compressed, looked up with gathers,
/// and spread back.
#include "lanes_avx512.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX512)

namespace scalecodec {

namespace {

/// Cells as they were fetched, with the slot added, to what `look_up` returns: raw bits go over to the
/// distance.
inline __attribute__((always_inline)) __m512i without_raw_bits(__m512i cell) {
  if (__builtin_expect(_mm512_test_epi64_mask(cell, _mm512_set1_epi64(0x0007000000000000)) == 0, 1))
    return cell;
  const __m512i bits = _mm512_srli_epi64(cell, 48);
  const __m512i within = _mm512_and_si512(cell, _mm512_set1_epi64(0xffff));
  const __m512i shifted = _mm512_srlv_epi64(within, bits);
  const __m512i raw = _mm512_sub_epi64(within, _mm512_sllv_epi64(shifted, bits));
  cell = _mm512_sub_epi64(cell, _mm512_sub_epi64(within, shifted));
  return _mm512_add_epi16(cell, _mm512_slli_epi64(raw, 32));
}

/// Those of the cells that end before the slot: their place, the first 16 bits, is not below freq, the
/// second.
inline __attribute__((always_inline)) __mmask8 passed(__m512i cell) {
  const __mmask32 lowest = _mm512_mask_cmpge_epu16_mask(0x11111111, cell, _mm512_srli_epi64(cell, 16));
  return static_cast<__mmask8>(_pext_u32(lowest, 0x11111111));
}

/// Cells, the slot added.
inline __attribute__((always_inline)) __m512i fetch(const LaneCell* cells, __m512i at, __m512i slot) {
  return _mm512_add_epi16(_mm512_i64gather_epi64(at, cells, 8), slot);
}

__mmask8 starts_beyond(__m512i cell) {
  return _mm512_test_epi64_mask(cell, _mm512_set1_epi64(0x8000));
}

/// A third cell in a bucket, or a later one, by halving, for the lanes of `on`: what find_cell does. `ranks`:
/// of the bucket, and of the next in the byte above.
__attribute__((noinline)) __m512i look_further(LaneView view, __m128i index, __m512i first_cell,
                                               __m512i ranks, __m512i slot, __m512i cell, __mmask8 on) {
  const __m512i one = _mm512_set1_epi64(1), byte = _mm512_set1_epi64(255);
  const __m512i rows = _mm512_i32gather_epi64(_mm256_cvtepu16_epi32(index), view.encode_rows, 8);
  const __m512i num_values = _mm512_and_si512(_mm512_srli_epi64(rows, 16), _mm512_set1_epi64(0xffff));
  const __m512i raw_bits = _mm512_and_si512(_mm512_srli_epi64(rows, 32), _mm512_set1_epi64(7));
  const __mmask8 is_last = _mm512_cmpge_epu64_mask(slot, _mm512_set1_epi64(kNumSlots - (1 << kBucketBits)));
  __m512i low = _mm512_and_si512(ranks, byte);
  __m512i high = _mm512_and_si512(_mm512_srli_epi64(ranks, 8), byte);
  high = _mm512_mask_mov_epi64(high, is_last, _mm512_srlv_epi64(num_values, raw_bits));  // the escape's rank
  for (__mmask8 left = on; (left = _mm512_mask_cmplt_epu64_mask(left, low, high)) != 0;) {
    const __m512i middle = _mm512_srli_epi64(_mm512_add_epi64(_mm512_add_epi64(low, high), one), 1);
    const __mmask8 beyond =
        left & starts_beyond(fetch(view.cells, _mm512_add_epi64(first_cell, middle), slot));
    low = _mm512_mask_mov_epi64(low, left & ~beyond, middle);
    high = _mm512_mask_sub_epi64(high, beyond, middle, one);
  }
  return _mm512_mask_mov_epi64(cell, on,
                               without_raw_bits(fetch(view.cells, _mm512_add_epi64(first_cell, low), slot)));
}

/// 8 symbols' cells for lanes out of their order, in 64 bits each: place in the cell without raw bits, freq,
/// distance.
inline __attribute__((always_inline)) __m512i look_up(const LaneView view, __m512i first_cell, __m128i index,
                                                      __m128i slots) {
  const __m512i slot = _mm512_cvtepu16_epi64(slots);
  const __m512i bucket = _mm512_add_epi64(_mm512_slli_epi64(_mm512_cvtepu16_epi64(index), 8),
                                          _mm512_srli_epi64(slot, kBucketBits));
  const __m512i ranks = _mm512_i64gather_epi64(bucket, view.buckets, 1);
  const __m512i at = _mm512_add_epi64(first_cell, _mm512_and_si512(ranks, _mm512_set1_epi64(255)));
  // The next cell is fetched along: it seldom takes a third.
  const __m512i first = fetch(view.cells, at, slot);
  const __m512i second = fetch(view.cells + 1, at, slot);
  const __m512i cell = without_raw_bits(_mm512_mask_mov_epi64(second, starts_beyond(second), first));
  const __mmask8 on = passed(cell);
  return __builtin_expect(on == 0, 1) ? cell : look_further(view, index, first_cell, ranks, slot, cell, on);
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

/// What a turn's slots stand for.
struct Found {
  __m512i freq, within, distance;
};

/// Cells of any tables; those in registers first.
template <bool kInRegisters>
struct ManyTables {
  static constexpr std::uint16_t kNoRegisters[4 * kRegisterTables] = {};
  const LaneView view;
  const Registers registers;

  explicit ManyTables(const LaneView& of) : view(of), registers(kInRegisters ? of.registers : kNoRegisters) {}

  inline __attribute__((always_inline)) Found find(const std::uint16_t* indexes, __m512i slot) const {
    const __m512i index = _mm512_loadu_si512(indexes);
    __m512i freq = _mm512_setzero_si512(), within = freq, distance = freq;
    __mmask32 others = ~__mmask32{0};
    if (kInRegisters) {
      const __m512i end0 = registers.of(0, index), end1 = registers.of(1, index),
                    end2 = registers.of(2, index);
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
    return {freq, within, distance};
  }
};

/// One table of at most 2^kSteps cells, in registers whole: its cells are halved, and no memory is read.
template <int kSteps>
struct OneTable {
  const __m512i starts, freqs, distances;

  explicit OneTable(const LaneView& of)
      : starts(_mm512_loadu_si512(of.only->starts)),
        freqs(_mm512_loadu_si512(of.only->freqs)),
        distances(_mm512_loadu_si512(of.only->distances)) {}

  inline __attribute__((always_inline)) Found find(const std::uint16_t*, __m512i slot) const {
    __m512i rank = _mm512_setzero_si512();
#pragma GCC unroll 5
    for (int step = 1 << (kSteps - 1); step; step >>= 1) {
      const __m512i middle = _mm512_add_epi16(rank, _mm512_set1_epi16(static_cast<short>(step)));
      const __mmask32 beyond = _mm512_cmpge_epu16_mask(slot, _mm512_permutexvar_epi16(middle, starts));
      rank = _mm512_mask_mov_epi16(rank, beyond, middle);
    }
    return {_mm512_permutexvar_epi16(rank, freqs),
            _mm512_sub_epi16(slot, _mm512_permutexvar_epi16(rank, starts)),
            _mm512_permutexvar_epi16(rank, distances)};
  }
};

template <class Cells>
inline __attribute__((always_inline)) void decode_turn(const Cells& cells, DecodeState& s) {
  const __m512i slot = _mm512_and_si512(s.low, _mm512_set1_epi16(kNumSlots - 1));
  const Found found = cells.find(s.indexes, slot);
  const __m512i freq = found.freq, within = found.within;
  // x = freq * (2 * high + top bit of low) + within, in halves.
  const __m512i twice = _mm512_add_epi16(freq, freq);
  const __m512i addend = _mm512_mask_add_epi16(within, _mm512_movepi16_mask(s.low), within, freq);
  const __m512i low = _mm512_add_epi16(_mm512_mullo_epi16(twice, s.high), addend);
  __m512i high = _mm512_mulhi_epu16(twice, s.high);
  high = _mm512_mask_sub_epi16(high, _mm512_cmplt_epu16_mask(low, addend), high, _mm512_set1_epi16(-1));
  _mm512_storeu_si512(s.distances, found.distance);
  const __mmask32 renorm = _mm512_testn_epi16_mask(high, high);
  s.high = _mm512_mask_mov_epi16(high, renorm, low);
  s.low = _mm512_mask_expand_epi16(low, renorm, _mm512_loadu_si512(s.next));
  s.next += kLaneWordBytes * static_cast<std::size_t>(__builtin_popcount(renorm));
  s.indexes += kLanes;
  s.distances += kLanes;
}

template <int kCount, class Cells>
void decode_runs(const LaneView& view, LaneDecodeRun* runs) {
  const __m512i even =
      _mm512_slli_epi16(_mm512_set_epi16(31, 30, 29, 28, 27, 26, 25, 24, 23, 22, 21, 20, 19, 18, 17, 16, 15,
                                         14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
                        1);
  const __m512i odd = _mm512_add_epi16(even, _mm512_set1_epi16(1));
  const Cells cells(view);
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
    for (int i = 0; i < kCount; ++i) decode_turn(cells, s[i]);
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

template <class Cells>
void decode_with(const LaneView& view, LaneDecodeRun* runs, int count) {
  switch (count) {
    case 1:
      return decode_runs<1, Cells>(view, runs);
    case 2:
      return decode_runs<2, Cells>(view, runs);
    case 3:
      return decode_runs<3, Cells>(view, runs);
    default:
      return decode_runs<4, Cells>(view, runs);
  }
}

}  // namespace

void decode_avx512(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes) {
  for (int i = 0; i < count && num_lanes != kLanes; ++i) decode_one_by_one(view, runs[i], num_lanes);
  if (num_lanes != kLanes) return;
  if (view.only)
    return view.only->count <= 8 ? decode_with<OneTable<3>>(view, runs, count)
                                 : decode_with<OneTable<5>>(view, runs, count);
  return view.registers ? decode_with<ManyTables<true>>(view, runs, count)
                        : decode_with<ManyTables<false>>(view, runs, count);
}

}  // namespace scalecodec

SCALECODEC_TARGET_END

#endif
