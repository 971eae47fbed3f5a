/// Scalar kernels of quantization: they define the results and run everywhere.
#include "quantize_kernels.hpp"
#include "quantize_step.hpp"

namespace scalecodec {

namespace {

/// Scale as it is looked up. NaN stays, as no comparison with it holds.
float bounded(float scale, float gain, float bound) {
  const float scaled = scale * gain;
  return scaled < bound ? bound : scaled;
}

/// 1 or 0, as a number: the compiler would make a branch of a choice, and every second one is mispredicted.
std::uint32_t beyond(float scale, float threshold) {
  return static_cast<std::uint32_t>(!(scale <= threshold));
}

/// Six decisions, always: the places beyond the thresholds hold infinities, which only NaN is not below.
std::uint32_t search_registers(const ScaleSearch& search, float scale) {
  std::uint32_t index = 0;
  for (int level = 5; level >= 0; --level) {
    const std::uint32_t half = 1u << level;
    index += beyond(scale, search.sorted[index + half - 1]) << level;
  }
  return index < search.last ? index : search.last;
}

/// As many decisions for every scale: the halves overlap by one where they have to.
std::uint32_t search_any(const ScaleSearch& search, float scale) {
  std::uint32_t index = 0;
  for (std::uint32_t left = search.last; left > 0; left /= 2) {
    const std::uint32_t half = (left + 1) / 2;
    index += beyond(scale, search.thresholds[index + half - 1]) * half;
  }
  return index;
}

}  // namespace

template <class Index>
void scalar::build_indexes(const ScaleSearch& search, const float* scale, float gain, std::size_t count,
                           Index* indexes) {
  const float bound = search.bound;
  if (search.last <= kRegisterThresholds) {
    for (std::size_t i = 0; i < count; ++i)
      indexes[i] = static_cast<Index>(search_registers(search, bounded(scale[i], gain, bound)));
  } else {
    for (std::size_t i = 0; i < count; ++i)
      indexes[i] = static_cast<Index>(search_any(search, bounded(scale[i], gain, bound)));
  }
}

namespace {

template <bool kHasMean, class Symbol>
bool quantize_about(const float* latent, const float* mean, float gain, std::size_t count, Symbol* symbols) {
  int bad = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float rounded = rounded_latent(latent[i], kHasMean ? mean[i] : 0.0f, gain);
    const bool fits = fits_symbol<Symbol>(rounded);
    bad |= !fits;
    symbols[i] = static_cast<Symbol>(static_cast<std::int32_t>(fits ? rounded : 0.0f));
  }
  return bad == 0;
}

}  // namespace

template <class Symbol>
bool scalar::quantize(const float* latent, const float* mean, float gain, std::size_t count,
                      Symbol* symbols) {
  return mean ? quantize_about<true>(latent, mean, gain, count, symbols)
              : quantize_about<false>(latent, mean, gain, count, symbols);
}

const IndexKernels kScalarIndexes{scalar::build_indexes<std::uint8_t>, scalar::build_indexes<std::uint16_t>,
                                  scalar::build_indexes<std::int32_t>};
const SymbolKernels kScalarSymbols{scalar::quantize<std::int8_t>, scalar::quantize<std::int16_t>,
                                   scalar::quantize<std::int32_t>};

}  // namespace scalecodec
