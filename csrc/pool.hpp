/// A pool of threads that stays: handing out work costs a wake-up, not a thread.
#pragma once

#include <atomic>
#include <cstddef>
#include <functional>

namespace scalecodec {

/// Call `action(i)` for every i below `count`, by the caller and up to `num_threads - 1` threads of the pool;
/// returns when all calls have. `action` must not throw. Safe from several threads at once, and in a forked
/// child.
void run_parallel(std::size_t count, std::size_t num_threads, const std::function<void(std::size_t)>& action);

/// `least` becomes `mine` where that is less: the first of the places that threads report.
inline void lower(std::atomic<std::size_t>& least, std::size_t mine) {
  std::size_t now = least.load();
  while (mine < now && !least.compare_exchange_weak(now, mine)) {
  }
}

}  // namespace scalecodec
