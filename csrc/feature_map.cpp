/// Planes of symbols in five passes: rows of a pass's grid are summed whole, and every second sum is used.
#include "feature_map.hpp"

#include <algorithm>

#include "feature_plane.hpp"

namespace scalecodec {

namespace {

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

void add_four(const std::uint8_t* __restrict a, const std::uint8_t* __restrict b,
              const std::uint8_t* __restrict c, const std::uint8_t* __restrict d, std::size_t count,
              std::uint8_t* __restrict sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] = static_cast<std::uint8_t>(a[i] + b[i] + c[i] + d[i]);
}

/// Call `action(row, first column, how many)` for the rows of a pass, in grid units.
template <class Action>
void for_rows(const Grid& grid, std::size_t height, std::size_t width, const Action& action) {
  const std::size_t columns = grid.count(width);
  for (std::size_t row = 0; row < grid.count(height); ++row)
    if (const std::size_t count = grid.row_size(row, columns)) action(row, grid.start(row, columns), count);
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
  const std::size_t margined_size = grid.is_first ? 0 : Margined::scratch_size(rows, columns);
  for_planes(map.planes, num_threads, margined_size + columns, [&](std::size_t p, std::uint8_t* scratch) {
    const std::uint8_t* plane = symbols + p * area;
    std::uint8_t* index = indexes + p * size;
    const std::size_t base = map.classes[p] * kMapContexts;
    if (grid.is_first) {
      std::fill_n(index, size, static_cast<std::uint8_t>(base));
    } else {
      const std::size_t context = base + (grid.is_diagonal ? 1 : 1 + kActivityBins);
      const Margined places(plane, map.width, grid.distance, rows, columns, scratch);
      std::uint8_t* sums = scratch + margined_size;
      for_rows(grid, map.height, map.width, [&](std::size_t row, std::size_t first, std::size_t count) {
        const std::uint8_t *here = places.row(row), *above = here - places.pitch(),
                           *below = here + places.pitch();
        if (grid.is_diagonal)
          add_four(above, above + 2, below, below + 2, columns, sums);
        else
          add_four(above + 1, below + 1, here, here + 2, columns, sums);
        make_bins<2>(sums + first, count, kEdges, static_cast<std::uint8_t>(context), index);
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
