/// One symbol of the lane stream at a time: the arithmetic that defines the format (FORMAT.md, section 5.2).
/// Internal linkage on purpose: kernel sets compile it for their instructions, and the copies must not be
/// merged.
#pragma once

#include <cstdint>
#include <cstring>

#include "lane_kernels.hpp"

namespace scalecodec {

namespace {

constexpr std::uint32_t kLaneStateLow = 1u << 16;
constexpr std::size_t kLaneWordBytes = 2;

// Words are little-endian; one access where the machine is so too, which compilers do not find by themselves.
inline std::uint32_t load_lane_word(const std::uint8_t* from) {
  return from[0] | std::uint32_t{from[1]} << 8;
}

inline void store_lane_word(std::uint8_t* to, std::uint32_t word) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
  const std::uint16_t low = static_cast<std::uint16_t>(word);
  std::memcpy(to, &low, sizeof low);
#else
  to[0] = static_cast<std::uint8_t>(word);
  to[1] = static_cast<std::uint8_t>(word >> 8);
#endif
}

inline std::uint32_t place_in(const LaneCell& cell, std::uint32_t slot) {
  return (slot + cell.minus_start) & 0xffff;
}

inline bool is_behind(const LaneCell& cell, std::uint32_t slot) {
  return place_in(cell, slot) >= std::uint32_t{cell.freq} << cell.raw_bits;
}

/// Take a symbol of cell `cell` out of the state, `within` the slot's place in it. Returns its distance from
/// the mode.
inline std::int32_t take_from(const LaneCell& cell, std::uint32_t within, std::uint32_t& x) {
  x = cell.freq * (x >> kSlotBits) + (within >> cell.raw_bits);
  return cell.distance + static_cast<std::int32_t>(within & ((1u << cell.raw_bits) - 1));
}

/// The cell that has `slot`, by halving its bucket's cells: where there are more than two, there may be a
/// hundred, and a hostile stream would ask for the last of them every time.
[[gnu::noinline, maybe_unused]] const LaneCell* find_cell(const LaneView& view, std::size_t index,
                                                          std::uint32_t slot) {
  const LaneCell* cells = view.cells + view.first_cells[index];
  const std::uint8_t* bucket = view.buckets + index * kNumBuckets + (slot >> kBucketBits);
  const std::uint64_t row = view.encode_rows[index];
  std::size_t low = *bucket, high = (row >> 16 & 0xffff) >> (row >> 32 & 7);  // the escape's rank
  if (slot >> kBucketBits < kNumBuckets - 1) high = bucket[1];
  while (low < high) {
    const std::size_t middle = (low + high + 1) / 2;
    const bool begins = place_in(cells[middle], slot) < kNumSlots;  // else the difference is negative
    low = begins ? middle : low;
    high = begins ? high : middle - 1;
  }
  return cells + low;
}

/// Take one symbol out of the state, which may fall below kLaneStateLow, almost without branches: for lanes
/// in turns.
inline std::int32_t take_symbol(const LaneView& view, std::size_t index, std::uint32_t& x) {
  const std::uint32_t slot = x & (kNumSlots - 1);
  const LaneCell* at =
      view.cells + view.first_cells[index] + view.buckets[index * kNumBuckets + (slot >> kBucketBits)];
  if (is_behind(*at, slot) && is_behind(*++at, slot)) at = find_cell(view, index, slot);
  return take_from(*at, place_in(*at, slot), x);
}

/// The same for a single state: most symbols are in their table's first cell, and predicting that keeps the
/// look-up out of the chain of states.
inline std::int32_t guess_symbol(const LaneView& view, std::size_t index, std::uint32_t& x) {
  const LaneCell& mode = view.cells[view.first_cells[index]];
  const std::uint32_t slot = x & (kNumSlots - 1);
  if (slot < std::uint32_t{mode.freq} << mode.raw_bits) return take_from(mode, slot, x);
  return take_symbol(view, index, x);
}

/// A symbol's step and raw bits; `is_escape` where no cell has it.
struct LocatedStep {
  const LaneStep* step;
  std::uint32_t raw_bits;
  std::uint32_t raw;
  bool is_escape;
};

inline LocatedStep locate_step(const LaneView& view, std::size_t index, std::int32_t distance) {
  const std::uint64_t row = view.encode_rows[index];
  const std::uint32_t value = static_cast<std::uint32_t>(distance) + static_cast<std::uint16_t>(row);
  const std::uint32_t num_values = row >> 16 & 0xffff;
  const std::uint32_t raw_bits = row >> 32 & 7;
  const LaneStep* steps = view.steps + (row >> 35);
  const bool is_escape = value >= num_values;
  if (is_escape) return {steps + (num_values >> raw_bits), 0, 0, true};
  return {steps + (value >> raw_bits), raw_bits, value & ((1u << raw_bits) - 1), false};
}

/// Whether a word must leave the state before the step.
inline bool must_put_out(std::uint32_t x, std::uint32_t freq) {
  return x >> 17 >= freq;
}

/// Put one symbol into the state. Requires: not must_put_out. With q = floor(x / freq):
/// q 2^15 + start + (x - q freq) 2^raw_bits + raw = x 2^raw_bits + start + raw + q (2^15 - freq 2^raw_bits),
/// modulo 2^32.
inline std::uint32_t put_symbol(std::uint32_t x, const LocatedStep& at) {
  const std::uint32_t quotient = static_cast<std::uint32_t>(x * at.step->multiplier >> 47);
  return (x << at.raw_bits) + (at.step->start + at.raw) + quotient * at.step->complement;
}

}  // namespace

}  // namespace scalecodec
