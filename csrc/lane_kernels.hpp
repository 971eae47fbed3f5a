/// The contract of a kernel set: what the lane stream asks of scalar, AVX2 and AVX-512 code alike.
#pragma once

#include <cstddef>
#include <cstdint>

#include "lane_table.hpp"

namespace scalecodec {

constexpr std::size_t kMaxLanes = 32;
constexpr int kMaxRuns = 4;  // streams in turns: each hides the others' latency
constexpr std::size_t kLaneBlock =
    1024;                              // symbols a kernel is given at a time, at most: 2 KiB each way, in L1
constexpr std::size_t kLaneRoom = 64;  // bytes a kernel may read from its limit on: a turn of 32 words

struct LaneDecodeRun {
  const std::uint8_t* next;   // the next word
  const std::uint8_t* limit;  // no turn starts beyond it; kLaneRoom bytes can be read there
  std::uint32_t* states;
  const std::uint16_t* indexes;
  std::int16_t* distances;  // from the mode; kEscapeDistance for an escape
  std::size_t turns;        // still to do
};

struct LaneEncodeRun {
  std::uint8_t* next;  // the last word put out; words go downwards
  std::uint32_t* states;
  const std::uint16_t* indexes;   // one beyond the last: turns are taken from the end
  const std::int16_t* distances;  // likewise
  const std::uint16_t* origin;    // of places: the block's first index
  std::uint16_t* escapes;         // places of escapes, in the order of coding
  std::size_t num_escapes;
  std::size_t turns;
};

/// What to_symbols met, besides symbols.
struct WidenResult {
  bool has_escapes;
  bool overflows;  // a symbol that is no int32
};

struct LaneKernels {
  /// Decode turns of `num_lanes` symbols for `count` streams, 1 to kMaxRuns, until one of them has no turns
  /// left or lacks room. Several streams: 32 lanes only.
  void (*decode)(const LaneView& view, LaneDecodeRun* runs, int count, std::size_t num_lanes);
  /// Encode turns, the last first, likewise; there is always room.
  void (*encode)(const LaneView& view, LaneEncodeRun* runs, int count, std::size_t num_lanes);
  /// Copy indexes; returns whether all lie in [0, num_tables).
  bool (*narrow_indexes)(const std::int32_t* from, std::size_t count, std::uint32_t num_tables,
                         std::uint16_t* to);
  /// Symbols to distances from the modes of their tables, saturated. `modes` is null if all are 0, `indexes`
  /// if the table is the same for all: `modes` is its mode then.
  void (*to_distances)(const std::int32_t* symbols, std::size_t count, const std::uint16_t* indexes,
                       const std::int32_t* modes, std::int16_t* distances);
  /// The other way.
  WidenResult (*to_symbols)(const std::int16_t* distances, std::size_t count, const std::uint16_t* indexes,
                            const std::int32_t* modes, std::int32_t* symbols);
};

extern const LaneKernels kScalarLanes;
#if defined(__x86_64__) && defined(__GNUC__)
extern const LaneKernels kAvx2Lanes;
extern const LaneKernels kAvx512Lanes;
#endif

}  // namespace scalecodec
