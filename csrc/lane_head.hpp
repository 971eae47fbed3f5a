/// The head of a lane chunk: how many lanes, where its tail is, the first states (FORMAT.md, section 5.3).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lane_kernels.hpp"

namespace scalecodec {

constexpr std::uint8_t kManyChunks = 0x7c;  // instead of a first byte: FORMAT.md, section 5.4

/// Unsigned LEB128, shortest spelling, at most 5 bytes. Reading returns false, and moves nothing, if there is
/// none.
bool read_varint(const std::uint8_t*& next, const std::uint8_t* end, std::uint64_t& value);
void write_varint(std::uint64_t value, std::vector<std::uint8_t>& to);

struct LaneHead {
  std::size_t num_lanes = 1;
  std::size_t tail_words = 0;
  std::size_t tail_end =
      0;          // the tail is the `tail_size` symbols before this one; with one lane there is none
  int place = 0;  // in 1/256 of the symbols, or 0: tail_end is all of them
  std::size_t tail_size = 0;
  std::size_t side_bytes = 0;  // one lane only: of the side stream
  std::uint32_t states[kMaxLanes] = {};
};

inline std::size_t tail_end_of(int place, std::size_t num_symbols) {
  return place ? num_symbols / 256 * static_cast<std::size_t>(place) +
                     num_symbols % 256 * static_cast<std::size_t>(place) / 256
               : num_symbols;
}

/// Parse the head of a chunk of `num_symbols`; `next` moves to its words. False where it is malformed.
bool read_head(const std::uint8_t*& next, const std::uint8_t* end, std::size_t num_symbols, LaneHead& head);
void write_head(const LaneHead& head, std::vector<std::uint8_t>& to);

}  // namespace scalecodec
