/// Which tables a block of indexes names, so that kernels hold their thresholds in registers whatever their
/// number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "lane_table.hpp"

namespace scalecodec {

/// Up to kRegisterTables tables out of many, numbered as they come. Indexes of factorized priors stay for
/// long: a few tables serve many blocks.
class TableSelector {
 public:
  explicit TableSelector(const LaneTable& table);

  /// Replace the `count` indexes in each of `num_blocks` blocks by those of the view, which may change with
  /// every call.
  void select(std::uint16_t* const* blocks, const std::size_t* counts, int num_blocks);

  const LaneView& view() const { return view_; }

 private:
  void choose(std::uint16_t* const* blocks, const std::size_t* counts, int num_blocks);
  const FewCells* only_table(std::uint16_t* const* blocks, const std::size_t* counts, int num_blocks);
  bool rename(std::uint16_t* indexes, std::size_t count);
  void clear();
  bool add(std::uint16_t index);

  const LaneTable& table_;
  const LaneView all_;
  LaneView view_;
  std::vector<std::uint16_t> number_of_;  // kNone, or the table's number in the view; empty where all fit
  std::vector<std::uint16_t> chosen_;
  std::uint16_t registers_[4 * kRegisterTables] = {};
  std::vector<std::uint8_t> buckets_;  // of those in the view; likewise
  std::uint32_t first_cells_[kRegisterTables] = {};
  std::uint64_t encode_rows_[kRegisterTables] = {};
  std::int32_t modes_[kRegisterTables] = {};
  std::size_t few_index_;  // of the table in `few_`
  bool is_few_ = false;
  FewCells few_;
};

}  // namespace scalecodec
