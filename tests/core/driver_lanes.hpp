/// What the driver's two parts on the lane stream share.
#pragma once

#include <string>

#include "backend.hpp"
#include "driver.hpp"
#include "lane_chunk.hpp"
#include "lane_head.hpp"
#include "lanes.hpp"

namespace driver {

/// Call `action` with each kernel set that runs here.
template <class Action>
void for_each_set(Action&& action) {
  for (const std::string& name : available_backends()) {
    CHECK(force_backend(name));
    action(*active_kernels().lanes);
  }
  CHECK(force_backend(""));
}

/// Tables of this many equal intervals, which make many bytes of few symbols.
Tables flat_tables(std::size_t num_tables, std::size_t symbols);

/// Lanes, and a place for the tail: what a head may say whatever our encoder would choose.
struct Cut {
  std::size_t num_lanes;
  int place;
};
constexpr Cut kCuts[] = {{1, 0}, {4, 0}, {4, 1}, {8, 0}, {8, 100}, {32, 0}, {32, 1}, {32, 255}};

/// Encode one chunk cut like this, which must go well.
Bytes encode_chunk(const Values& values, const Tables& tables, const Cut& cut, const LaneKernels& kernels);

/// Encode in one call as our encoder cuts, which must go well.
Bytes encode_lanes(const IntegerSource& symbols, const IntegerSource& indexes, const Tables& tables,
                   const LaneKernels& kernels, std::size_t num_threads);

/// The stream of these chunks.
Bytes join_chunks(const std::vector<Bytes>& chunks);

Result decode_lanes(const Bytes& stream, const std::vector<std::int32_t>& indexes, const Tables& tables,
                    const LaneKernels& kernels, std::size_t num_threads, std::vector<std::int32_t>& symbols);

/// The same by every set; they must agree on the result, and on the symbols if there are any.
Result decode_by_all(const Bytes& stream, const std::vector<std::int32_t>& indexes, const Tables& tables,
                     std::vector<std::int32_t>& symbols);

inline bool same(const Bytes& a, const Bytes& b) {
  return a.size == b.size && std::equal(a.data.get(), a.data.get() + a.size, b.data.get());
}

}  // namespace driver
