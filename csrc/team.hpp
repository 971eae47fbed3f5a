/// Threads in lockstep: one leads, the others take their part of each piece of work that it shares.
///
/// For work in pieces of microseconds, which waking a thread for each would swallow: the others spin in
/// between. Nobody is waited for that has not come yet, so a pool whose threads are busy elsewhere costs
/// speed only.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "pool.hpp"

namespace scalecodec {

class Team {
 public:
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// Call `lead()` once, with up to `num_threads - 1` threads of the pool beside it, or as many as there are
  /// processors. `lead` must not throw.
  template <class Lead>
  void run(std::size_t num_threads, const Lead& lead) {
    const std::size_t count = most_members(num_threads);
    run_parallel(count, count, [&](std::size_t) {
      if (led_.exchange(true)) return serve();
      lead();
      stop();
    });
  }

  /// For the leader: `work(part, num_parts)` for every part; returns when all are done.
  template <class Work>
  void share(const Work& work) {
    const std::size_t num_parts = begin(&call<Work>, &work);
    work(0, num_parts);
    if (num_parts > 1) end(num_parts - 1);
  }

 private:
  using Call = void (*)(const void* work, std::size_t part, std::size_t num_parts);
  template <class Work>
  static void call(const void* work, std::size_t part, std::size_t num_parts) {
    (*static_cast<const Work*>(work))(part, num_parts);
  }

  static std::size_t most_members(std::size_t num_threads);
  std::size_t begin(Call call, const void* work);
  void end(std::size_t num_others);
  void serve();
  void stop();

  // What the others wait for: the number of the piece, and in the low bits how many take part.
  alignas(64) std::atomic<std::uint64_t> piece_{0};
  alignas(64) std::atomic<std::size_t> num_done_{0};
  alignas(64) std::atomic<std::size_t> num_others_{0};  // that came
  std::atomic<bool> led_{false};
  // The piece itself: read by those who take part only, and changed when all of them are done.
  Call call_ = nullptr;
  const void* work_ = nullptr;
};

}  // namespace scalecodec
