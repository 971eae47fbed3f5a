/// Tables: validation, quantization of a pmf, the layouts for encoding and decoding.
#include "cdf.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace scalecodec {

namespace {

/// Give every empty interval one count, taken from the narrowest interval that has more than one (the first
/// of such). A donor stays the narrowest until it is down to one and the receivers end with one, so the order
/// of donors is fixed from the start: one sort replaces the search that CompressAI makes for every empty
/// interval.
bool fill_empty(std::vector<std::uint32_t>& freq) {
  std::size_t empty = static_cast<std::size_t>(std::count(freq.begin(), freq.end(), 0u));
  if (empty == 0) return true;
  std::vector<std::uint32_t> donors;
  for (std::size_t i = 0; i < freq.size(); ++i)
    if (freq[i] > 1) donors.push_back(static_cast<std::uint32_t>(i));
  std::stable_sort(donors.begin(), donors.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return freq[a] < freq[b]; });
  std::replace(freq.begin(), freq.end(), 0u, 1u);
  for (std::uint32_t donor : donors) {
    const std::uint32_t taken = static_cast<std::uint32_t>(std::min<std::size_t>(empty, freq[donor] - 1));
    freq[donor] -= taken;
    empty -= taken;
  }
  return empty == 0;
}

Status check_row(const std::int32_t* cdf, std::size_t length) {
  if (cdf[0] != 0) return Status::kTableStart;
  bool ascends = true;
  for (std::size_t i = 1; i < length; ++i) ascends &= cdf[i] > cdf[i - 1];
  if (!ascends) return Status::kTableOrder;
  return cdf[length - 1] == 1 << kPrecision ? Status::kOk : Status::kTableEnd;
}

}  // namespace

Result pmf_to_quantized_cdf(const float* pmf, std::size_t count, int precision, std::int32_t* cdf) {
  const float one = static_cast<float>(1 << precision);
  constexpr float kMaxTotal = 2147483648.0f;  // CompressAI sums in an int
  if (count > std::size_t{1} << precision) return {Status::kPmfLength, count};
  std::vector<std::uint32_t> freq(count);
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(pmf[i]) || pmf[i] < 0) return {Status::kPmfValue, i};
    const float scaled = std::round(pmf[i] * one);
    if (!(scaled < kMaxTotal)) return {Status::kPmfLength, i};
    freq[i] = static_cast<std::uint32_t>(scaled);
    total += freq[i];
  }
  if (total == 0) return {Status::kPmfZero, 0};
  if (total >= std::uint64_t{1} << 31) return {Status::kPmfLength, count};
  for (std::uint32_t& f : freq)
    f = static_cast<std::uint32_t>((static_cast<std::uint64_t>(f) << precision) / total);
  // The last symbol takes what the floors left.
  freq.back() = (1u << precision) - std::accumulate(freq.begin(), freq.end() - 1, 0u);
  if (!fill_empty(freq)) return {Status::kPmfLength, count};
  cdf[0] = 0;
  for (std::size_t i = 0; i < count; ++i) cdf[i + 1] = cdf[i] + static_cast<std::int32_t>(freq[i]);
  return {};
}

Result check_rows(const RowsView& tables) {
  for (std::size_t i = 0; i < tables.rows.size(); ++i) {
    const Status status = check_row(tables.rows[i], static_cast<std::size_t>(tables.cdf_length[i]));
    if (status != Status::kOk) return {status, i};
    // Symbols of the intervals, and the first that is escaped above them.
    if (std::int64_t{tables.offset[i]} + tables.cdf_length[i] - 2 > std::numeric_limits<std::int32_t>::max())
      return {Status::kTableOffset, i};
  }
  return {};
}

Result CdfTable::build(const std::int32_t* cdf, std::size_t num_tables, std::size_t width,
                       const std::int32_t* cdf_length, const std::int32_t* offset) {
  RowsView tables{{}, cdf_length, offset};
  tables.rows.reserve(num_tables);
  for (std::size_t i = 0; i < num_tables; ++i) {
    if (cdf_length[i] < 2 || static_cast<std::size_t>(cdf_length[i]) > width) {
      const Result before = check_rows(tables);  // the first failure is the one to name
      return before.ok() ? Result{Status::kTableLength, i} : before;
    }
    tables.rows.push_back(cdf + i * width);
  }
  return build(tables);
}

Result CdfTable::build(const RowsView& tables) {
  const std::size_t num_tables = tables.rows.size();
  if (num_tables == 0) return {Status::kTableEmpty, 0};
  const Result result = check_rows(tables);
  if (!result.ok()) return result;
  std::size_t symbols = 0;
  for (std::size_t i = 0; i < num_tables; ++i) symbols += tables.range(i).escape + std::size_t{1};
  if (symbols >> 31) return {Status::kTableTooWide, num_tables};
  rows_.reserve(num_tables);
  intervals_.reserve(symbols);
  steps_.reserve(symbols);
  for (std::size_t i = 0; i < num_tables; ++i)
    append(tables.rows[i], static_cast<std::size_t>(tables.cdf_length[i]), tables.offset[i]);
  return {};
}

void CdfTable::make_lanes() const {
  const std::lock_guard<std::mutex> lock(lanes_->mutex);
  if (lanes_->made.load(std::memory_order_relaxed)) return;
  LaneTable table;
  std::vector<std::int32_t> cdf;
  for (const TableRow& row : rows_) {
    cdf.clear();
    for (std::uint32_t value = 0; value <= row.escape; ++value) cdf.push_back(row.intervals[value].start);
    cdf.push_back(1 << kPrecision);
    table.append(cdf.data(), cdf.size(), row.offset);
  }
  lanes_->table = std::move(table);
  lanes_->made.store(true, std::memory_order_release);
}

void CdfTable::append(const std::int32_t* cdf, std::size_t length, std::int32_t offset) {
  TableRow row{};
  // build() has reserved: these stay where they are.
  row.intervals = intervals_.data() + intervals_.size();
  row.steps = steps_.data() + steps_.size();
  row.escape = static_cast<std::uint32_t>(length - 2);
  row.offset = offset;
  row.mode_start = 1u << kPrecision;
  std::uint32_t widest = 0;
  for (std::uint32_t value = 0; value + 1 < length; ++value) {
    const std::uint32_t start = static_cast<std::uint32_t>(cdf[value]);
    const std::uint32_t end = static_cast<std::uint32_t>(cdf[value + 1]);
    intervals_.push_back({static_cast<std::uint16_t>(start), static_cast<std::uint16_t>(end - start - 1)});
    steps_.emplace_back(start, end - start);
    if (end - start > widest && value != row.escape) {
      widest = end - start;
      row.mode_start = start;
      row.mode_last = widest - 1;
      row.mode_symbol = static_cast<std::int32_t>(value) + offset;
    }
    for (std::uint32_t bucket = (start + 255) >> 8; bucket << 8 < end; ++bucket)
      row.buckets[bucket] = static_cast<std::uint16_t>(value);
  }
  rows_.push_back(row);
}

}  // namespace scalecodec
