/// Threads in lockstep: one leads, the others take their part of each piece of work that it shares.
///
/// For work in pieces of microseconds, which waking a thread for each would swallow: the others spin in
/// between. Nobody is waited for that has not come yet, and where one is late again and again (other programs
/// have its processor) the leader goes on alone for a while, which doubles each time: on a busy machine a
/// team costs little more than its leader.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "pool.hpp"

namespace scalecodec {

class Team {
 public:
  Team() = default;
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  /// Call `lead()` once, with up to `num_threads - 1` threads of the pool beside it, or as many as there are
  /// processors. `lead` must not throw. Once for each team.
  template <class Lead>
  void run(std::size_t num_threads, const Lead& lead) {
    const std::size_t count = most_members(num_threads);
    run_parallel(count, count, [&](std::size_t) {
      if (led_.exchange(true)) return serve();
      start();
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
  using Clock = std::chrono::steady_clock;
  using Call = void (*)(const void* work, std::size_t part, std::size_t num_parts);
  template <class Work>
  static void call(const void* work, std::size_t part, std::size_t num_parts) {
    (*static_cast<const Work*>(work))(part, num_parts);
  }

  static std::size_t most_members(std::size_t num_threads);
  std::size_t begin(Call call, const void* work);
  void end(std::size_t num_others);
  void serve();
  void start();
  void stop();
  void publish(std::uint64_t piece, bool asleep);

  // What the others wait for: the number of the piece, and in the low bits how many take part; 0: sleep.
  alignas(64) std::atomic<std::uint64_t> piece_{0};
  alignas(64) std::atomic<std::size_t> num_done_{0};
  alignas(64) std::atomic<std::size_t> num_others_{0};  // that came
  std::atomic<bool> led_{false};
  std::atomic<int> leader_processor_{-1};
  std::mutex mutex_;
  std::condition_variable woken_;
  // The piece itself: read by those who take part only, and changed when all of them are done.
  Call call_ = nullptr;
  const void* work_ = nullptr;
  // The leader's own.
  std::uint64_t number_ = 0;
  std::size_t pieces_alone_ = 0, next_alone_ = kLeastAlone, pieces_together_ = 0;
  int lateness_ = 0;
  Clock::time_point begun_;

  static constexpr std::size_t kLeastAlone = 64;
};

}  // namespace scalecodec
