/// Planes of symbols in five passes: rows of a pass's grid are summed whole, and every second sum is used.
#include "feature_map.hpp"

#include <algorithm>
#include <vector>

#include "pool.hpp"

namespace scalecodec {

namespace {

constexpr std::uint8_t kMostActive = 15;  // of one neighbour; four of them fit a byte
constexpr std::uint8_t kEdges[] = {0, 1, 2, 3, 4, 6, 8, 12, 20};
static_assert(sizeof kEdges + 1 == kActivityBins, "one bin more than edges");

/// A pass's grid: rows and columns `distance` apart. Of pass 0, all; of a diagonal one, those odd in both; of
/// the sides, those odd in one.
struct Grid {
  std::size_t distance;
  bool is_first, is_diagonal;

  explicit Grid(int pass)
      : distance(pass == 0  ? 4
                 : pass < 3 ? 2
                            : 1),
        is_first(pass == 0),
        is_diagonal(pass % 2 == 1) {}

  std::size_t count(std::size_t side) const { return (side + distance - 1) / distance; }
  std::size_t step() const { return is_first ? 1 : 2; }
  /// The first column of a row that belongs to the pass, in grid units; `columns` if none does.
  std::size_t start(std::size_t row, std::size_t columns) const {
    if (is_first) return 0;
    if (is_diagonal) return row % 2 == 1 ? 1 : columns;
    return row % 2 == 1 ? 0 : 1;
  }
  std::size_t row_size(std::size_t row, std::size_t columns) const {
    const std::size_t first = start(row, columns);
    return first < columns ? (columns - first + step() - 1) / step() : 0;
  }
};

// Bytes may alias anything: without __restrict, and sizes in locals, no loop over them would become a
// vector's.

template <std::size_t kStride>
void gather(const std::uint8_t* __restrict from, std::size_t count, std::uint8_t* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = from[i * kStride];
}

template <std::size_t kStride>
void scatter(const std::uint8_t* __restrict from, std::size_t count, std::uint8_t* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i * kStride] = from[i];
}

/// Every `stride`th of `from`. Requires: 2 or 4.
void gather(const std::uint8_t* from, std::size_t stride, std::size_t count, std::uint8_t* to) {
  stride == 2 ? gather<2>(from, count, to) : gather<4>(from, count, to);
}

/// To every `stride`th of `to`. Requires: 2 or 4.
void scatter(const std::uint8_t* from, std::size_t stride, std::size_t count, std::uint8_t* to) {
  stride == 2 ? scatter<2>(from, count, to) : scatter<4>(from, count, to);
}

/// Every `kStride`th, and at most 15.
template <std::size_t kStride>
void gather_capped(const std::uint8_t* __restrict from, std::size_t count, std::uint8_t* __restrict to) {
  for (std::size_t i = 0; i < count; ++i) to[i] = std::min(from[i * kStride], kMostActive);
}

void add_four(const std::uint8_t* __restrict a, const std::uint8_t* __restrict b,
              const std::uint8_t* __restrict c, const std::uint8_t* __restrict d, std::size_t count,
              std::uint8_t* __restrict sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] = static_cast<std::uint8_t>(a[i] + b[i] + c[i] + d[i]);
}

/// The bin of every second sum, counted from `base`.
void make_bins(const std::uint8_t* __restrict sums, std::size_t count, std::uint8_t base,
               std::uint8_t* __restrict bins) {
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t bin = base;
    for (const std::uint8_t edge : kEdges) bin = static_cast<std::uint8_t>(bin + (sums[2 * i] > edge));
    bins[i] = bin;
  }
}

/// A plane's grid, capped, with a margin of one place: what lies on the other side of the edge, or 0.
class Margined {
 public:
  static std::size_t scratch_size(std::size_t rows, std::size_t columns) {
    return (rows + 2) * (columns + 2) + columns;
  }

