/// The lane stream from its page alone (FORMAT.md, section 5): tables and a decoder, slow and plain. Nothing
/// of the core's code is used but its integer types, so that both being wrong in one way takes two mistakes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <vector>

namespace page {

/// A cell, or the escape; they lie in the order of their slots.
struct Cell {
  std::uint32_t start, width, freq;
  int raw_bits;
  std::int64_t number;  // u
  std::int64_t first;   // its first symbol
  bool is_escape;
};

/// Section 5.1, point by point.
struct Table {
  int k = 0;
  std::int64_t mode = 0;             // the symbol
  std::int64_t first = 0, last = 0;  // symbols of all cells
  std::vector<Cell> cells;
  std::uint32_t cost = 0;

  Table(const std::int32_t* cdf, std::size_t length, std::int64_t offset);
  const Cell& at_slot(std::uint32_t slot) const;
  const Cell& of_symbol(std::int64_t symbol) const;

 private:
  void group(const std::vector<std::uint64_t>& c, std::int64_t offset, std::uint64_t escape);
};

inline std::int64_t floor_shift(std::int64_t value, int bits) {
  const std::int64_t size = std::int64_t{1} << bits;
  return value >= 0 ? value / size : -((-value + size - 1) / size);
}

inline std::uint64_t gain(std::uint64_t f) {
  const std::uint64_t d = 2 * f + 1, one = std::uint64_t{1} << 48;
  return one / d + one / (3 * d * d * d);
}

/// Point 4.
inline std::vector<std::uint64_t> shares(const std::vector<std::uint64_t>& weights, std::uint64_t m) {
  std::vector<std::uint64_t> f;
  std::uint64_t sum = 0;
  for (std::uint64_t weight : weights) {
    f.push_back(std::max<std::uint64_t>(1, (2 * weight * m + 65536) / 131072));
    sum += f.back();
  }
  for (; sum < m; ++sum) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < f.size(); ++i)
      if (weights[i] * gain(f[i]) > weights[best] * gain(f[best])) best = i;
    ++f[best];
  }
  for (; sum > m; --sum) {
    std::size_t best = f.size();
    for (std::size_t i = 0; i < f.size(); ++i)
      if (f[i] > 1 && (best == f.size() || weights[i] * gain(f[i] - 1) < weights[best] * gain(f[best] - 1)))
        best = i;
    --f[best];
  }
  return f;
}

inline Table::Table(const std::int32_t* cdf, std::size_t length, std::int64_t offset) {
  std::vector<std::uint64_t> c;
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 1 < length; ++i) {
    c.push_back(static_cast<std::uint64_t>(cdf[i + 1] - cdf[i]));
    std::uint64_t j = 0;
    while (c[i] >> (j + 1)) ++j;
    sum += c[i] * (4096 - (256 * j + 256 * (c[i] - (std::uint64_t{1} << j)) / (std::uint64_t{1} << j)));
  }
  cost = static_cast<std::uint32_t>(sum / 65536);
  const std::uint64_t escape = c.back();
  c.pop_back();
  if (c.empty()) c.push_back(0);
  group(c, offset, escape);
}

/// Points 1 to 5.
inline void Table::group(const std::vector<std::uint64_t>& c, std::int64_t offset, std::uint64_t escape) {
  const std::int64_t n = static_cast<std::int64_t>(c.size());
  std::int64_t m = 0;
  for (std::int64_t v = 1; v < n; ++v) {
    const std::uint64_t here = c[static_cast<std::size_t>(v)], best = c[static_cast<std::size_t>(m)];
    if (here > best || (here == best && std::abs(offset + v) < std::abs(offset + m))) m = v;
  }
  mode = offset + m;
  const auto cell_of = [&](std::int64_t v) { return floor_shift(v - m + (std::int64_t{1} << k) / 2, k); };
  while (k < 7 && cell_of(n - 1) - cell_of(0) + 1 > 128) ++k;
  std::int64_t from = cell_of(0), to = cell_of(n - 1);
  if (to - from + 1 > 128) {
    from = std::max(from, std::min<std::int64_t>(-64, to - 127));
    to = from + 127;
  }
  std::vector<std::uint64_t> weights(static_cast<std::size_t>(to - from + 2));
  weights.back() = escape;
  for (std::int64_t v = 0; v < n; ++v) {
    const std::int64_t u = cell_of(v);
    const bool kept = u >= from && u <= to;
    weights[kept ? static_cast<std::size_t>(u - from) : weights.size() - 1] += c[static_cast<std::size_t>(v)];
  }
  const std::vector<std::uint64_t> f = shares(weights, std::uint64_t{1} << (15 - k));
  const auto first_of = [&](std::int64_t u) {
    return mode + u * (std::int64_t{1} << k) - (std::int64_t{1} << k) / 2;
  };
  first = first_of(from);
  last = first_of(to + 1) - 1;
  std::uint32_t start = 0;
  const auto give = [&](std::int64_t u, bool is_escape) {
    const std::uint32_t freq =
        static_cast<std::uint32_t>(f[is_escape ? f.size() - 1 : static_cast<std::size_t>(u - from)]);
    const std::uint32_t width = freq << k;
    cells.push_back({start, width, is_escape ? width : freq, is_escape ? 0 : k, u, first_of(u), is_escape});
    start += width;
  };
  give(0, false);
  for (std::int64_t u = 1; u <= 128; ++u) {
    if (u <= to) give(u, false);
    if (-u >= from) give(-u, false);
  }
  give(0, true);
}

