/// What can go wrong in the core, one message each. The core never prints or aborts,
/// and throws nothing but std::bad_alloc.
#pragma once

#include <cstddef>

namespace scalecodec {

enum class Status {
  kOk,
  // Tables.
  kTableEmpty,
  kTableLength,
  kTableStart,
  kTableEnd,
  kTableOrder,
  kTableTooWide,
  kTableOffset,
  kPmfValue,
  kPmfZero,
  kPmfLength,
  // The caller's symbols, indexes, latents and scales.
  kSymbolRange,
  kIndexRange,
  kOutputRange,
  kLatentRange,
  kScaleOrder,
  kNotFinite,
  kNoMemory,
  // Streams.
  kStreamLength,
  kStreamStart,
  kStreamShort,
  kStreamLong,
  kStreamEnd,
  kStreamEscape,
  kStreamHead,
  kStreamSymbol,
};

/// A status and the place (element, row) it speaks of.
struct Result {
  Status status = Status::kOk;
  std::size_t where = 0;
  bool ok() const { return status == Status::kOk; }
};

inline const char* message(Status status) {
  switch (status) {
    case Status::kOk:
      return "ok";
    case Status::kTableEmpty:
      return "there must be at least one table";
    case Status::kTableLength:
      return "cdf_length must lie between 2 and the row's width";
    case Status::kTableStart:
      return "a cdf must start with 0";
    case Status::kTableEnd:
      return "a cdf must end with 65536";
    case Status::kTableOrder:
      return "a cdf must increase strictly (no symbol of zero frequency)";
    case Status::kTableTooWide:
      return "all tables together must have fewer than 2**31 symbols";
    case Status::kTableOffset:
      return "the symbols of a table, offset to offset + cdf_length - 2, must fit int32";
    case Status::kPmfValue:
      return "Invalid `pmf`, non-finite or negative element found";
    case Status::kPmfZero:
      return "Invalid `pmf`: at least one element must have a non-zero probability.";
    case Status::kPmfLength:
      return "Invalid `pmf`: more elements than 2**precision, or a sum beyond 2**31 / 2**precision";
    case Status::kSymbolRange:
      return "symbols must fit int32";
    case Status::kIndexRange:
      return "indexes must lie in [0, num_tables)";
    case Status::kOutputRange:
      return "the dtype of out cannot hold the decoded symbol";
    case Status::kLatentRange:
      return "latents must be finite and round to the dtype of the symbols";
    case Status::kScaleOrder:
      return "scale_table must ascend, without NaN";
    case Status::kNotFinite:
      return "values must be finite";
    case Status::kNoMemory:
      return "out of memory";
    case Status::kStreamLength:
      return "stream must be at least 8 bytes and a multiple of 4";
    case Status::kStreamStart:
      return "the first words are no coder state";
    case Status::kStreamShort:
      return "stream ends before the last symbol";
    case Status::kStreamLong:
      return "stream goes on after the last symbol";
    case Status::kStreamEnd:
      return "the coder does not end in its start state: damaged stream, or other tables or indexes";
    case Status::kStreamEscape:
      return "an escaped value is missing or does not fit int32";
    case Status::kStreamHead:
      return "the stream has a chunk whose head is malformed, or more chunks than it may have";
    case Status::kStreamSymbol:
      return "the stream has a symbol that no level stands for";
  }
  return "unknown status";
}

}  // namespace scalecodec
