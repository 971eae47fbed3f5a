/// Values for symbols that know their surroundings, a row at a time.
#include "feature_estimate.hpp"

#include <atomic>

#include "feature_plane.hpp"

namespace scalecodec {

namespace {

constexpr std::uint8_t kEdges[] = {0, 1, 2, 3, 4, 6, 8, 11, 15, 20, 27, 36, 50};
static_assert(sizeof kEdges + 1 == kEstimateBins, "one bin more than edges");

/// Three in a row.
void add_three(const std::uint8_t* __restrict from, std::size_t count, std::uint8_t* __restrict sums) {
  for (std::size_t i = 0; i < count; ++i)
    sums[i] = static_cast<std::uint8_t>(sums[i] + from[i] + from[i + 1] + from[i + 2]);
}

void add_sides(const std::uint8_t* __restrict from, std::size_t count, std::uint8_t* __restrict sums) {
  for (std::size_t i = 0; i < count; ++i) sums[i] = static_cast<std::uint8_t>(from[i] + from[i + 2]);
}

/// Call `action(plane, row, indexes)` for every row of every plane.
template <class Action>
void for_surroundings(const FeatureMap& map, const std::uint8_t* symbols, std::size_t num_threads,
                      const Action& action) {
  const std::size_t area = map.height * map.width;
  if (area == 0) return;
  const std::size_t margined_size = Margined::scratch_size(map.height, map.width);
  for_planes(map.planes, num_threads, margined_size + 2 * map.width,
             [&](std::size_t p, std::uint8_t* scratch) {
               const Margined places(symbols + p * area, map.width, 1, map.height, map.width, scratch);
               std::uint8_t *sums = scratch + margined_size, *indexes = sums + map.width;
               for (std::size_t row = 0; row < map.height; ++row) {
                 const std::uint8_t* here = places.row(row);
                 add_sides(here, map.width, sums);
                 add_three(here - places.pitch(), map.width, sums);
                 add_three(here + places.pitch(), map.width, sums);
                 make_bins<1>(sums, map.width, kEdges,
                              static_cast<std::uint8_t>(map.classes[p] * kEstimateBins), indexes);
                 action(p, row, indexes);
               }
             });
}

template <class Element>
std::size_t estimate(const FeatureMap& map, const std::uint8_t* symbols, const Element* table,
                     std::size_t num_levels, Element* values, std::size_t num_threads) {
  const std::size_t size = map.planes * map.height * map.width;
  std::atomic<std::size_t> bad{size};
  for_surroundings(
      map, symbols, num_threads, [&](std::size_t p, std::size_t row, const std::uint8_t* indexes) {
        const std::size_t first = (p * map.height + row) * map.width;
        const std::uint8_t* symbol = symbols + first;
        std::uint8_t largest = 0;
        for (std::size_t i = 0; i < map.width; ++i) largest = std::max(largest, symbol[i]);
        if (largest >= num_levels) {
          const auto at = static_cast<std::size_t>(
              std::find_if(symbol, symbol + map.width, [&](std::uint8_t s) { return s >= num_levels; }) -
              symbols);
          return lower(bad, at);
        }
        for (std::size_t i = 0; i < map.width; ++i)
          values[first + i] = table[indexes[i] * num_levels + symbol[i]];
      });
  return bad;
}

}  // namespace

void read_surroundings(const FeatureMap& map, const std::uint8_t* symbols, std::uint8_t* indexes,
                       std::size_t num_threads) {
  for_surroundings(map, symbols, num_threads, [&](std::size_t p, std::size_t row, const std::uint8_t* found) {
    std::copy_n(found, map.width, indexes + (p * map.height + row) * map.width);
  });
}

Result estimate_features(const FeatureMap& map, const std::uint8_t* symbols, const void* table,
                         std::size_t num_levels, std::size_t element_bytes, void* values,
                         std::size_t num_threads) {
  const auto with = [&](auto* tag) {
    using Element = std::remove_pointer_t<decltype(tag)>;
    return estimate(map, symbols, static_cast<const Element*>(table), num_levels,
                    static_cast<Element*>(values), num_threads);
  };
  const std::size_t bad = element_bytes == 4 ? with(static_cast<std::uint32_t*>(nullptr))
                                             : with(static_cast<std::uint16_t*>(nullptr));
  if (bad < map.planes * map.height * map.width) return {Status::kStreamSymbol, bad};
  return {};
}

}  // namespace scalecodec
