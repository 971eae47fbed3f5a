/// Values for symbols that know their surroundings: by a symbol's class, the activity of its eight
/// neighbours, and itself (FORMAT.md, section 8.4).
#pragma once

#include <cstddef>
#include <cstdint>

#include "feature_map.hpp"
#include "status.hpp"

namespace scalecodec {

constexpr std::size_t kEstimateBins = 14;

/// `class * kEstimateBins + bin` of every place, [planes, height, width].
void read_surroundings(const FeatureMap& map, const std::uint8_t* symbols, std::uint8_t* indexes,
                       std::size_t num_threads);

/// `values[i] = table[index of i][symbols[i]]`, elements of 2 or 4 bytes, `table` [classes * kEstimateBins,
/// num_levels]. Fails at a symbol that is not below `num_levels`: the first of its plane.
Result estimate_features(const FeatureMap& map, const std::uint8_t* symbols, const void* table,
                         std::size_t num_levels, std::size_t element_bytes, void* values,
                         std::size_t num_threads);

}  // namespace scalecodec
