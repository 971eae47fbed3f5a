/// The contract of a kernel set for quantization: scales to table indexes, latents to symbols.
///
/// Every step is one float32 operation, rounded as IEEE 754 says, in the order written here (setup.py forbids
/// the compiler to fuse any): so all sets agree bit for bit, with each other and with torch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <tuple>

#include "offset_kernels.hpp"

namespace scalecodec {

/// So many thresholds fit the registers of a SIMD set; those of CompressAI's 64 scales are 63.
constexpr std::size_t kRegisterThresholds = 63;

/// A scale table, laid out for the kernels. quantize.hpp makes it.
struct ScaleSearch {
  const float* thresholds;  // all scales but the last, ascending: the caller's memory
  std::uint32_t last;       // the last index, which is also how many thresholds there are
  float bound;              // scales below it count as it; -infinity: none do
  // The rest is there only if last <= kRegisterThresholds; what lies beyond the thresholds is +infinity.
  alignas(64) float sorted[64];
  // The tree of a binary search: level d in places [2^d, 2^(d+1)), each at the path that leads there, its
  // first decision in bit 0. So a permutation takes the path as it grows, and no bit of it is ever shifted.
  alignas(64) float tree[64];
  // The index that a path of six decisions ends in.
  alignas(64) std::uint8_t index_of_path[64];
};

/// `indexes[i]` = how many thresholds t fail `max(scale[i] * gain, bound) <= t`: NaN gives the last index.
template <class Index>
using IndexKernel = void (*)(const ScaleSearch& search, const float* scale, float gain, std::size_t count,
                             Index* indexes);

/// `symbols[i] = round((latent[i] - mean[i]) * gain)`, half to even; `mean` null: 0. False if a value may be
/// NaN or may not fit: quantize_step.hpp says which; the symbols of the others are right all the same.
template <class Symbol>
using SymbolKernel = bool (*)(const float* latent, const float* mean, float gain, std::size_t count,
                              Symbol* symbols);

/// The least symbol that a SIMD kernel may trust: conversions make int32's lowest of NaN and of what is
/// beyond int32.
template <class Symbol>
inline constexpr std::int32_t kLowestSure =
    sizeof(Symbol) < 4 ? std::numeric_limits<Symbol>::min() : std::numeric_limits<std::int32_t>::min() + 1;
template <class Symbol>
inline constexpr std::int32_t kHighestSure = std::numeric_limits<Symbol>::max();

using IndexKernels =
    std::tuple<IndexKernel<std::uint8_t>, IndexKernel<std::uint16_t>, IndexKernel<std::int32_t>>;
using SymbolKernels =
    std::tuple<SymbolKernel<std::int8_t>, SymbolKernel<std::int16_t>, SymbolKernel<std::int32_t>>;

/// A set may borrow any of another. The way back without offsets has no kernels: it waits for memory and
/// the divider on all alike.
struct QuantizeKernels {
  const IndexKernels* indexes;
  const SymbolKernels* symbols;
  const OffsetKernels* offsets;
};

/// The scalar set by its parts, for what a SIMD loop leaves over. Defined in quantize_scalar.cpp alone: a
/// copy compiled in a target region could be the one that the linker keeps for all.
namespace scalar {
template <class Index>
void build_indexes(const ScaleSearch& search, const float* scale, float gain, std::size_t count,
                   Index* indexes);
template <class Symbol>
bool quantize(const float* latent, const float* mean, float gain, std::size_t count, Symbol* symbols);
}  // namespace scalar

extern const IndexKernels kScalarIndexes;
extern const SymbolKernels kScalarSymbols;
#if defined(__x86_64__) && defined(__GNUC__)
extern const IndexKernels kAvx2Indexes;
extern const SymbolKernels kAvx2Symbols;
extern const IndexKernels kAvx512Indexes;
#endif

}  // namespace scalecodec
