/// Scalar kernels of the lane stream: they define the format and run everywhere.
#include <algorithm>
#include <type_traits>

#include "lane_blocks.hpp"
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

template <class Action>
void with_lanes(std::size_t num_lanes, Action&& action) {
  switch (num_lanes) {
    case 4:
      return action(std::integral_constant<std::size_t, 4>{});
    case 8:
      return action(std::integral_constant<std::size_t, 8>{});
    default:
      return action(std::integral_constant<std::size_t, 32>{});
  }
}

void decode(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes) {
  with_lanes(num_lanes, [&](auto lanes) {
    for (int i = 0; i < count; ++i) decode_turns<lanes()>(view, runs[i]);
  });
}

void encode(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes) {
  with_lanes(num_lanes, [&](auto lanes) {
    for (int i = 0; i < count; ++i) encode_turns<lanes()>(view, runs[i]);
  });
}

}  // namespace

const LaneKernels kScalarLanes{decode, encode, blocks::narrow_indexes, blocks::to_distances,
                               blocks::to_symbols};

}  // namespace scalecodec
