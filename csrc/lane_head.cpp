/// The head of a lane chunk: packing and parsing.
#include "lane_head.hpp"

#include "lane_step.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kLaneCounts[] = {1, 4, 8, 32};
constexpr std::size_t kSideFlag = 2;  // in the place of tail_words, with one lane

int bit_length(std::uint32_t value) {
  int bits = 0;
  while (bits < 32 && value >> bits) ++bits;
  return bits;
}

/// Bits from the low end of each byte on.
struct BitReader {
  const std::uint8_t* next;
  const std::uint8_t* end;
  std::uint32_t held = 0;
  int num_held = 0;

  bool read(int count, std::uint32_t& value) {
    while (num_held < count) {
      if (next == end) return false;
      held |= std::uint32_t{*next++} << num_held;
      num_held += 8;
    }
    value = held & ((1u << count) - 1);
    held >>= count;
    num_held -= count;
    return true;
  }
};

bool read_single(const std::uint8_t*& next, const std::uint8_t* end, std::size_t w, LaneHead& head) {
  if (w >= 2 * kSideFlag) return false;
  std::uint64_t side_bytes = 0;
  if (w & kSideFlag && (!read_varint(next, end, side_bytes) || side_bytes == 0)) return false;
  const std::size_t num_bytes = (w & 1) + 3;
  if (static_cast<std::size_t>(end - next) < num_bytes || next[num_bytes - 1] == 0) return false;
  for (std::size_t i = 0; i < num_bytes; ++i) head.states[0] |= std::uint32_t{*next++} << (8 * i);
  head.side_bytes = static_cast<std::size_t>(side_bytes);
  const std::size_t left = static_cast<std::size_t>(end - next);
  return left >= head.side_bytes && (left - head.side_bytes) % kLaneWordBytes == 0;
}

bool read_states(const std::uint8_t*& next, const std::uint8_t* end, LaneHead& head) {
  const std::size_t lanes = head.num_lanes;
  if (static_cast<std::size_t>(end - next) < lanes / 2) return false;
  const std::uint8_t* lengths = next;
  BitReader bits{next + lanes / 2, end};
  for (std::size_t lane = 0; lane < lanes; ++lane) {
    const int rest_bits = lengths[lane / 2] >> (lane % 2 * 4) & 15;
    std::uint32_t rest;
    if (!bits.read(rest_bits, rest)) return false;
    head.states[lane] = (1u << rest_bits | rest) << 16;
  }
  next = bits.next;
  if (bits.held || static_cast<std::size_t>(end - next) < lanes * kLaneWordBytes) return false;
  for (std::size_t lane = 0; lane < lanes; ++lane, next += kLaneWordBytes)
    head.states[lane] |= load_lane_word(next);
  return true;
}

}  // namespace

bool read_varint(const std::uint8_t*& next, const std::uint8_t* end, std::uint64_t& value) {
  value = 0;
  const std::uint8_t* at = next;
  for (int shift = 0; shift < 35; shift += 7) {
    if (at == end) return false;
    const std::uint8_t byte = *at++;
    value |= std::uint64_t{byte & 127u} << shift;
    if (byte & 128) continue;
    if (byte == 0 && shift > 0) return false;
    next = at;
    return true;
  }
  return false;
}

void write_varint(std::uint64_t value, std::vector<std::uint8_t>& to) {
  for (; value >> 7; value >>= 7) to.push_back(static_cast<std::uint8_t>(value | 128));
  to.push_back(static_cast<std::uint8_t>(value));
}

bool read_head(const std::uint8_t*& next, const std::uint8_t* end, std::size_t num_symbols, LaneHead& head) {
  if (next == end) return false;
  const std::uint8_t first = *next++;
  head = {};
  head.num_lanes = kLaneCounts[first & 3];
  head.tail_words = first >> 2 & 31;
  if (head.num_lanes == 1) return first >> 7 == 0 && read_single(next, end, head.tail_words, head);
  if (head.tail_words > head.num_lanes - 2) return false;
  if (first >> 7) {
    if (next == end || *next == 0) return false;
    head.place = *next++;
  }
  head.tail_end = tail_end_of(head.place, num_symbols);
  std::uint64_t tail_size;
  if (!read_varint(next, end, tail_size) || tail_size > head.tail_end) return false;
  head.tail_size = static_cast<std::size_t>(tail_size);
  return read_states(next, end, head);
}

void write_head(const LaneHead& head, std::vector<std::uint8_t>& to) {
  std::size_t code = 0;
  while (kLaneCounts[code] != head.num_lanes) ++code;
  if (head.num_lanes == 1) {
    const std::size_t num_bytes = head.states[0] >> 24 ? 4 : 3;
    to.push_back(static_cast<std::uint8_t>((num_bytes - 3 + (head.side_bytes ? kSideFlag : 0)) << 2));
    if (head.side_bytes) write_varint(head.side_bytes, to);
    for (std::size_t i = 0; i < num_bytes; ++i)
      to.push_back(static_cast<std::uint8_t>(head.states[0] >> (8 * i)));
    return;
  }
  to.push_back(static_cast<std::uint8_t>(code | head.tail_words << 2 | (head.place ? 128 : 0)));
  if (head.place) to.push_back(static_cast<std::uint8_t>(head.place));
  write_varint(head.tail_size, to);
  for (std::size_t lane = 0; lane < head.num_lanes; lane += 2)
    to.push_back(static_cast<std::uint8_t>((bit_length(head.states[lane] >> 16) - 1) |
                                           (bit_length(head.states[lane + 1] >> 16) - 1) << 4));
  std::uint32_t held = 0;
  int num_held = 0;
  for (std::size_t lane = 0; lane < head.num_lanes; ++lane) {
    const std::uint32_t high = head.states[lane] >> 16;
    const int rest_bits = bit_length(high) - 1;
    held |= (high ^ 1u << rest_bits) << num_held;
    for (num_held += rest_bits; num_held >= 8; num_held -= 8, held >>= 8)
      to.push_back(static_cast<std::uint8_t>(held));
  }
  if (num_held) to.push_back(static_cast<std::uint8_t>(held));
  for (std::size_t lane = 0; lane < head.num_lanes; ++lane) {
    to.push_back(static_cast<std::uint8_t>(head.states[lane]));
    to.push_back(static_cast<std::uint8_t>(head.states[lane] >> 8));
  }
}

}  // namespace scalecodec
