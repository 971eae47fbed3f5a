/// CRC-32C by eight look-ups a step, or by the SSE 4.2 instruction where the processor has it.
#include "crc32c.hpp"

#include <array>
#include <cstring>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define SCALECODEC_CRC32C_SSE42 1
#include <nmmintrin.h>
#endif

namespace scalecodec {

namespace {

constexpr std::uint32_t kPolynomial = 0x82f63b78u;  // bits reversed

using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

constexpr Tables make_tables() {
  Tables tables{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t byte = 0; byte < 256; ++byte)
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 255];
  return tables;
}

constexpr Tables kTables = make_tables();

std::uint32_t update_tables(std::uint32_t crc, const std::uint8_t* bytes, std::size_t num_bytes) {
  for (; num_bytes >= 8; num_bytes -= 8, bytes += 8) {
    const std::uint32_t low =
        crc ^ (static_cast<std::uint32_t>(bytes[0]) | static_cast<std::uint32_t>(bytes[1]) << 8 |
               static_cast<std::uint32_t>(bytes[2]) << 16 | static_cast<std::uint32_t>(bytes[3]) << 24);
    crc = kTables[7][low & 255] ^ kTables[6][low >> 8 & 255] ^ kTables[5][low >> 16 & 255] ^
          kTables[4][low >> 24] ^ kTables[3][bytes[4]] ^ kTables[2][bytes[5]] ^ kTables[1][bytes[6]] ^
          kTables[0][bytes[7]];
  }
  for (; num_bytes > 0; --num_bytes, ++bytes) crc = crc >> 8 ^ kTables[0][(crc ^ *bytes) & 255];
  return crc;
}

#if SCALECODEC_CRC32C_SSE42
__attribute__((target("sse4.2"))) std::uint32_t update_sse42(std::uint32_t crc, const std::uint8_t* bytes,
                                                             std::size_t num_bytes) {
  std::uint64_t wide = crc;
  for (; num_bytes >= 8; num_bytes -= 8, bytes += 8) {
    std::uint64_t chunk;
    std::memcpy(&chunk, bytes, 8);
    wide = _mm_crc32_u64(wide, chunk);
  }
  crc = static_cast<std::uint32_t>(wide);
  for (; num_bytes > 0; --num_bytes, ++bytes) crc = _mm_crc32_u8(crc, *bytes);
  return crc;
}
#endif

}  // namespace

std::uint32_t crc32c(std::uint32_t value, const std::uint8_t* bytes, std::size_t num_bytes) {
#if SCALECODEC_CRC32C_SSE42
  static const bool has_sse42 = __builtin_cpu_supports("sse4.2");
  if (has_sse42) return ~update_sse42(~value, bytes, num_bytes);
#endif
  return ~update_tables(~value, bytes, num_bytes);
}

}  // namespace scalecodec
