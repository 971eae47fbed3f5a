/// Reconstruction offsets over arrays of one item: the decoder's pass, and a training step both ways. The
/// encoder's pass is quantize.hpp's.
#pragma once

#include <cstddef>
#include <cstdint>

#include "integers.hpp"
#include "offset_kernels.hpp"
#include "quantize_kernels.hpp"

namespace scalecodec {

/// The decoder's latents; the kernel's definition, over arrays. `symbols` int8, int16 or int32.
void reconstruct(const IntegerSource& symbols, const std::uint8_t* indexes, const float* mean,
                 const float* offsets, float gain, const OffsetKernels& kernels, float* latent_hat,
                 std::size_t num_threads);

/// Indexes from scales, then the kernel's definition, over `whole`'s arrays; `indexes` is where its own
/// point.
void simulate(const SimulateBlock& whole, const ScaleSearch& search, const QuantizeKernels& kernels,
              std::uint8_t* indexes, std::size_t num_threads);

void simulate_backward(const BackwardBlock& whole, const OffsetKernels& kernels, std::size_t num_threads);

/// The gradients of kMaxOffsets offsets: `sums[k]` is the sum of all slopes of index k, over the gain. In one
/// order, whatever the number of threads and the kernel set: of chunks of 2^15 elements, first to last.
/// Throws std::bad_alloc.
void offset_gradients(const float* grad_latent_hat, const float* latent, const float* mean,
                      const std::uint8_t* indexes, float gain, std::size_t size, const OffsetKernels& kernels,
                      float* sums, std::size_t num_threads);

}  // namespace scalecodec
