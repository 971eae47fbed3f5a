/// Prepared tables: validated once, immutable, shared by threads; and the quantization of a pmf.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "rans.hpp"
#include "status.hpp"

namespace scalecodec {

/// CompressAI's `pmf_to_quantized_cdf`, bit for bit: `pmf` [count] to `cdf` [count + 1], O(count log count).
/// Requires: 1 <= precision <= 16; `cdf` has room for count + 1.
Result pmf_to_quantized_cdf(const float* pmf, std::size_t count, int precision, std::int32_t* cdf);

/// One table's interval, for decoding: 4 bytes, so that a wide table's hot part stays in L1.
struct Interval {
  std::uint16_t start;
  std::uint16_t last;  // freq - 1: 65536 fits
};

/// One table: where its intervals are, what its symbols mean, and its most probable interval.
struct TableRow {
  std::uint32_t base;    // index of the first interval
  std::uint32_t escape;  // value of the escape symbol, the last one
  std::int32_t offset;   // symbol = value + offset
  std::uint32_t mode;    // value of the widest interval
  Interval mode_interval;
};

/// All tables of one model, in the layouts that the coders read.
class CdfTable {
 public:
  /// Build from CompressAI's three buffers: `cdf` [num_tables, width] row-major, `cdf_length` and `offset`
  /// [num_tables]. The row of a failure is in the result.
  Result build(const std::int32_t* cdf, std::size_t num_tables, std::size_t width,
               const std::int32_t* cdf_length, const std::int32_t* offset);

  std::size_t num_tables() const { return rows_.size(); }
  const TableRow& row(std::size_t index) const { return rows_[index]; }
  const EncodeStep* steps(const TableRow& row) const { return steps_.data() + row.base; }
  const Interval* intervals(const TableRow& row) const { return intervals_.data() + row.base; }

  /// A value at or before the one that holds `slot`: the first that reaches into the slot's bucket of 256.
  std::uint32_t first_value(std::size_t index, std::uint32_t slot) const {
    return buckets_[index << 8 | slot >> 8];
  }

 private:
  void append(const std::int32_t* cdf, std::size_t length, std::int32_t offset);

  std::vector<TableRow> rows_;
  std::vector<Interval> intervals_;
  std::vector<EncodeStep> steps_;
  std::vector<std::uint16_t> buckets_;
};

}  // namespace scalecodec
