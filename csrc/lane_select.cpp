/// Which tables a block of indexes names.
#include "lane_select.hpp"

#include <algorithm>

namespace scalecodec {

namespace {

constexpr std::uint16_t kNone = 0xffff;

bool all_are(const std::uint16_t* indexes, std::size_t count, std::uint16_t index) {
  constexpr std::size_t kRun = 64;  // blocks of many tables are found out early, others by whole vectors
  for (std::size_t first = 0; first < count; first += kRun) {
    std::uint16_t differs = 0;
    const std::size_t end = std::min(count, first + kRun);
    for (std::size_t i = first; i < end; ++i) differs |= static_cast<std::uint16_t>(indexes[i] ^ index);
    if (differs) return false;
  }
  return true;
}

}  // namespace

TableSelector::TableSelector(const LaneTable& table)
    : table_(table), all_(table.view()), view_(all_), few_index_(table.num_tables()) {
  if (table.num_tables() <= kRegisterTables) return;
  number_of_.assign(table.num_tables(), kNone);
  chosen_.reserve(kRegisterTables);
  buckets_.resize(kRegisterTables * kNumBuckets + kBucketRoom);
}

void TableSelector::clear() {
  for (const std::uint16_t index : chosen_) number_of_[index] = kNone;
  chosen_.clear();
}

bool TableSelector::add(std::uint16_t index) {
  const std::size_t number = chosen_.size();
  if (number == kRegisterTables || !table_.put_registers(index, number, registers_)) return false;
  number_of_[index] = static_cast<std::uint16_t>(number);
  chosen_.push_back(index);
  std::copy_n(all_.buckets + index * kNumBuckets, kNumBuckets, buckets_.data() + number * kNumBuckets);
  first_cells_[number] = all_.first_cells[index];
  encode_rows_[number] = all_.encode_rows[index];
  modes_[number] = all_.modes[index];
  return true;
}

bool TableSelector::rename(std::uint16_t* indexes, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint16_t index = indexes[i];
    if (number_of_[index] == kNone && !add(index)) {
      for (std::size_t j = 0; j < i; ++j) indexes[j] = chosen_[indexes[j]];
      return false;
    }
    indexes[i] = number_of_[index];
  }
  return true;
}

void TableSelector::select(std::uint16_t* const* blocks, const std::size_t* counts, int num_blocks) {
  choose(blocks, counts, num_blocks);
  view_.only = only_table(blocks, counts, num_blocks);
}

const FewCells* TableSelector::only_table(std::uint16_t* const* blocks, const std::size_t* counts,
                                          int num_blocks) {
  if (num_blocks == 0 || counts[0] == 0) return nullptr;
  const std::uint16_t index = blocks[0][0];
  for (int i = 0; i < num_blocks && table_.num_tables() > 1; ++i)
    if (!all_are(blocks[i], counts[i], index)) return nullptr;
  const bool is_named = view_.modes == modes_;
  const std::size_t table = is_named ? chosen_[index] : index;
  if (table != few_index_) is_few_ = table_.put_few(few_index_ = table, few_);
  return is_few_ ? &few_ : nullptr;
}

void TableSelector::choose(std::uint16_t* const* blocks, const std::size_t* counts, int num_blocks) {
  if (number_of_.empty()) return;
  const auto rename_all = [&] {
    for (int i = 0; i < num_blocks; ++i)
      if (!rename(blocks[i], counts[i])) {
        for (int j = 0; j < i; ++j)
          for (std::size_t k = 0; k < counts[j]; ++k) blocks[j][k] = chosen_[blocks[j][k]];
        return false;
      }
    return true;
  };
  view_ = {registers_,   buckets_.data(), first_cells_,      all_.cells,
           encode_rows_, all_.steps,      all_.packed_steps, modes_};
  if (rename_all()) return;
  clear();
  if (rename_all()) return;
  clear();
  view_ = all_;
}

}  // namespace scalecodec
