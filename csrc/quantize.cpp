/// Quantization over arrays: ranges for threads, blocks for kernels, and the search for the first bad latent.
#include "quantize.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <iterator>
#include <limits>
#include <type_traits>

#include "quantize_ranges.hpp"
#include "quantize_step.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kQuantizeBlock = 4096;  // elements between two looks at whether all was well

/// Each six bits in reverse: a path's first decision, in bit 0, weighs most.
constexpr std::array<std::uint8_t, 64> make_reversed() {
  std::array<std::uint8_t, 64> reversed{};
  for (std::size_t path = 0; path < 64; ++path)
    for (int bit = 0; bit < 6; ++bit)
      reversed[path] = static_cast<std::uint8_t>(reversed[path] | (path >> bit & 1) << (5 - bit));
  return reversed;
}
constexpr std::array<std::uint8_t, 64> kReversed = make_reversed();

/// Where in the sorted thresholds each node of the tree is found; there is no node 0.
constexpr std::array<std::uint8_t, 64> make_places() {
  std::array<std::uint8_t, 64> places{};
  for (std::size_t width = 1; width < 64; width *= 2)
    for (std::size_t path = 0; path < width; ++path)
      places[width + path] = static_cast<std::uint8_t>(kReversed[path] + 32 / width - 1);
  return places;
}
constexpr std::array<std::uint8_t, 64> kPlaces = make_places();

/// The first element of [first, last) that fits no `Symbol`, else `last`.
template <class Symbol>
std::size_t first_unfit(const QuantizeTask& task, std::size_t first, std::size_t last) {
  for (; first < last; ++first) {
    const float mean = task.mean ? task.mean[first] : 0.0f;
    if (!fits_symbol<Symbol>(rounded_latent(task.latent[first], mean, task.gain))) break;
  }
  return first;
}

/// Quantize [first, last); returns the first element that fits no `Symbol`, else `last`.
template <class Symbol>
std::size_t quantize_block(const QuantizeTask& task, const QuantizeKernels& kernels, std::size_t first,
                           std::size_t last) {
  const auto kernel = std::get<SymbolKernel<Symbol>>(*kernels.symbols);
  const bool all_fit = kernel(task.latent + first, task.mean ? task.mean + first : nullptr, task.gain,
                              last - first, static_cast<Symbol*>(task.symbols.data) + first);
  return all_fit ? last : first_unfit<Symbol>(task, first, last);
}

void index_block(const QuantizeTask& task, const QuantizeKernels& kernels, std::size_t first,
                 std::size_t last) {
  with_index_type(task.indexes.type, [&](auto* tag) {
    using Index = std::remove_pointer_t<decltype(tag)>;
    std::get<IndexKernel<Index>> (*kernels.indexes)(*task.search, task.scale + first, task.gain, last - first,
                                                    static_cast<Index*>(task.indexes.data) + first);
  });
}

/// Requires: symbols and indexes of these elements are there.
void reconstruct_block(const QuantizeTask& task, const QuantizeKernels& kernels, std::size_t first,
                       std::size_t last) {
  with_symbol_type(task.symbols.type, [&](auto* tag) {
    using Symbol = std::remove_pointer_t<decltype(tag)>;
    std::get<ReconstructKernel<Symbol>>(kernels.offsets->reconstruct)(
        static_cast<const Symbol*>(task.symbols.data) + first,
        static_cast<const std::uint8_t*>(task.indexes.data) + first, task.mean ? task.mean + first : nullptr,
        task.offsets, task.gain, last - first, task.latent_hat + first);
  });
}

/// Returns the first element of [first, last) that fits no symbol, else `task.size`.
std::size_t quantize_range(const QuantizeTask& task, const QuantizeKernels& kernels, std::size_t first,
                           std::size_t last) {
  std::size_t unfit = task.size;
  for (; first < last && unfit == task.size; first += kQuantizeBlock) {
    const std::size_t end = std::min(first + kQuantizeBlock, last);
    if (task.latent)
      with_symbol_type(task.symbols.type, [&](auto* tag) {
        const std::size_t stop =
            quantize_block<std::remove_pointer_t<decltype(tag)>>(task, kernels, first, end);
        if (stop < end) unfit = stop;
      });
    if (task.scale) index_block(task, kernels, first, end);
    if (task.latent_hat) reconstruct_block(task, kernels, first, end);
  }
  return unfit;
}

/// By blocks, each copied before its latents are written: these may take the symbols' own memory.
template <class Symbol>
void dequantize_range(const Symbol* symbols, const float* mean, float gain, std::size_t count,
                      float* latent) {
  Symbol block[kBlock];
  for (std::size_t size; count > 0; count -= size, symbols += size, latent += size) {
    size = std::min(count, kBlock);
    std::memcpy(block, symbols, size * sizeof(Symbol));
    if (!mean) {
      for (std::size_t i = 0; i < size; ++i) latent[i] = static_cast<float>(block[i]) / gain;
      continue;
    }
    if (gain == 1.0f) {  // a division that changes nothing: spared
      for (std::size_t i = 0; i < size; ++i) latent[i] = static_cast<float>(block[i]) + mean[i];
    } else {
      for (std::size_t i = 0; i < size; ++i) latent[i] = static_cast<float>(block[i]) / gain + mean[i];
    }
    mean += size;
  }
}

}  // namespace

Result prepare(const float* scale_table, std::size_t num_tables, float bound, ScaleSearch& search) {
  for (std::size_t i = 0; i < num_tables; ++i)  // NaN is no scale either
    if (!(scale_table[i > 0 ? i - 1 : 0] <= scale_table[i])) return {Status::kScaleOrder, i};
  search.thresholds = scale_table;
  search.last = static_cast<std::uint32_t>(num_tables - 1);
  search.bound = bound;
  if (search.last > kRegisterThresholds) return {};
  std::fill(std::begin(search.sorted), std::end(search.sorted), std::numeric_limits<float>::infinity());
  std::copy_n(scale_table, search.last, search.sorted);
  for (std::size_t node = 0; node < 64; ++node) search.tree[node] = search.sorted[kPlaces[node]];
  for (std::size_t path = 0; path < 64; ++path)
    search.index_of_path[path] = std::min(kReversed[path], static_cast<std::uint8_t>(search.last));
  return {};
}

Result quantize(const QuantizeTask& task, const QuantizeKernels& kernels, std::size_t num_threads) {
  std::atomic<std::size_t> unfit{task.size};
  for_ranges(task.size, num_threads, [&](std::size_t first, std::size_t last) {
    lower(unfit, quantize_range(task, kernels, first, last));
  });
  if (unfit < task.size) return {Status::kLatentRange, unfit};
  return {};
}

void dequantize(const IntegerSource& symbols, const float* mean, float gain, float* latent,
                std::size_t num_threads) {
  with_symbol_type(symbols.type, [&](auto* tag) {
    using Symbol = std::remove_pointer_t<decltype(tag)>;
    const auto* from = static_cast<const Symbol*>(symbols.data);
    for_ranges(symbols.size, num_threads, [&](std::size_t first, std::size_t last) {
      dequantize_range(from + first, mean ? mean + first : nullptr, gain, last - first, latent + first);
    });
  });
}

}  // namespace scalecodec