  Margined(const std::uint8_t* plane, std::size_t width, const Grid& grid, std::size_t rows,
           std::size_t columns, std::uint8_t* scratch)
      : columns_(columns), pitch_(columns + 2), places_(scratch), sums_(scratch + (rows + 2) * pitch_) {
    for (std::size_t row = 0; row < rows; ++row) {
      std::uint8_t* to = places_ + (row + 1) * pitch_;
      const std::uint8_t* from = plane + row * grid.distance * width;
      grid.distance == 1 ? gather_capped<1>(from, columns, to + 1) : gather_capped<2>(from, columns, to + 1);
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

  /// Activity about every column of a row: the four corners, or the four sides.
  const std::uint8_t* sums(std::size_t row, bool is_diagonal) {
    const std::uint8_t *above = places_ + row * pitch_, *here = above + pitch_, *below = here + pitch_;
    if (is_diagonal)
      add_four(above, above + 2, below, below + 2, columns_, sums_);
    else
      add_four(above + 1, below + 1, here, here + 2, columns_, sums_);
    return sums_;
  }

 private:
  std::size_t columns_, pitch_;
  std::uint8_t *places_, *sums_;
};

/// Call `action(row, first column, how many)` for the rows of a pass, in grid units.
template <class Action>
void for_rows(const Grid& grid, std::size_t height, std::size_t width, const Action& action) {
  const std::size_t columns = grid.count(width);
  for (std::size_t row = 0; row < grid.count(height); ++row)
    if (const std::size_t count = grid.row_size(row, columns)) action(row, grid.start(row, columns), count);
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

}  // namespace

std::size_t pass_size(std::size_t height, std::size_t width, int pass) {
  const Grid grid(pass);
  const std::size_t rows = grid.count(height), columns = grid.count(width);
  return (rows + 1) / 2 * grid.row_size(0, columns) + rows / 2 * grid.row_size(1, columns);
}

void read_pass(const FeatureMap& map, const std::uint8_t* symbols, int pass, std::uint8_t* indexes,
               std::uint8_t* taken, std::size_t num_threads) {
  const Grid grid(pass);
  const std::size_t rows = grid.count(map.height), columns = grid.count(map.width);
  const std::size_t size = pass_size(map.height, map.width, pass), area = map.height * map.width;
  if (size == 0) return;
  const std::size_t scratch_size = grid.is_first ? 0 : Margined::scratch_size(rows, columns);
  for_planes(map.planes, num_threads, scratch_size, [&](std::size_t p, std::uint8_t* scratch) {
    const std::uint8_t* plane = symbols + p * area;
    std::uint8_t* index = indexes + p * size;
    std::size_t base = map.classes[p] * kMapContexts;
    if (grid.is_first) {
      std::fill_n(index, size, static_cast<std::uint8_t>(base));
    } else {
      base += grid.is_diagonal ? 1 : 1 + kActivityBins;
      Margined places(plane, map.width, grid, rows, columns, scratch);
      for_rows(grid, map.height, map.width, [&](std::size_t row, std::size_t first, std::size_t count) {
        make_bins(places.sums(row, grid.is_diagonal) + first, count, static_cast<std::uint8_t>(base), index);
        index += count;
      });
    }
    if (!taken) return;
    std::uint8_t* symbol = taken + p * size;
    for_rows(grid, map.height, map.width, [&](std::size_t row, std::size_t first, std::size_t count) {
      gather(plane + (row * map.width + first) * grid.distance, grid.step() * grid.distance, count, symbol);
      symbol += count;
    });
  });
}

void write_pass(const FeatureMap& map, const std::uint8_t* taken, int pass, std::uint8_t* symbols,
                std::size_t num_threads) {
  const Grid grid(pass);
  const std::size_t size = pass_size(map.height, map.width, pass), area = map.height * map.width;
  if (size == 0) return;
  for_planes(map.planes, num_threads, 0, [&](std::size_t p, std::uint8_t*) {
    const std::uint8_t* symbol = taken + p * size;
    for_rows(grid, map.height, map.width, [&](std::size_t row, std::size_t first, std::size_t count) {
      std::uint8_t* to = symbols + p * area + (row * map.width + first) * grid.distance;
      scatter(symbol, grid.step() * grid.distance, count, to);
      symbol += count;
    });
  });
}

}  // namespace scalecodec
