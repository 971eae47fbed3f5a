/// A pool of threads that stays: handing out work costs a wake-up, not a thread.
#pragma once

#include <cstddef>
#include <functional>

namespace scalecodec {

/// Call `action(i)` for every i below `count`, by the caller and up to `num_threads - 1` threads of the pool;
/// returns when all calls have. `action` must not throw. Safe from several threads at once, and in a forked
/// child.
void run_parallel(std::size_t count, std::size_t num_threads, const std::function<void(std::size_t)>& action);

}  // namespace scalecodec
