/// Lane tables: the rows of a CdfTable as the lane stream codes them (FORMAT.md, section 5.1).
///
/// READ ME FIRST. A step of the lane stream takes a cell of 2^raw_bits neighbouring symbols at precision
/// 15 - raw_bits together with the raw bits, so that every table has 2^15 slots and one shift fits all. Cells
/// lie mode first: the most frequent symbol starts at slot 0, its neighbours follow, and most symbols are
/// found by comparing a slot with three thresholds, which 64 tables hold in six vector registers.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace scalecodec {

constexpr int kSlotBits = 15;
constexpr std::uint32_t kNumSlots = 1u << kSlotBits;
constexpr std::size_t kMaxCells = 128;
constexpr int kMaxRawBits = 7;
constexpr int kBucketBits = 7;  // slots of a bucket: 2^7
constexpr std::size_t kNumBuckets = kNumSlots >> kBucketBits;
constexpr std::size_t kBucketRoom = 8;            // bytes that can be read from the last bucket on
constexpr std::int16_t kEscapeDistance = -32768;  // no symbol in a cell is as far from its mode
constexpr std::size_t kRegisterTables = 64;       // thresholds of so many tables fit vector registers
constexpr std::size_t kMaxLaneTables = 65536;

/// A cell, for decoding: 8 bytes, what one gather fetches. Adding a slot to its first 16 bits makes them the
/// place in it.
struct LaneCell {
  std::uint16_t minus_start;  // modulo 2^16
  std::uint16_t freq;         // it has freq << raw_bits slots
  std::int16_t distance;      // of the cell's first symbol from the mode, or kEscapeDistance
  std::uint16_t raw_bits;
};

/// A cell, for encoding. floor(x / freq) = x * multiplier >> 47 for x < freq * 2^17: with multiplier =
/// ceil(2^47 / freq) the error is below x * freq / (freq * 2^47), less than 1 / freq since freq^2 * 2^17 <
/// 2^47, and by the same bound the product stays below 2^64.
struct LaneStep {
  std::uint64_t multiplier;
  std::uint16_t start;
  std::uint16_t freq;
  std::uint16_t complement;  // 2^15 - freq 2^raw_bits
};

/// A table of few cells, none with raw bits, for kernels that hold it in registers.
struct FewCells {
  static constexpr std::size_t kMost = 32;

  std::size_t count;
  // By rank, for decoding:
  std::uint16_t starts[kMost];  // behind the last cell 2^15, which no slot reaches
  std::uint16_t freqs[kMost];
  std::int16_t distances[kMost];
  // By symbol, for encoding, the escape last:
  std::uint16_t step_starts[kMost];
  std::uint16_t step_freqs[kMost];
  std::uint16_t symbols_below;  // the mode: what a distance becomes a place by
};

/// The tables as kernels see them: those that a block's indexes name, in the order of these.
struct LaneView {
  /// [4][kRegisterTables]: ends of the first three cells where these are the symbols mode, mode + 1, mode -
  /// 1, else 0; and first_cells. Null where there are more tables, or cells beyond 65535: all symbols are
  /// looked up then.
  const std::uint16_t* registers;
  const std::uint8_t* buckets;       // [kNumBuckets] of each table: rank of the cell that holds slot 128 b
  const std::uint32_t* first_cells;  // of each table, in `cells`; there they follow by rank,
  const LaneCell* cells;             // and then one that starts beyond every slot
  /// Of each table: symbols in cells before the mode (16 bits) | number of symbols in cells << 16 |
  /// raw_bits << 32 | place of the first cell's step << 35. The escape's step comes last.
  const std::uint64_t* encode_rows;
  const LaneStep* steps;
  const std::uint32_t* packed_steps;  // start | freq << 16
  const std::int32_t* modes;          // the symbol at distance 0
  const FewCells* only = nullptr;     // the table that all of the block's indexes name, if its cells are few
};

/// All tables of one CdfTable.
class LaneTable {
 public:
  /// Append the table of one valid row: `cdf` [length] from 0 to 65536, `offset` its first symbol.
  void append(const std::int32_t* cdf, std::size_t length, std::int32_t offset);

  std::size_t num_tables() const { return modes_.size(); }
  /// All tables, in registers if there are at most kRegisterTables. Valid while nothing is appended.
  LaneView view() const;
  /// Put a table's thresholds and first cell into registers [4][kRegisterTables] at `number`; false where a
  /// cell is beyond.
  bool put_registers(std::size_t index, std::size_t number, std::uint16_t* registers) const;
  /// False where the table has more cells, or raw bits.
  bool put_few(std::size_t index, FewCells& few) const;
  /// Expected cost of a symbol, in 1/256 bit.
  std::uint32_t cost(std::size_t index) const { return costs_[index]; }
  bool modes_are_zero() const { return modes_are_zero_; }
  /// Of all tables, or null if all are 0.
  const std::int32_t* modes() const { return modes_are_zero_ ? nullptr : modes_.data(); }

 private:
  std::vector<std::array<std::uint16_t, 3>> thresholds_;
  std::array<std::uint16_t, 4 * kRegisterTables> registers_{};
  std::vector<std::uint8_t> buckets_;
  std::vector<std::uint32_t> first_cells_;
  std::vector<LaneCell> cells_;
  std::vector<std::uint64_t> encode_rows_;
  std::vector<LaneStep> steps_;
  std::vector<std::uint32_t> packed_steps_;
  std::vector<std::int32_t> modes_;
  std::vector<std::uint32_t> costs_;
  bool modes_are_zero_ = true;
};

}  // namespace scalecodec
