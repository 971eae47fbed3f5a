/// Lane tables: cells, shortest-code frequencies, slots mode first.
#include "lane_table.hpp"

#include <algorithm>
#include <cstdlib>

namespace scalecodec {

namespace {

/// Cells of a row: which symbols they hold and how often these come, the escape's weight last.
struct Cells {
  int raw_bits;
  std::int32_t first;  // number of the first cell; cell 0 has the mode
  std::vector<std::uint32_t> weights;
};

/// `frequencies` [count] of the row's symbols, `mode` the greatest one's place.
Cells group(const std::vector<std::uint32_t>& frequencies, std::int32_t mode, std::uint32_t escape) {
  const std::int32_t end = static_cast<std::int32_t>(frequencies.size());
  int raw_bits = -1;
  std::int32_t low, high;
  const auto cell = [&](std::int32_t value) {
    return (value - mode + ((1 << raw_bits) >> 1)) >> raw_bits;  // arithmetic: towards minus infinity
  };
  do {
    ++raw_bits;
    low = cell(0);
    high = cell(end - 1);
  } while (high - low >= static_cast<std::int32_t>(kMaxCells) && raw_bits < kMaxRawBits);
  constexpr std::int32_t kMost = static_cast<std::int32_t>(kMaxCells);
  const std::int32_t first = std::max(low, std::min(-kMost / 2, high - kMost + 1));
  const std::int32_t last = std::min(high, first + kMost - 1);
  Cells cells{raw_bits, first, std::vector<std::uint32_t>(static_cast<std::size_t>(last - first + 2))};
  for (std::int32_t value = 0; value < end; ++value) {
    const std::int32_t at = cell(value);
    const bool kept = at >= first && at <= last;
    (kept ? cells.weights[static_cast<std::size_t>(at - first)] : escape) +=
        frequencies[static_cast<std::size_t>(value)];
  }
  cells.weights.back() = escape;
  return cells;
}

/// Place of the greatest frequency; of equals the one nearest to symbol 0, where tables are symmetric.
std::int32_t mode_of(const std::vector<std::uint32_t>& frequencies, std::int32_t offset) {
  const auto from_zero = [&](std::size_t at) {
    return std::abs(std::int64_t{offset} + static_cast<std::int64_t>(at));
  };
  std::size_t mode = 0;
  for (std::size_t i = 1; i < frequencies.size(); ++i)
    if (frequencies[i] > frequencies[mode] ||
        (frequencies[i] == frequencies[mode] && from_zero(i) < from_zero(mode)))
      mode = i;
  return static_cast<std::int32_t>(mode);
}

/// What one more slot saves, 2^47 ln(1 + 1 / freq) but for 0.25 %, in integers.
std::uint64_t gain(std::uint64_t freq) {
  const std::uint64_t d = 2 * freq + 1;
  return (std::uint64_t{1} << 48) / d + (std::uint64_t{1} << 48) / (3 * d * d * d);
}

/// The frequencies of the shortest code: rounded shares, then the cheapest moves to the right sum.
std::vector<std::uint32_t> shortest_code(const std::vector<std::uint32_t>& weights, int precision) {
  const std::int64_t total = std::int64_t{1} << precision;
  std::vector<std::uint32_t> freq;
  std::int64_t missing = total;
  for (std::uint64_t weight : weights) {
    freq.push_back(
        static_cast<std::uint32_t>(std::max<std::uint64_t>(1, ((weight << (precision + 1)) + 65536) >> 17)));
    missing -= freq.back();
  }
  const bool add = missing > 0;
  std::vector<std::uint64_t> value(weights.size());
  const auto revalue = [&](std::size_t i) {
    value[i] = add           ? weights[i] * gain(freq[i])
               : freq[i] > 1 ? weights[i] * gain(freq[i] - 1)
                             : ~std::uint64_t{0};
  };
  for (std::size_t i = 0; i < freq.size() && missing; ++i) revalue(i);
  for (; missing; missing += add ? -1 : 1) {
    const auto best =
        add ? std::max_element(value.begin(), value.end()) : std::min_element(value.begin(), value.end());
    const std::size_t i = static_cast<std::size_t>(best - value.begin());
    freq[i] += add ? 1u : ~0u;
    revalue(i);
  }
  return freq;
}

/// Numbers of cells in the order of their slots: 0, 1, -1, 2, -2 and so on, then the escape (the last).
std::vector<std::size_t> mode_first(std::int32_t first, std::size_t num_cells) {
  std::vector<std::size_t> order;
  const std::int32_t last = first + static_cast<std::int32_t>(num_cells) - 1;
  order.push_back(static_cast<std::size_t>(-first));
  for (std::int32_t away = 1; order.size() < num_cells; ++away) {
    if (away <= last) order.push_back(static_cast<std::size_t>(away - first));
    if (-away >= first) order.push_back(static_cast<std::size_t>(-away - first));
  }
  order.push_back(num_cells);
  return order;
}

/// Sum of c * -log2(c / 65536) in 1/256 bit, mantissas interpolated: for choosing lanes and chunks only.
std::uint32_t expected_cost(const std::int32_t* cdf, std::size_t length) {
  std::uint64_t sum = 0;
  for (std::size_t i = 1; i < length; ++i) {
    const std::uint32_t count = static_cast<std::uint32_t>(cdf[i] - cdf[i - 1]);
    std::uint32_t log = 0;
    while (count >> (log + 1)) ++log;
    sum += std::uint64_t{count} * (4096 - 256 * log - (256 * (count - (1u << log)) >> log));
  }
  return static_cast<std::uint32_t>(sum >> 16);
}

}  // namespace

void LaneTable::append(const std::int32_t* cdf, std::size_t length, std::int32_t offset) {
  std::vector<std::uint32_t> frequencies;
  for (std::size_t i = 0; i + 2 < length; ++i)
    frequencies.push_back(static_cast<std::uint32_t>(cdf[i + 1] - cdf[i]));
  const std::uint32_t escape = static_cast<std::uint32_t>(cdf[length - 1] - cdf[length - 2]);
  if (frequencies.empty()) frequencies.push_back(0);
  const std::int32_t mode = mode_of(frequencies, offset);
  const Cells cells = group(frequencies, mode, escape);
  const std::vector<std::uint32_t> freq = shortest_code(cells.weights, kSlotBits - cells.raw_bits);
  const std::size_t num_cells = freq.size() - 1;
  const std::int32_t half = (1 << cells.raw_bits) >> 1;

  const std::int32_t first = cells.first * (1 << cells.raw_bits) - half;
  const std::size_t first_step = steps_.size();
  encode_rows_.push_back(
      static_cast<std::uint16_t>(-first) | static_cast<std::uint64_t>(num_cells) << (16 + cells.raw_bits) |
      static_cast<std::uint64_t>(cells.raw_bits) << 32 | static_cast<std::uint64_t>(first_step) << 35);
  costs_.push_back(expected_cost(cdf, length));
  modes_.push_back(offset + mode);
  modes_are_zero_ = modes_are_zero_ && modes_.back() == 0;

  steps_.resize(first_step + freq.size());
  packed_steps_.resize(steps_.size() + 1);  // kernels read 8 bytes
  first_cells_.push_back(static_cast<std::uint32_t>(cells_.size()));
  const std::size_t first_bucket = num_tables() * kNumBuckets - kNumBuckets;
  buckets_.resize(first_bucket + kNumBuckets + kBucketRoom);
  std::uint32_t start = 0;
  std::uint8_t rank = 0;
  for (const std::size_t at : mode_first(cells.first, num_cells)) {
    const bool is_escape = at == num_cells;
    const int raw_bits = is_escape ? 0 : cells.raw_bits;
    const std::uint32_t width = freq[at] << cells.raw_bits;
    const LaneCell cell{static_cast<std::uint16_t>(-start), static_cast<std::uint16_t>(width >> raw_bits),
                        is_escape
                            ? kEscapeDistance
                            : static_cast<std::int16_t>(first + (static_cast<std::int32_t>(at) << raw_bits)),
                        static_cast<std::uint16_t>(raw_bits)};
    cells_.push_back(cell);
    steps_[first_step + at] = {((std::uint64_t{1} << 47) + cell.freq - 1) / cell.freq,
                               static_cast<std::uint16_t>(start), cell.freq,
                               static_cast<std::uint16_t>(kNumSlots - width)};
    packed_steps_[first_step + at] = start | std::uint32_t{cell.freq} << 16;
    std::uint32_t bucket = (start + (1u << kBucketBits) - 1) >> kBucketBits;
    for (; bucket << kBucketBits < start + width; ++bucket) buckets_[first_bucket + bucket] = rank;
    start += width;
    ++rank;
  }
  cells_.push_back({0x8000, 0, 0, 0});  // kernels look one cell ahead: no slot is there
  std::uint32_t end = 0;
  std::array<std::uint16_t, 3> thresholds{};
  for (std::size_t i = 0; i < 3 && cells.raw_bits == 0; ++i) {
    constexpr std::int32_t kNeighbours[] = {0, 1, -1};  // one that is not there takes no slots
    const std::size_t at = static_cast<std::size_t>(kNeighbours[i] - cells.first);
    if (at < num_cells) end += freq[at];
    thresholds[i] = static_cast<std::uint16_t>(end);
  }
  thresholds_.push_back(thresholds);
  if (modes_.size() <= kRegisterTables)
    put_registers(modes_.size() - 1, modes_.size() - 1, registers_.data());
}

bool LaneTable::put_registers(std::size_t index, std::size_t number, std::uint16_t* registers) const {
  for (std::size_t i = 0; i < 3; ++i) registers[i * kRegisterTables + number] = thresholds_[index][i];
  registers[3 * kRegisterTables + number] = static_cast<std::uint16_t>(first_cells_[index]);
  return first_cells_[index] <= 0xffff;
}

bool LaneTable::put_few(std::size_t index, FewCells& few) const {
  few = {};
  std::fill_n(few.starts, FewCells::kMost, static_cast<std::uint16_t>(kNumSlots));
  for (const LaneCell* cell = cells_.data() + first_cells_[index]; cell->freq; ++cell) {
    if (few.count == FewCells::kMost || cell->raw_bits) return false;
    few.starts[few.count] = static_cast<std::uint16_t>(-cell->minus_start);
    few.freqs[few.count] = cell->freq;
    few.distances[few.count++] = cell->distance;
  }
  const std::uint64_t row = encode_rows_[index];
  few.symbols_below = static_cast<std::uint16_t>(row);
  for (std::size_t i = 0; i < few.count; ++i) {
    const LaneStep& step = steps_[static_cast<std::size_t>(row >> 35) + i];
    few.step_starts[i] = step.start;
    few.step_freqs[i] = step.freq;
  }
  return true;
}

LaneView LaneTable::view() const {
  return {modes_.size() <= kRegisterTables ? registers_.data() : nullptr,
          buckets_.data(),
          first_cells_.data(),
          cells_.data(),
          encode_rows_.data(),
          steps_.data(),
          packed_steps_.data(),
          modes_.data()};
}

}  // namespace scalecodec
