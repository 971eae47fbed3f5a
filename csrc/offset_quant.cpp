/// Reconstruction offsets over arrays: ranges for threads, blocks for kernels.
#include "offset_quant.hpp"

#include <algorithm>
#include <array>
#include <type_traits>
#include <vector>

#include "quantize_ranges.hpp"
#include "quantize_step.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kOffsetBlock = 4096;  // elements whose indexes are made before they are used: in L1
constexpr std::size_t kSumChunk = std::size_t{1} << 15;

const float* at(const float* array, std::size_t first) {
  return array ? array + first : nullptr;
}

/// Four tables by turns: neighbours often share an index, and a sum waits for the one before it.
constexpr std::size_t kTurns = 4;
using SumTables = std::array<std::array<float, kMaxOffsets>, kTurns>;

void add_slopes(const float* slopes, const std::uint8_t* indexes, std::size_t count, SumTables& sums) {
  std::size_t i = 0;
  for (; i + kTurns <= count; i += kTurns)
    for (std::size_t turn = 0; turn < kTurns; ++turn) sums[turn][indexes[i + turn]] += slopes[i + turn];
  for (; i < count; ++i) sums[0][indexes[i]] += slopes[i];
}

}  // namespace

void reconstruct(const IntegerSource& symbols, const std::uint8_t* indexes, const float* mean,
                 const float* offsets, float gain, const OffsetKernels& kernels, float* latent_hat,
                 std::size_t num_threads) {
  with_symbol_type(symbols.type, [&](auto* tag) {
    using Symbol = std::remove_pointer_t<decltype(tag)>;
    const auto* from = static_cast<const Symbol*>(symbols.data);
    const auto kernel = std::get<ReconstructKernel<Symbol>>(kernels.reconstruct);
    for_ranges(symbols.size, num_threads, [&](std::size_t first, std::size_t last) {
      kernel(from + first, indexes + first, at(mean, first), offsets, gain, last - first, latent_hat + first);
    });
  });
}

void simulate(const SimulateBlock& whole, const ScaleSearch& search, const QuantizeKernels& kernels,
              std::uint8_t* indexes, std::size_t num_threads) {
  const auto find = std::get<IndexKernel<std::uint8_t>>(*kernels.indexes);
  for_ranges(whole.count, num_threads, [&](std::size_t begin, std::size_t end) {
    for (std::size_t first = begin; first < end; first += kOffsetBlock) {
      SimulateBlock block = whole;
      block.count = std::min(kOffsetBlock, end - first);
      find(search, whole.scale + first, whole.gain, block.count, indexes + first);
      block.latent += first;
      block.mean = at(whole.mean, first);
      block.scale += first;
      block.noise += first;
      block.indexes = indexes + first;
      block.noisy += first;
      block.bounded += first;
      block.latent_hat += first;
      kernels.offsets->simulate(block);
    }
  });
}

void simulate_backward(const BackwardBlock& whole, const OffsetKernels& kernels, std::size_t num_threads) {
  for_ranges(whole.count, num_threads, [&](std::size_t first, std::size_t last) {
    BackwardBlock block = whole;
    block.count = last - first;
    block.grad_noisy += first;
    block.grad_bounded += first;
    block.grad_latent_hat += first;
    block.scale += first;
    block.grad_latent += first;
    block.grad_scale += first;
    if (block.grad_mean) block.grad_mean += first;
    kernels.backward(block);
  });
}

void offset_gradients(const float* grad_latent_hat, const float* latent, const float* mean,
                      const std::uint8_t* indexes, float gain, std::size_t size, const OffsetKernels& kernels,
                      float* sums, std::size_t num_threads) {
  const std::size_t num_chunks = (size + kSumChunk - 1) / kSumChunk;
  std::vector<SumTables> chunks(num_chunks);
  run_parallel(num_chunks, num_threads, [&](std::size_t chunk) {
    float slopes[kBlock];
    const std::size_t end = std::min(size, (chunk + 1) * kSumChunk);
    for (std::size_t first = chunk * kSumChunk; first < end; first += kBlock) {
      const std::size_t count = std::min(kBlock, end - first);
      kernels.slopes(grad_latent_hat + first, latent + first, at(mean, first), gain, count, slopes);
      add_slopes(slopes, indexes + first, count, chunks[chunk]);
    }
  });
  std::fill_n(sums, kMaxOffsets, 0.0f);
  for (const SumTables& chunk : chunks)
    for (std::size_t k = 0; k < kMaxOffsets; ++k)
      sums[k] += (chunk[0][k] + chunk[1][k]) + (chunk[2][k] + chunk[3][k]);
  for (std::size_t k = 0; k < kMaxOffsets; ++k) sums[k] /= gain;
}

}  // namespace scalecodec