inline const Cell& Table::at_slot(std::uint32_t slot) const {
  std::size_t i = 0;
  while (slot >= cells[i].start + cells[i].width) ++i;
  return cells[i];
}

inline const Cell& Table::of_symbol(std::int64_t symbol) const {
  for (const Cell& cell : cells)
    if (!cell.is_escape && symbol >= cell.first && symbol < cell.first + (std::int64_t{1} << k)) return cell;
  return cells.back();
}

/// Bytes from the front or, for the side stream, from the end.
struct Bytes {
  const std::uint8_t* begin;
  const std::uint8_t* end;

  std::size_t size() const { return static_cast<std::size_t>(end - begin); }
  bool front(std::uint64_t& byte) {
    if (begin == end) return false;
    byte = *begin++;
    return true;
  }
  bool back(std::uint64_t& byte) {
    if (begin == end) return false;
    byte = *--end;
    return true;
  }
  bool word(std::uint32_t& value) {
    if (size() < 2) return false;
    value = begin[0] + 256u * begin[1];
    begin += 2;
    return true;
  }
};

/// Unsigned LEB128 below 2^35, no last byte 00 behind another.
template <class Next>
bool read_number(Next&& next, std::uint64_t& value) {
  value = 0;
  for (int i = 0; i < 5; ++i) {
    std::uint64_t byte;
    if (!next(byte)) return false;
    value += byte % 128 << (7 * i);
    if (byte < 128) return i == 0 || byte > 0;
  }
  return false;
}

/// One chunk of `count` symbols; `Tables` gives the table of a symbol, or null for an index out of range.
template <class Tables>
class Chunk {
 public:
  Chunk(Bytes bytes, std::size_t count, const Tables& tables, std::int64_t* symbols)
      : all_(bytes), count_(count), tables_(tables), symbols_(symbols) {}

  /// Section 5.3; false where a decoder must refuse.
  bool decode() {
    std::uint64_t head;
    if (!all_.front(head)) return false;
    constexpr std::size_t kLanes[] = {1, 4, 8, 32};
    lanes_ = kLanes[head % 4];
    const std::uint64_t w = head / 4 % 32;
    return lanes_ == 1 ? head < 128 && decode_one(w) : decode_lanes(w, head >= 128);
  }

 private:
  bool read(std::uint64_t& value) {
    return read_number([&](std::uint64_t& byte) { return all_.front(byte); }, value);
  }

  /// One symbol out of the state, without reading words.
  bool step(std::size_t place, std::uint32_t& x) {
    const Table* table = tables_(place);
    if (!table) return false;
    const std::uint32_t slot = x % 32768;
    const Cell& cell = table->at_slot(slot);
    const std::uint32_t in_cell = slot - cell.start;
    const std::uint32_t raw = cell.is_escape ? 0 : in_cell % (1u << cell.raw_bits);
    x = cell.freq * (x / 32768) + (in_cell >> cell.raw_bits);
    symbols_[place] = cell.first + raw;
    if (cell.is_escape) {
      std::uint64_t code;
      if (!read_number([&](std::uint64_t& byte) { return side_.back(byte); }, code)) return false;
      const std::int64_t half = static_cast<std::int64_t>(code / 2);
      symbols_[place] = code % 2 ? table->first - half - 1 : table->last + 1 + half;
    }
    return symbols_[place] >= std::numeric_limits<std::int32_t>::min() &&
           symbols_[place] <= std::numeric_limits<std::int32_t>::max();
  }

  /// Symbols [first, last) with one state and words of its own.
  bool decode_single(std::size_t first, std::size_t last, std::uint32_t x, Bytes words) {
    for (std::size_t place = first; place < last; ++place) {
      if (!step(place, x)) return false;
      std::uint32_t word;
      if (x >= 65536) continue;
      if (!words.word(word)) return false;
      x = 65536 * x + word;
    }
    return words.size() == 0 && x == 65536;
  }

