/// Turns of lanes, one lane at a time: what scalar code does, and every kernel set where lanes are few.
/// Internal linkage on purpose: each set compiles these loops for its instructions, and the copies must not
/// be merged.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "lane_step.hpp"

namespace scalecodec {

namespace {

template <std::size_t kLanes>
void decode_turns(const LaneView& view, LaneDecodeRun& run) {
  std::uint32_t states[kLanes];
  std::copy(run.states, run.states + kLanes, states);
  // Locals, so that they stay in registers.
  const std::uint8_t* next = run.next;
  const std::uint16_t* indexes = run.indexes;
  std::int16_t* distances = run.distances;
  std::size_t turns = run.turns;
  for (; turns > 0 && next <= run.limit; --turns, indexes += kLanes, distances += kLanes) {
    for (std::size_t lane = 0; lane < kLanes; ++lane) {
      std::uint32_t x = states[lane];
      distances[lane] = static_cast<std::int16_t>(take_symbol(view, indexes[lane], x));
      const bool renorm = x < kLaneStateLow;
      const std::uint32_t with_word = x << 16 | load_lane_word(next);
      states[lane] = renorm ? with_word : x;
      next += renorm ? kLaneWordBytes : 0;
    }
  }
  std::copy(states, states + kLanes, run.states);
  run.next = next;
  run.indexes = indexes;
  run.distances = distances;
  run.turns = turns;
}

template <std::size_t kLanes>
void encode_turns(const LaneView& view, LaneEncodeRun& run) {
  std::uint32_t states[kLanes];
  std::copy(run.states, run.states + kLanes, states);
  std::uint8_t* next = run.next;
  for (; run.turns > 0; --run.turns) {
    run.indexes -= kLanes;
    run.distances -= kLanes;
    for (std::size_t lane = kLanes; lane-- > 0;) {
      const LocatedStep at = locate_step(view, run.indexes[lane], run.distances[lane]);
      std::uint32_t x = states[lane];
      const bool full = must_put_out(x, at.step->freq);
      store_lane_word(next - kLaneWordBytes, x);  // kept only if next moves
      next -= full ? kLaneWordBytes : 0;
      x = full ? x >> 16 : x;
      states[lane] = put_symbol(x, at);
      if (at.is_escape)
        run.escapes[run.num_escapes++] = static_cast<std::uint16_t>(run.indexes + lane - run.origin);
    }
  }
  std::copy(states, states + kLanes, run.states);
  run.next = next;
}

/// All turns of one stream, of 4, 8 or 32 lanes.
inline void decode_one_by_one(const LaneView& view, LaneDecodeRun& run, std::size_t num_lanes) {
  if (num_lanes == 4) return decode_turns<4>(view, run);
  return num_lanes == 8 ? decode_turns<8>(view, run) : decode_turns<32>(view, run);
}

inline void encode_one_by_one(const LaneView& view, LaneEncodeRun& run, std::size_t num_lanes) {
  if (num_lanes == 4) return encode_turns<4>(view, run);
  return num_lanes == 8 ? encode_turns<8>(view, run) : encode_turns<32>(view, run);
}

}  // namespace

}  // namespace scalecodec
