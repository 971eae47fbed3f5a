/// One element's arithmetic, as every kernel set must have it.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace scalecodec {

/// 2^(bits - 1): symbols lie in [-limit, limit).
template <class Symbol>
constexpr float symbol_limit() {
  return static_cast<float>(std::int64_t{std::numeric_limits<Symbol>::max()} + 1);
}

/// Half to even, without the library call that rounding is on a plain x86-64: 2^23 has no fraction bits to
/// spare.
inline float round_half_even(float x) {
  const float size = std::fabs(x);
  const float no_fraction =
      size < 8388608.0f ? 8388608.0f : 0.0f;  // a choice of constants: loops of it vectorize
  return std::copysign((size + no_fraction) - no_fraction, x);
}

inline float rounded_latent(float latent, float mean, float gain) {
  return round_half_even((latent - mean) * gain);
}

/// NaN does not.
template <class Symbol>
bool fits_symbol(float rounded) {
  return (rounded >= -symbol_limit<Symbol>()) & (rounded < symbol_limit<Symbol>());
}

}  // namespace scalecodec
