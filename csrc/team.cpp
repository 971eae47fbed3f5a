/// Threads in lockstep.
#include "team.hpp"

#include <algorithm>
#include <thread>

namespace scalecodec {

namespace {

constexpr int kPartBits = 16;
constexpr std::uint64_t kPartMask = (std::uint64_t{1} << kPartBits) - 1;
constexpr std::uint64_t kStopped = ~std::uint64_t{0};
constexpr int kSpins = 2000;  // some tens of microseconds: longer than the leader works alone

/// Spin until `ready()`; after a while give the processor to whoever else wants it, who may be the one that
/// is waited for.
template <class Ready>
void wait_until(const Ready& ready) {
  for (int spins = 0; !ready(); ++spins) {
    if (spins >= kSpins) {
      std::this_thread::yield();
      continue;
    }
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#endif
  }
}

}  // namespace

std::size_t Team::most_members(std::size_t num_threads) {
  if (num_threads <= 1) return 1;
  // More than there are processors would only wait for each other.
  const std::size_t processors = std::max(1u, std::thread::hardware_concurrency());
  return std::min({num_threads, processors, static_cast<std::size_t>(kPartMask - 1)});
}

std::size_t Team::begin(Call call, const void* work) {
  const std::size_t num_parts = 1 + num_others_.load(std::memory_order_acquire);
  if (num_parts == 1) return num_parts;
  call_ = call;
  work_ = work;
  num_done_.store(0, std::memory_order_relaxed);
  const std::uint64_t number = (piece_.load(std::memory_order_relaxed) >> kPartBits) + 1;
  piece_.store(number << kPartBits | num_parts, std::memory_order_release);
  return num_parts;
}

void Team::end(std::size_t num_others) {
  wait_until([&] { return num_done_.load(std::memory_order_acquire) == num_others; });
}

void Team::serve() {
  const std::size_t part = 1 + num_others_.fetch_add(1, std::memory_order_acq_rel);
  for (std::uint64_t piece = 0;;) {
    const std::uint64_t last = piece;
    wait_until([&] { return (piece = piece_.load(std::memory_order_acquire)) != last; });
    if (piece == kStopped) return;
    const std::size_t num_parts = piece & kPartMask;
    if (part >= num_parts) continue;  // begun before this thread came: not for it
    call_(work_, part, num_parts);
    num_done_.fetch_add(1, std::memory_order_acq_rel);
  }
}

void Team::stop() {
  piece_.store(kStopped, std::memory_order_release);
}

}  // namespace scalecodec
