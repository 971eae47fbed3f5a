/// Planes of symbols in five passes, each from coarse to fine, so that what a symbol's table depends on lies
/// on all four sides of it and is decoded before it (FORMAT.md, section 8.3).
///
/// Pass 0 is every fourth row and column; then, at distance 2 and again at 1, the middles of the squares
/// (whose four corners are known) and the middles of their sides (whose four neighbours are known).
#pragma once

#include <cstddef>
#include <cstdint>

namespace scalecodec {

constexpr int kMapPasses = 5;
constexpr std::size_t kActivityBins = 10;
constexpr std::size_t kMapContexts = 1 + 2 * kActivityBins;  // none; diagonal neighbours; side neighbours

struct FeatureMap {
  std::size_t planes, height, width;
  const std::uint8_t* classes;  // [planes]: class * kMapContexts + context is an index, below 256
};

/// How many symbols of a plane a pass has.
std::size_t pass_size(std::size_t height, std::size_t width, int pass);

/// The indexes of a pass [planes, pass_size], from symbols [planes, height, width] that are known up to the
/// pass; and the symbols of the pass itself into `taken`, unless that is null.
void read_pass(const FeatureMap& map, const std::uint8_t* symbols, int pass, std::uint8_t* indexes,
               std::uint8_t* taken, std::size_t num_threads);

/// Put the symbols of a pass where they belong.
void write_pass(const FeatureMap& map, const std::uint8_t* taken, int pass, std::uint8_t* symbols,
                std::size_t num_threads);

}  // namespace scalecodec
