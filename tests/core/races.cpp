/// Threads of the lane stream and their pool, to be run under ThreadSanitizer: its report is the test.
///
///     sources="tests/core/races.cpp $(ls csrc/*.cpp | grep -v module)"
///     c++ -std=c++17 -g -O1 -pthread -Icsrc -fsanitize=thread $sources -o races && ./races
#include <atomic>
#include <thread>

#include "backend.hpp"
#include "driver.hpp"
#include "lanes.hpp"
#include "pool.hpp"

using namespace scalecodec;

namespace {

constexpr std::size_t kCallers = 3, kTasks = 6, kSymbols = 30000;
std::atomic<int> wrong{0};

driver::Tables make_tables() {
  driver::Random random{1};
  driver::Tables tables(100, 201);
  for (std::size_t i = 0; i < tables.num_tables; ++i) {
    driver::random_row(random, 200, tables.row(i));
    tables.cdf_length[i] = 201;
    tables.offset[i] = -100;
  }
  wrong += !tables.build().ok();
  return tables;
}

/// Streams of several chunks, there and back with shared tables and a pool that others use too; one is
/// damaged.
void code(const LaneTable& table, std::uint64_t seed) {
  driver::Random random{seed};
  std::vector<std::int32_t> symbols(kSymbols), indexes(kSymbols), out(kTasks * kSymbols);
  for (std::size_t i = 0; i < kSymbols; ++i) {
    symbols[i] = static_cast<std::int32_t>(random.below(200)) - 100;
    indexes[i] = static_cast<std::int32_t>(random.below(100));
  }
  const IntegerSource from{symbols.data(), IntegerType::kInt32, kSymbols},
      named{indexes.data(), IntegerType::kInt32, kSymbols};
  for (std::size_t threads = 1; threads <= 5; ++threads) {
    std::vector<LaneEncodeTask> encoding(kTasks, {from, named, {}, {}});
    lanes_encode(encoding.data(), kTasks, table, *active_kernels().lanes, threads);
    encoding[threads].out[encoding[threads].out.size() / 2] ^= 255;
    std::vector<LaneDecodeTask> decoding;
    for (std::size_t i = 0; i < kTasks; ++i)
      decoding.push_back({encoding[i].out.data(),
                          encoding[i].out.size(),
                          named,
                          {out.data() + i * kSymbols, IntegerType::kInt32, kSymbols},
                          {}});
    lanes_decode(decoding.data(), kTasks, table, *active_kernels().lanes, threads);
    for (std::size_t i = 0; i < kTasks; ++i) {
      const auto first = out.begin() + static_cast<std::ptrdiff_t>(i * kSymbols);
      if (i != threads)
        wrong += !decoding[i].result.ok() || !std::equal(symbols.begin(), symbols.end(), first);
    }
  }
}

/// Short work, where waking and leaving matter most.
void share(std::size_t threads) {
  for (std::size_t i = 0; i < 2000; ++i) {
    std::vector<int> done(i % 7);
    run_parallel(done.size(), threads, [&](std::size_t at) { done[at] = 1; });
    for (int one : done) wrong += one != 1;
  }
}

}  // namespace

int main() {
  const driver::Tables tables = make_tables();
  std::vector<std::thread> callers;
  for (std::size_t i = 0; i < kCallers; ++i) {
    callers.emplace_back([&, i] { code(tables.prepared.lanes(), i); });
    callers.emplace_back([i] { share(2 + 2 * i); });
  }
  for (int i = 0; i < 100; ++i)
    for (const std::string& name : available_backends()) force_backend(name);
  for (std::thread& caller : callers) caller.join();
  std::printf("%d wrong\n", wrong.load());
  return wrong != 0;
}
