/// AVX2 kernels of the lane stream: 32 lanes in four registers of 32-bit states.
///
/// Thresholds of 8 lanes come with two gathers; the symbols beyond them, few in usual latents, are looked up
/// one at a time. Encoding goes one lane at a time: without compression of words and masked moves AVX2 gains
/// nothing on it.
#include "lane_kernels.hpp"
#include "target.hpp"

#if defined(__x86_64__) && defined(__GNUC__)

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <cstring>

SCALECODEC_TARGET_BEGIN(SCALECODEC_AVX2)

#include "lane_blocks.hpp"
#include "lane_turns.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kLanes = 32;
constexpr std::size_t kGroups = kLanes / 8;

/// For each set of 8 lanes, which of the next words each lane of it takes.
constexpr std::array<std::uint64_t, 256> make_word_places() {
  std::array<std::uint64_t, 256> places{};
  for (std::size_t lanes = 0; lanes < 256; ++lanes) {
    std::uint64_t taken = 0;
    for (std::size_t lane = 0; lane < 8; ++lane)
      if (lanes >> lane & 1) places[lanes] |= taken++ << (8 * lane);
  }
  return places;
}
constexpr std::array<std::uint64_t, 256> kWordPlaces = make_word_places();

/// Thresholds of 64 tables, in the order in which gathers take them: end0 | end1 << 16, end2.
struct Thresholds {
  alignas(32) std::uint32_t ends[2 * kRegisterTables];

  explicit Thresholds(const std::uint16_t* registers) {
    for (std::size_t i = 0; i < kRegisterTables; ++i) {
      ends[2 * i] = registers[i] | std::uint32_t{registers[kRegisterTables + i]} << 16;
      ends[2 * i + 1] = registers[2 * kRegisterTables + i];
    }
  }
};

struct DecodeState {
  __m256i states[kGroups];
  const std::uint8_t* next;
  const std::uint8_t* limit;
  const std::uint16_t* indexes;
  std::int16_t* distances;
};

__m256i load(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
void store(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

/// What 8 slots stand for; `others`: those lanes of which it is not known.
struct Found {
  __m256i freq, start, distance;
  std::uint32_t others;
};

/// The first three cells of any tables.
struct ManyTables {
  const Thresholds thresholds;

  explicit ManyTables(const LaneView& view) : thresholds(view.registers) {}

  inline __attribute__((always_inline)) Found find(const std::uint16_t* indexes, __m256i slot) const {
    const __m256i index = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(indexes)));
    const int* ends = reinterpret_cast<const int*>(thresholds.ends);
    const __m256i both = _mm256_i32gather_epi32(ends, index, 8);
    const __m256i end0 = _mm256_and_si256(both, _mm256_set1_epi32(0xffff)),
                  end1 = _mm256_srli_epi32(both, 16);
    const __m256i end2 = _mm256_i32gather_epi32(ends + 1, index, 8);
    const __m256i is_mode = _mm256_cmpgt_epi32(end0, slot), before1 = _mm256_cmpgt_epi32(end1, slot),
                  before2 = _mm256_cmpgt_epi32(end2, slot);
    const __m256i start = _mm256_andnot_si256(is_mode, _mm256_blendv_epi8(end1, end0, before1));
    const __m256i end = _mm256_blendv_epi8(_mm256_blendv_epi8(end2, end1, before1), end0, is_mode);
    // 0 for the mode, else 1 before end1, -1 behind it.
    const __m256i distance = _mm256_andnot_si256(
        is_mode, _mm256_sub_epi32(_mm256_set1_epi32(-1), _mm256_add_epi32(before1, before1)));
    const int known = _mm256_movemask_ps(_mm256_castsi256_ps(before2));
    return {_mm256_sub_epi32(end, start), start, distance, ~static_cast<std::uint32_t>(known) & 255};
  }
};

/// One table of at most 8 cells, in registers whole: its cells are halved, and no memory is read.
struct OneTable {
  static constexpr std::size_t kMost = 8;
  const __m256i starts, freqs, distances;

  explicit OneTable(const LaneView& view)
      : starts(_mm256_cvtepu16_epi32(load_half(view.only->starts))),
        freqs(_mm256_cvtepu16_epi32(load_half(view.only->freqs))),
        distances(_mm256_cvtepi16_epi32(load_half(view.only->distances))) {}

  static __m128i load_half(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }

  inline __attribute__((always_inline)) Found find(const std::uint16_t*, __m256i slot) const {
    __m256i rank = _mm256_setzero_si256();
    for (int step = kMost / 2; step; step >>= 1) {
      const __m256i middle = _mm256_add_epi32(rank, _mm256_set1_epi32(step));
      const __m256i before = _mm256_cmpgt_epi32(_mm256_permutevar8x32_epi32(starts, middle), slot);
      rank = _mm256_blendv_epi8(middle, rank, before);
    }
    return {_mm256_permutevar8x32_epi32(freqs, rank), _mm256_permutevar8x32_epi32(starts, rank),
            _mm256_permutevar8x32_epi32(distances, rank), 0};
  }
};

