/// Scales to table indexes, latents to symbols, symbols back to latents: one pass over float32 arrays, any
/// thread count.
#pragma once

#include <cstddef>

#include "integers.hpp"
#include "quantize_kernels.hpp"
#include "status.hpp"

namespace scalecodec {

/// Lay `scale_table` [num_tables] out; it must ascend, and is read until `search` is used no more.
/// Requires: 1 <= num_tables < 2^31; `bound` is not NaN.
Result prepare(const float* scale_table, std::size_t num_tables, float bound, ScaleSearch& search);

/// Symbols from latents, indexes from scales, or both. Outputs overlap nothing.
struct QuantizeTask {
  std::size_t size;
  float gain;                 // finite and positive
  const float* latent;        // null: no symbols are wanted
  const float* mean;          // null: all 0
  const float* scale;         // null: no indexes are wanted
  const ScaleSearch* search;  // of the scales
  IntegerSink symbols;        // int8, int16 or int32
  IntegerSink indexes;        // uint8, uint16 or int32, which must hold the last index
  // What the decoder will have, where it is wanted: symbols are then too, and indexes of uint8.
  float* latent_hat;
  const float* offsets;  // kMaxOffsets reconstruction offsets by index; null: all 0
};

/// The kernels' definitions, over arrays. Fails at the first latent that no symbol can stand for, whatever
/// the number of threads; outputs are unspecified then.
Result quantize(const QuantizeTask& task, const QuantizeKernels& kernels, std::size_t num_threads);

/// `latent[i] = symbols[i] / gain + mean[i]`; `symbols` int8, int16 or int32, `mean` null: nothing is added.
/// `latent` may be the very memory of int32 `symbols`, and overlaps nothing else.
void dequantize(const IntegerSource& symbols, const float* mean, float gain, float* latent,
                std::size_t num_threads);

}  // namespace scalecodec
