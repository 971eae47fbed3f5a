/// CRC-32C (Castagnoli), reflected, as in RFC 3720 appendix B.4.
#pragma once

#include <cstddef>
#include <cstdint>

namespace scalecodec {

/// Checksum of `bytes`, continuing from `value` (0 at the start).
std::uint32_t crc32c(std::uint32_t value, const std::uint8_t* bytes, std::size_t num_bytes);

}  // namespace scalecodec