/// The symbols of 8 lanes so far as `cells` tell them: new states and distances; returns the lanes beyond
/// them.
template <class Cells>
inline __attribute__((always_inline)) std::uint32_t decode_common(const Cells& cells, __m256i x,
                                                                  const std::uint16_t* indexes,
                                                                  std::uint32_t* states,
                                                                  std::int32_t* distances) {
  const __m256i slot = _mm256_and_si256(x, _mm256_set1_epi32(kNumSlots - 1));
  const Found found = cells.find(indexes, slot);
  const __m256i product = _mm256_mullo_epi32(found.freq, _mm256_srli_epi32(x, kSlotBits));
  store(states, _mm256_add_epi32(product, _mm256_sub_epi32(slot, found.start)));
  store(distances, found.distance);
  return found.others;
}

template <class Cells>
inline __attribute__((always_inline)) void decode_turn(const LaneView& view, const Cells& cells,
                                                       DecodeState& s) {
  alignas(32) std::uint32_t old[kLanes], fresh[kLanes];
  alignas(32) std::int32_t distances[kLanes];
  std::uint32_t others = 0;
  for (std::size_t group = 0; group < kGroups; ++group) {
    store(old + 8 * group, s.states[group]);
    others |=
        decode_common(cells, s.states[group], s.indexes + 8 * group, fresh + 8 * group, distances + 8 * group)
        << (8 * group);
  }
  for (; others; others &= others - 1) {
    const std::size_t lane = static_cast<std::size_t>(__builtin_ctz(others));
    std::uint32_t x = old[lane];
    distances[lane] = take_symbol(view, s.indexes[lane], x);
    fresh[lane] = x;
  }
  for (std::size_t group = 0; group < kGroups; ++group) {
    const __m256i x = load(fresh + 8 * group);
    const __m256i renorm = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const std::uint32_t lanes = static_cast<std::uint32_t>(_mm256_movemask_ps(_mm256_castsi256_ps(renorm)));
    const __m256i places =
        _mm256_cvtepu8_epi32(_mm_cvtsi64_si128(static_cast<long long>(kWordPlaces[lanes])));
    const __m256i words = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(s.next)));
    const __m256i with_word =
        _mm256_or_si256(_mm256_slli_epi32(x, 16), _mm256_permutevar8x32_epi32(words, places));
    s.states[group] = _mm256_blendv_epi8(x, with_word, renorm);
    s.next += kLaneWordBytes * static_cast<std::size_t>(__builtin_popcount(lanes));
  }
  for (std::size_t half = 0; half < 2; ++half) {
    const __m256i packed = _mm256_packs_epi32(load(distances + 16 * half), load(distances + 16 * half + 8));
    store(s.distances + 16 * half, _mm256_permute4x64_epi64(packed, 0xd8));
  }
  s.indexes += kLanes;
  s.distances += kLanes;
}

template <int kCount, class Cells>
void decode_runs(const LaneView& view, LaneDecodeRun* runs) {
  const Cells cells(view);
  DecodeState s[kCount];
  std::size_t turns = runs[0].turns;
  for (int i = 0; i < kCount; ++i) {
    s[i].next = runs[i].next;
    s[i].limit = runs[i].limit;
    s[i].indexes = runs[i].indexes;
    s[i].distances = runs[i].distances;
    for (std::size_t group = 0; group < kGroups; ++group)
      s[i].states[group] = load(runs[i].states + 8 * group);
    turns = std::min(turns, runs[i].turns);
  }
  std::size_t left = turns;
  for (; left > 0; --left) {
    bool has_room = true;
    for (int i = 0; i < kCount; ++i) has_room &= s[i].next <= s[i].limit;
    if (!has_room) break;
    for (int i = 0; i < kCount; ++i) decode_turn(view, cells, s[i]);
  }
  for (int i = 0; i < kCount; ++i) {
    for (std::size_t group = 0; group < kGroups; ++group)
      store(runs[i].states + 8 * group, s[i].states[group]);
    runs[i].next = s[i].next;
    runs[i].indexes = s[i].indexes;
    runs[i].distances = s[i].distances;
    runs[i].turns -= turns - left;
  }
}

template <class Cells>
void decode_with(const LaneView& view, LaneDecodeRun* runs, int count) {
  for (; count >= 2; count -= 2, runs += 2) decode_runs<2, Cells>(view, runs);
  if (count) decode_runs<1, Cells>(view, runs);
}

void decode(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes) {
  const bool in_groups = num_lanes == kLanes;
  if (in_groups && view.only && view.only->count <= OneTable::kMost)
    return decode_with<OneTable>(view, runs, count);
  if (in_groups && view.registers) return decode_with<ManyTables>(view, runs, count);
  for (int i = 0; i < count; ++i) decode_one_by_one(view, runs[i], num_lanes);
}

void encode(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes) {
  for (int i = 0; i < count; ++i) encode_one_by_one(view, runs[i], num_lanes);
}

}  // namespace

const LaneKernels kAvx2Lanes{decode, encode, blocks::narrow_indexes, blocks::to_distances,
                             blocks::to_symbols};

}  // namespace scalecodec

SCALECODEC_TARGET_END

#endif