  bool decode_one(std::uint64_t w) {
    if (w > 3) return false;
    std::uint64_t side_bytes = 0;
    if (w >= 2 && (!read(side_bytes) || side_bytes == 0)) return false;
    std::uint32_t x = 0;
    std::uint64_t byte = 0;
    for (std::uint64_t i = 0; i < 3 + w % 2; ++i) {
      if (!all_.front(byte)) return false;
      x |= static_cast<std::uint32_t>(byte) << (8 * i);
    }
    if (byte == 0 || all_.size() < side_bytes) return false;
    const Bytes words{all_.begin, all_.end - side_bytes};
    side_ = {words.end, all_.end};
    return words.size() % 2 == 0 && decode_single(0, count_, x, words) && side_.size() == 0;
  }

  /// Lengths, rests and lows of the states.
  bool read_states(std::uint32_t* states) {
    if (all_.size() < lanes_ / 2) return false;
    const std::uint8_t* lengths = all_.begin;
    all_.begin += lanes_ / 2;
    std::uint64_t byte = 0;
    int bits_left = 0;
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      const int rest_bits = lane % 2 ? lengths[lane / 2] / 16 : lengths[lane / 2] % 16;
      std::uint32_t high = 1u << rest_bits;
      for (int i = 0; i < rest_bits; ++i, byte /= 2, --bits_left) {
        if (bits_left == 0) {
          if (!all_.front(byte)) return false;
          bits_left = 8;
        }
        high += static_cast<std::uint32_t>(byte % 2) << i;
      }
      states[lane] = 65536 * high;
    }
    if (byte != 0) return false;
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      std::uint32_t low;
      if (!all_.word(low)) return false;
      states[lane] += low;
    }
    return true;
  }

  bool decode_lanes(std::uint64_t w, bool has_place) {
    std::uint64_t place = 0, tail;
    if (w > lanes_ - 2) return false;
    if (has_place && (!all_.front(place) || place == 0)) return false;
    const std::size_t end = has_place ? place * count_ / 256 : count_;
    std::uint32_t states[32];
    if (!read(tail) || tail > end || !read_states(states)) return false;
    side_ = all_;
    Bytes words = all_;
    for (std::size_t j = 0; j < count_ - tail; ++j) {
      const std::size_t at = j < end - tail ? j : j + tail;
      std::uint32_t& x = states[j % lanes_];
      if (!step(at, x)) return false;
      std::uint32_t word;
      if (x >= 65536) continue;
      if (!words.word(word)) return false;
      x = 65536 * x + word;
    }
    std::uint8_t seeds[64];
    for (std::size_t lane = 0; lane < lanes_; ++lane) {
      if (states[lane] < 65536 || states[lane] >= 2 * 65536) return false;
      if (lane >= 2 + w && states[lane] != 65536) return false;
      seeds[2 * lane] = static_cast<std::uint8_t>(states[lane]);
      seeds[2 * lane + 1] = static_cast<std::uint8_t>(states[lane] >> 8);
    }
    const std::uint32_t x = (states[0] - 65536) + 65536 * (states[1] - 65536);
    return x >= 65536 && decode_single(end - tail, end, x, {seeds + 4, seeds + 4 + 2 * w}) &&
           words.begin == side_.end;
  }

  Bytes all_;
  std::size_t count_;
  const Tables& tables_;
  std::int64_t* symbols_;
  std::size_t lanes_ = 0;
  Bytes side_{};
};

/// Section 5.4: a stream of `symbols.size()` symbols. `tables(i)` is the table of symbol i, or null.
template <class Tables>
bool decode(Bytes bytes, const Tables& tables, std::vector<std::int64_t>& symbols) {
  const std::size_t size = symbols.size();
  std::uint64_t n = 1;
  std::vector<std::uint64_t> lengths;
  if (bytes.size() && *bytes.begin == 0x7c) {
    ++bytes.begin;
    const auto next = [&](std::uint64_t& byte) { return bytes.front(byte); };
    if (!read_number(next, n) || n < 2 || n > size || n > size / 128 + 16) return false;
    std::uint64_t sum = 0;
    for (std::uint64_t length; lengths.size() + 1 < n; sum += length) {
      if (!read_number(next, length)) return false;
      lengths.push_back(length);
    }
    if (sum > bytes.size()) return false;
  }
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t first = i * size / n, end = (i + 1) * size / n;
    const std::size_t length = i + 1 < n ? lengths[i] : bytes.size();
    const auto shifted = [&](std::size_t place) { return tables(first + place); };
    const Bytes chunk{bytes.begin, bytes.begin + length};
    if (!Chunk<decltype(shifted)>(chunk, end - first, shifted, symbols.data() + first).decode()) return false;
    bytes.begin += length;
  }
  return true;
}

}  // namespace page
