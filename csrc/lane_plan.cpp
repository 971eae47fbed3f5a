/// What our encoder chooses.
#include "lane_plan.hpp"

#include <algorithm>

namespace scalecodec {

namespace {

constexpr std::size_t kLeastStride = 13;  // odd: counts of channels are even
constexpr std::size_t kStreamSamples = 4096;
constexpr std::size_t kChunkSamples = 512;
constexpr std::size_t kPairBytes = 12288;  // up to four chunks of this hide each other's latency
constexpr std::size_t kChunkBytes = 16384;
constexpr std::size_t kLeastChunk = 4096;  // symbols
constexpr std::size_t kLeastInLanes = 1024;
constexpr std::size_t kParts = 16;

// More lanes are faster and cost 3.5 bits each: these keep that below 0.3 %.
struct LaneChoice {
  std::size_t least_bytes;
  std::size_t num_lanes;
};
constexpr LaneChoice kLaneChoices[] = {{7000, 32}, {2800, 8}, {2000, 4}};

/// Calls `take(place, cost)` for some `num_samples` symbols of the range, or more if it is short.
template <class Take>
Result sample(const IntegerSource& indexes, const LaneRange& range, const LaneTable& table,
              std::size_t num_samples, Take&& take) {
  const std::size_t stride = std::max(kLeastStride, range.size / num_samples | 1);
  return with_type(indexes.type, [&](auto* tag) -> Result {
    using Element = std::remove_pointer_t<decltype(tag)>;
    const Element* from = static_cast<const Element*>(indexes.data) + range.first;
    for (std::size_t i = 0; i < range.size; i += stride) {
      const Element index = from[i];
      if (!fits<std::uint32_t>(index) || static_cast<std::uint32_t>(index) >= table.num_tables())
        return {Status::kIndexRange, range.first + i};
      take(i, table.cost(static_cast<std::size_t>(index)));
    }
    return {};
  });
}

struct Mean {
  std::uint64_t sum = 0;
  std::uint64_t count = 0;

  void add(std::uint32_t cost) {
    sum += cost;
    ++count;
  }
  /// Compared as fractions; sums stay below 2^45 for 2^32 symbols.
  bool exceeds(const Mean& other, std::uint64_t times) const {
    return sum * std::max<std::uint64_t>(1, other.count) >
           times * other.sum * std::max<std::uint64_t>(1, count);
  }
};

}  // namespace

LaneRange chunk_range(std::size_t i, std::size_t num_chunks, std::size_t num_symbols) {
  // floor(i * num_symbols / num_chunks) without overflow.
  const auto begin = [&](std::size_t at) {
    return num_symbols / num_chunks * at + num_symbols % num_chunks * at / num_chunks;
  };
  return {begin(i), begin(i + 1) - begin(i)};
}

Result plan_lanes(const IntegerSource& indexes, const LaneTable& table, LanePlan& plan) {
  Mean mean;
  const std::size_t size = indexes.size;
  const Result result = sample(indexes, {0, size}, table, kStreamSamples,
                               [&](std::size_t, std::uint32_t cost) { mean.add(cost); });
  if (!result.ok() || mean.count == 0) return result;
  // floor(size * sum / (2048 * count)): the quotient apart from the rest, lest the product overflow.
  const std::uint64_t divisor = 2048 * mean.count;
  const std::uint64_t bytes = size * (mean.sum / divisor) + size * (mean.sum % divisor) / divisor;
  plan.num_chunks = std::max<std::size_t>(
      1, std::min({bytes / kPairBytes, std::max<std::size_t>(4, bytes / kChunkBytes), size / kLeastChunk}));
  plan.bytes_per_chunk = static_cast<std::size_t>(bytes) / plan.num_chunks;
  return {};
}

Result plan_chunk(const IntegerSource& indexes, const LaneRange& range, const LaneTable& table,
                  const LanePlan& plan, LaneHead& head) {
  head = {};
  if (range.size < kLeastInLanes) return {};
  const auto* choice = std::find_if(
      std::begin(kLaneChoices), std::end(kLaneChoices),
      [&](const LaneChoice& candidate) { return plan.bytes_per_chunk >= candidate.least_bytes; });
  if (choice == std::end(kLaneChoices)) return {};
  head.num_lanes = choice->num_lanes;
  Mean parts[kParts];
  const Result result =
      sample(indexes, range, table, kChunkSamples,
             [&](std::size_t place, std::uint32_t cost) { parts[kParts * place / range.size].add(cost); });
  const Mean* densest = parts;
  for (const Mean& part : parts)
    if (part.exceeds(*densest, 1)) densest = &part;
  if (densest->exceeds(parts[kParts - 1], 2))
    head.place = static_cast<int>(256 / kParts) * static_cast<int>(densest - parts + 1);
  return result;
}

}  // namespace scalecodec
