/// Planes of symbols in five passes: rows of a pass's grid, summed whole, every second sum of which is used.
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

/// Rows of a grid, each with what would lie beyond its ends mirrored in; 0 where there is but one column.
/// Four of them fit the scratch memory, which a thread keeps from plane to plane.
class Rows {
 public:
  static std::size_t scratch_size(std::size_t columns) { return 4 * (columns + 2); }

  Rows(const std::uint8_t* plane, std::size_t height, std::size_t width, std::size_t distance,
       std::uint8_t* scratch)
      : plane_(plane),
        width_(width),
        distance_(distance),
        rows_((height + distance - 1) / distance),
        columns_((width + distance - 1) / distance),
        here_(scratch),
        above_(here_ + columns_ + 2),
        below_(above_ + columns_ + 2),
        sums_(below_ + columns_ + 2) {}

  /// Activity about every column of a row: the four corners, or the four sides.
  const std::uint8_t* sums(std::size_t row, bool is_diagonal) {
    load(row > 0 ? row - 1 : row + 1, above_);
    load(row + 1 < rows_ ? row + 1 : row - 1, below_);
    for (std::size_t i = 0; i < columns_ + 2; ++i)
      above_[i] = static_cast<std::uint8_t>(above_[i] + below_[i]);
    if (is_diagonal) {
      for (std::size_t i = 0; i < columns_; ++i)
        sums_[i] = static_cast<std::uint8_t>(above_[i] + above_[i + 2]);
    } else {
      load(row, here_);
      for (std::size_t i = 0; i < columns_; ++i)
        sums_[i] = static_cast<std::uint8_t>(above_[i + 1] + here_[i] + here_[i + 2]);
    }
    return sums_;
  }

 private:
  /// Row -1 of one row alone is beyond all, and so is row 1.
  void load(std::size_t row, std::uint8_t* to) const {
    if (row >= rows_) {
      std::fill_n(to, columns_ + 2, std::uint8_t{0});
      return;
    }
    const std::uint8_t* from = plane_ + row * distance_ * width_;
    for (std::size_t i = 0; i < columns_; ++i) to[i + 1] = std::min(from[i * distance_], kMostActive);
    to[0] = columns_ > 1 ? to[2] : std::uint8_t{0};
    to[columns_ + 1] = columns_ > 1 ? to[columns_ - 1] : std::uint8_t{0};
  }

  const std::uint8_t* plane_;
  std::size_t width_, distance_, rows_, columns_;
  std::uint8_t *here_, *above_, *below_, *sums_;
};

/// Call `action(row, first column, how many)` for the rows of a pass, in grid units.
template <class Action>
void for_rows(const Grid& grid, std::size_t height, std::size_t width, const Action& action) {
  const std::size_t columns = grid.count(width);
  for (std::size_t row = 0; row < grid.count(height); ++row)
    if (const std::size_t count = grid.row_size(row, columns)) action(row, grid.start(row, columns), count);
}

void write_indexes(const std::uint8_t* sums, std::size_t step, std::size_t count, std::uint8_t base,
                   std::uint8_t* indexes) {
  for (std::size_t i = 0; i < count; ++i) indexes[i] = sums[i * step];
  for (std::size_t i = 0; i < count; ++i) {
    std::uint8_t bin = base;
    for (const std::uint8_t edge : kEdges) bin = static_cast<std::uint8_t>(bin + (indexes[i] > edge));
    indexes[i] = bin;
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

}  // namespace

std::size_t pass_size(std::size_t height, std::size_t width, int pass) {
  const Grid grid(pass);
  const std::size_t rows = grid.count(height), columns = grid.count(width);
  return (rows + 1) / 2 * grid.row_size(0, columns) + rows / 2 * grid.row_size(1, columns);
}

void read_pass(const FeatureMap& map, const std::uint8_t* symbols, int pass, std::uint8_t* indexes,
               std::uint8_t* taken, std::size_t num_threads) {
  const Grid grid(pass);
  const std::size_t size = pass_size(map.height, map.width, pass), area = map.height * map.width;
  const std::size_t scratch_size = Rows::scratch_size(grid.count(map.width));
  for_planes(map.planes, num_threads, scratch_size, [&](std::size_t p, std::uint8_t* scratch) {
    const auto base = static_cast<std::uint8_t>(map.classes[p] * kMapContexts);
    const std::uint8_t* plane = symbols + p * area;
    std::uint8_t* index = indexes + p * size;
    std::uint8_t* symbol = taken ? taken + p * size : nullptr;
    Rows rows(plane, map.height, map.width, grid.distance, scratch);
    for_rows(grid, map.height, map.width, [&](std::size_t row, std::size_t first, std::size_t count) {
      if (grid.is_first) {
        std::fill_n(index, count, base);
      } else {
        const std::size_t context = 1 + (grid.is_diagonal ? 0 : kActivityBins);
        write_indexes(rows.sums(row, grid.is_diagonal) + first, grid.step(), count,
                      static_cast<std::uint8_t>(base + context), index);
      }
      index += count;
      if (!symbol) return;
      const std::uint8_t* from = plane + row * grid.distance * map.width + first * grid.distance;
      for (std::size_t i = 0; i < count; ++i) symbol[i] = from[i * grid.step() * grid.distance];
      symbol += count;
    });
  });
}

void write_pass(const FeatureMap& map, const std::uint8_t* taken, int pass, std::uint8_t* symbols,
                std::size_t num_threads) {
  const Grid grid(pass);
  const std::size_t size = pass_size(map.height, map.width, pass), area = map.height * map.width;
  for_planes(map.planes, num_threads, 0, [&](std::size_t p, std::uint8_t*) {
    const std::uint8_t* symbol = taken + p * size;
    for_rows(grid, map.height, map.width, [&](std::size_t row, std::size_t first, std::size_t count) {
      std::uint8_t* to = symbols + p * area + row * grid.distance * map.width + first * grid.distance;
      for (std::size_t i = 0; i < count; ++i) to[i * grid.step() * grid.distance] = symbol[i];
      symbol += count;
    });
  });
}

}  // namespace scalecodec
