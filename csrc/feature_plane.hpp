/// What passes over planes of symbols share: a plane with a margin, bins of sums, planes for threads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "pool.hpp"

namespace scalecodec {

constexpr std::uint8_t kMostActive = 15;  // of one neighbour: the sum of eight fits a byte

// Bytes may alias anything: without __restrict, and sizes in locals, no loop over them would become a
// vector's.

/// Every `kStride`th, and at most 15.
template <std::size_t kStride>
void gather_capped(const std::uint8_t* __restrict from, std::size_t count, std::uint8_t* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = std::min(from[i * kStride], kMostActive);
}

/// A plane of symbols, every `distance`th row and column of it, capped, with a margin of one place around it:
/// what lies on the other side of the edge, or 0 where there is but one row or column.
class Margined {
 public:
  static std::size_t scratch_size(std::size_t rows, std::size_t columns) {
    return (rows + 2) * (columns + 2);
  }

  /// Requires: a distance of 1 or 2, and as many rows and columns as that leaves.
  Margined(const std::uint8_t* plane, std::size_t width, std::size_t distance, std::size_t rows,
           std::size_t columns, std::uint8_t* scratch)
      : pitch_(columns + 2), places_(scratch) {
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint8_t* to = places_ + (row + 1) * pitch_;
      const std::uint8_t* from = plane + row * distance * width;
      distance == 1 ? gather_capped<1>(from, columns, to + 1) : gather_capped<2>(from, columns, to + 1);
      to[0] = columns > 1 ? to[2] : std::uint8_t{0};
      to[columns + 1] = columns > 1 ? to[columns - 1] : std::uint8_t{0};
    }
    const auto fill = [&](std::size_t row, std::size_t like) {
      if (rows > 1)
        std::copy_n(places_ + like * pitch_, pitch_, places_ + row * pitch_);
      else
        std::fill_n(places_ + row * pitch_, pitch_, std::uint8_t{0});
    };
    fill(0, 2);
    fill(rows + 1, rows - 1);
  }

  /// Row `row` from its left margin on; the rows above and below lie a pitch away.
  const std::uint8_t* row(std::size_t row) const { return places_ + (row + 1) * pitch_; }
  std::size_t pitch() const { return pitch_; }

 private:
  std::size_t pitch_;
  std::uint8_t* places_;
};

/// How many of the edges are below each of `count` sums that lie `kStride` apart, counted from `base`.
template <std::size_t kStride, std::size_t kCount>
void make_bins(const std::uint8_t* __restrict sums, std::size_t count, const std::uint8_t (&edges)[kCount],
               std::uint8_t base, std::uint8_t* __restrict bins) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t bin = base;
    for (const std::uint8_t edge : edges) bin = static_cast<std::uint8_t>(bin + (sums[kStride * i] > edge));
    bins[i] = bin;
  }
}

/// Call `action(plane, scratch)` for the planes in even parts, each with `scratch_size` bytes of its own.
template <class Action>
void for_planes(std::size_t planes, std::size_t num_threads, std::size_t scratch_size, const Action& action) {
  const std::size_t parts = std::max<std::size_t>(1, std::min(planes, num_threads));
  std::vector<std::uint8_t> scratch(parts * scratch_size);  // here, as no thread of the pool may throw
  run_parallel(parts, num_threads, [&](std::size_t part) {
    for (std::size_t p = planes * part / parts; p < planes * (part + 1) / parts; ++p)
      action(p, scratch.data() + part * scratch_size);
  });
}

}  // namespace scalecodec
