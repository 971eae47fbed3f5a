/// Prepared tables: validated once, immutable, shared by threads; and the quantization of a pmf.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "lane_table.hpp"
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

/// What symbols a table has.
struct SymbolRange {
  std::int32_t offset;   // symbol = value + offset
  std::uint32_t escape;  // value of the escape symbol, the last one
};

/// Tables as they came, wherever their rows lie. Requires of each row: as many entries as its length says, 2
/// or more.
struct RowsView {
  std::vector<const std::int32_t*> rows;
  const std::int32_t* cdf_length;
  const std::int32_t* offset;

  SymbolRange range(std::size_t index) const {
    return {offset[index], static_cast<std::uint32_t>(cdf_length[index] - 2)};
  }
};

/// Whether all are tables, and if not which is none and why.
Result check_rows(const RowsView& tables);

/// One table. What decoding reads on its slow path hangs on this one address: nothing to chase from
/// `CdfTable` down.
struct TableRow : SymbolRange {
  // For the widest interval, the mode, which is tried first. No slot is in it where the mode is the escape.
  std::uint32_t mode_start;
  std::uint32_t mode_last;  // freq - 1
  std::int32_t mode_symbol;

  const Interval* intervals;
  const EncodeStep* steps;
  std::uint16_t buckets[256];  // for slots [256 b, 256 b + 256): the value that holds the first of them
};

/// All tables of one model, in the layouts that the coders read.
class CdfTable {
 public:
  /// Build from CompressAI's three buffers: `cdf` [num_tables, width] row-major, `cdf_length` and `offset`
  /// [num_tables]. The row of a failure is in the result. Requires: nothing was built yet.
  Result build(const std::int32_t* cdf, std::size_t num_tables, std::size_t width,
               const std::int32_t* cdf_length, const std::int32_t* offset);
  Result build(const RowsView& tables);

  CdfTable() = default;
  // Rows point into the vectors: moving keeps those, copying would not.
  CdfTable(CdfTable&&) = default;
  CdfTable& operator=(CdfTable&&) = default;

  std::size_t num_tables() const { return rows_.size(); }
  const TableRow& row(std::size_t index) const { return rows_[index]; }
  /// The same tables as the lane stream codes them: made by the first call, so that who codes rans64 only
  /// does not wait for them. Any thread. Throws std::bad_alloc, and may be called again then.
  const LaneTable& lanes() const {
    if (!lanes_->made.load(std::memory_order_acquire)) make_lanes();
    return lanes_->table;
  }

 private:
  /// Not std::call_once, which some C libraries and sanitizers leave locked by an exception.
  struct Lanes {
    std::mutex mutex;
    std::atomic<bool> made{false};
    LaneTable table;
  };

  void append(const std::int32_t* cdf, std::size_t length, std::int32_t offset);
  void make_lanes() const;

  std::vector<TableRow> rows_;
  std::vector<Interval> intervals_;
  std::vector<EncodeStep> steps_;
  std::unique_ptr<Lanes> lanes_ = std::make_unique<Lanes>();
};

}  // namespace scalecodec
