/// Threads in lockstep.
#include "team.hpp"

#include <algorithm>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif

namespace scalecodec {

namespace {

constexpr int kPartBits = 16;
constexpr std::uint64_t kPartMask = (std::uint64_t{1} << kPartBits) - 1;
constexpr std::uint64_t kStopped = ~std::uint64_t{0};
constexpr int kSpins = 2000;  // some tens of microseconds: longer than the leader works alone
constexpr std::size_t kMostAlone = std::size_t{1} << 15;
// Waited for beyond the leader's own part: more than chance makes of even parts, with one that has to wake up
// first, and what only a lost processor takes.
constexpr std::chrono::microseconds kPatience{20}, kWakingPatience{200}, kLost{1000};
constexpr int kLateOnce = 4, kLateTooOften = 8;  // scores: twice within four pieces, or lost once

void pause(int spins) {
  // After a while the processor goes to whoever else wants it, who may be the one that is waited for.
  if (spins >= kSpins) return std::this_thread::yield();
#if defined(__x86_64__) && defined(__GNUC__)
  __builtin_ia32_pause();
#endif
}

#if defined(__linux__)
int this_processor() {
  return sched_getcpu();
}

/// Move this thread to another processor than that one, and leave its choice of processors as it was. Linux
/// wakes a thread beside the one that woke it where no processor is idle, and one that sleeps and spins by
/// turns never weighs enough to be moved from there.
void leave_processor(int processor) {
  cpu_set_t all, others;
  if (processor < 0 || processor >= CPU_SETSIZE || sched_getaffinity(0, sizeof all, &all) != 0) return;
  others = all;
  CPU_CLR(processor, &others);
  if (CPU_COUNT(&others) == 0 || sched_setaffinity(0, sizeof others, &others) != 0) return;
  sched_setaffinity(0, sizeof all, &all);
}
#else
int this_processor() {
  return -1;
}
void leave_processor(int) {}
#endif

}  // namespace

std::size_t Team::most_members(std::size_t num_threads) {
  if (num_threads <= 1) return 1;
  // More than there are processors would only wait for each other.
  const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
  return std::min({num_threads, processors, static_cast<std::size_t>(kPartMask - 1)});
}

void Team::publish(std::uint64_t piece, bool asleep) {
  if (!asleep) return piece_.store(piece, std::memory_order_release);
  leader_processor_.store(this_processor(), std::memory_order_relaxed);
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    piece_.store(piece, std::memory_order_release);
  }
  woken_.notify_all();
}

std::size_t Team::begin(Call call, const void* work) {
  const bool asleep = pieces_alone_ > 0;
  if (asleep && --pieces_alone_ > 0) return 1;
  const std::size_t num_parts = 1 + num_others_.load(std::memory_order_acquire);
  if (num_parts == 1) return num_parts;
  call_ = call;
  work_ = work;
  begun_ = Clock::now();
  num_done_.store(0, std::memory_order_relaxed);
  publish(++number_ << kPartBits | num_parts, asleep);
  return num_parts;
}

void Team::end(std::size_t num_others) {
  const auto all_done = [&] { return num_done_.load(std::memory_order_acquire) == num_others; };
  Clock::duration late{0};
  if (!all_done()) {
    const Clock::time_point own_end = Clock::now();
    for (int spins = 0; !all_done(); spins = std::min(spins + 1, kSpins)) pause(spins);
    late = (Clock::now() - own_end) - (own_end - begun_);
  }
  ++pieces_together_;
  if (late <= (pieces_together_ == 1 ? kWakingPatience : kPatience)) {
    lateness_ = std::max(lateness_ - 1, 0);
    if (pieces_together_ >= next_alone_) next_alone_ = kLeastAlone;
    return;
  }
  lateness_ += late > kLost ? kLateTooOften : kLateOnce;
  if (lateness_ < kLateTooOften) return;
  lateness_ = 0;
  pieces_alone_ = next_alone_;
  next_alone_ = std::min(2 * next_alone_, kMostAlone);
  pieces_together_ = 0;
  publish(++number_ << kPartBits, false);
}

void Team::serve() {
  const std::size_t part = 1 + num_others_.fetch_add(1, std::memory_order_acq_rel);
  const auto keep_apart = [&] {
    const int processor = this_processor();
    if (processor >= 0 && processor == leader_processor_.load(std::memory_order_relaxed))
      leave_processor(processor);
  };
  keep_apart();
  for (std::uint64_t piece = 0;;) {
    const std::uint64_t last = piece;
    const auto is_next = [&] { return (piece = piece_.load(std::memory_order_acquire)) != last; };
    if (last != 0 && (last & kPartMask) == 0) {
      std::unique_lock<std::mutex> lock(mutex_);
      woken_.wait(lock, is_next);
      lock.unlock();
      if (piece != kStopped) keep_apart();
    }
    for (int spins = 0; !is_next(); spins = std::min(spins + 1, kSpins)) pause(spins);
    if (piece == kStopped) return;
    const std::size_t num_parts = piece & kPartMask;
    if (part >= num_parts) continue;  // begun before this thread came: not for it
    call_(work_, part, num_parts);
    num_done_.fetch_add(1, std::memory_order_acq_rel);
  }
}

void Team::start() {
  leader_processor_.store(this_processor(), std::memory_order_relaxed);
}

void Team::stop() {
  publish(kStopped, true);
}

}  // namespace scalecodec
