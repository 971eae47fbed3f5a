/// Activations to symbols and back: floats of three kinds, a quantizer's thresholds and levels.
#pragma once

#include <cstddef>
#include <cstdint>

#include "quantize_kernels.hpp"
#include "status.hpp"

namespace scalecodec {

enum class FloatType : std::uint8_t { kFloat32, kFloat16, kBfloat16 };

struct FloatSource {
  const void* data;
  FloatType type;
  std::size_t size;
};

/// `symbols[i]` = how many of the search's thresholds lie below `values[i]`. Fails at the first value that is
/// not finite, whatever the number of threads; symbols are unspecified then.
Result quantize_features(const FloatSource& values, const ScaleSearch& search, const IndexKernels& kernels,
                         std::uint8_t* symbols, std::size_t num_threads);

/// `values[i] = levels[symbols[i]]`, elements of 2 or 4 bytes. Fails at the first symbol that is not below
/// `num_levels`.
Result reconstruct_features(const std::uint8_t* symbols, std::size_t size, const void* levels,
                            std::size_t num_levels, std::size_t element_bytes, void* values,
                            std::size_t num_threads);

/// Add to `counts` [tables, num_levels] how often each symbol comes with each index; no indexes: all 0.
/// Requires: symbols below `num_levels`, indexes below the number of tables.
void count_symbols(const std::uint8_t* symbols, const std::uint8_t* indexes, std::size_t size,
                   std::size_t num_tables, std::size_t num_levels, std::int64_t* counts);

}  // namespace scalecodec
