/// State arithmetic of one rANS step (Duda 2013, arXiv:1311.2540), 64-bit state, 32-bit words; nothing else.
///
/// READ ME FIRST. The encoder runs backwards: it takes the last symbol first, and the decoder, which runs
/// forwards, undoes the encoder's steps in the opposite order. That is why words are written from the end of
/// the buffer towards its start.
///
/// Constants. The state x lives in [kStateLow, kStateLow << 32). With 16-bit frequencies one word per step is
/// always enough to come back into that interval (freq << 47 <= 2^63), and 2^31 leaves the top bit free,
/// which the reciprocal below needs (x < 2^63).
#pragma once

#include <cstdint>

namespace scalecodec {

using State = std::uint64_t;
using Word = std::uint32_t;

constexpr int kPrecision = 16;  // bits of probability resolution
constexpr int kWordBits = 32;   // unit of renormalisation
constexpr int kWordBytes = 4;
constexpr State kStateLow = State{1} << 31;  // "L" in Duda
constexpr int kNibbleBits = 4;               // escapes are coded in uniform nibbles

inline std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
#if defined(__SIZEOF_INT128__)
  return static_cast<std::uint64_t>(static_cast<unsigned __int128>(a) * b >> 64);
#else
  const std::uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
  const std::uint64_t middle = a1 * b0 + (a0 * b0 >> 32);
  const std::uint64_t low = a0 * b1 + (middle & 0xffffffffu);
  return a1 * b1 + (middle >> 32) + (low >> 32);
#endif
}

/// ceil(2^(64 + shift) / divisor) for 2 <= divisor <= 2^16 and 2^shift < divisor <= 2^(shift + 1): fits 64
/// bits.
inline std::uint64_t reciprocal_of(std::uint32_t divisor, int shift) {
  // Long division in two digits of 32 bits: 2^shift < divisor <= 2^16, so neither digit overflows.
  const std::uint64_t first = std::uint64_t{1} << (shift + 32);
  const std::uint64_t second = first % divisor << 32;
  return ((first / divisor) << 32) + second / divisor + (second % divisor != 0);
}

/// One symbol, prepared for encoding: x -> (x / freq << 16) + x % freq + start, without a division.
///
/// x / freq == multiply_high(x, reciprocal) >> shift for x < 2^63 (Granlund and Montgomery 1994, theorem 4.2:
/// the error x * e / (freq * 2^(64 + shift)) stays below 1 / freq, since e < freq <= 2^(shift + 1)). freq 1
/// would need the reciprocal 2^64; 2^64 - 1 gives x - 1 instead, and the bias makes up for it.
struct EncodeStep {
  std::uint64_t reciprocal;
  std::uint32_t bias;
  std::uint16_t complement;  // 2^16 - freq
  std::uint8_t shift;

  EncodeStep(std::uint32_t start, std::uint32_t freq)
      : reciprocal(~std::uint64_t{0}),
        bias(start),
        complement(static_cast<std::uint16_t>((1u << kPrecision) - freq)),
        shift(0) {
    if (freq == 1) {
      bias += (1u << kPrecision) - 1;
      return;
    }
    while ((std::uint32_t{2} << shift) < freq) ++shift;
    reciprocal = reciprocal_of(freq, shift);
  }

  /// From this state on, a word must leave before the step: freq << 47.
  State limit() const { return (State{1u << kPrecision} - complement) << (63 - kPrecision); }

  State put(State x) const { return x + bias + (multiply_high(x, reciprocal) >> shift) * complement; }
};

/// Undo one step: `slot` is the state's low 16 bits, start <= slot < start + freq. Needs renorm if below
/// kStateLow.
inline State advance(State x, std::uint32_t slot_in_symbol, std::uint32_t freq) {
  return freq * (x >> kPrecision) + slot_in_symbol;
}

}  // namespace scalecodec
