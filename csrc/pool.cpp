/// A pool of threads that stays.
#include "pool.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#endif

namespace scalecodec {

namespace {

/// One call of run_parallel: whoever comes takes the next number.
struct Batch {
  std::size_t count;
  const std::function<void(std::size_t)>& action;
  std::atomic<std::size_t> next{0};
  std::size_t helpers = 0;  // threads of the pool at work on it; guarded by the pool's mutex
  std::condition_variable all_left;

  Batch(std::size_t n, const std::function<void(std::size_t)>& f) : count(n), action(f) {}

  void work() {
    for (std::size_t i; (i = next.fetch_add(1)) < count;) action(i);
  }
};

class Pool {
 public:
  void run(Batch& batch, std::size_t num_helpers) {
    std::size_t num_invited = 0;
    try {
      const std::lock_guard<std::mutex> lock(mutex_);
      grow(num_helpers);
      for (num_helpers = std::min(num_helpers, num_threads_); num_invited < num_helpers; ++num_invited)
        invitations_.push_back(&batch);
    } catch (const std::bad_alloc&) {
      // Whoever was invited will do, and the caller works itself.
    }
    num_helpers = num_invited;
    for (std::size_t i = 0; i < num_helpers; ++i) invited_.notify_one();
    batch.work();
    std::unique_lock<std::mutex> lock(mutex_);
    invitations_.erase(std::remove(invitations_.begin(), invitations_.end(), &batch), invitations_.end());
    batch.all_left.wait(lock, [&] { return batch.helpers == 0; });
  }

 private:
  /// Threads are never ended: the process takes them along, and waiting for them at exit could hang.
  void grow(std::size_t wanted) {
    try {
      for (; num_threads_ < wanted; ++num_threads_) std::thread([this] { serve(); }).detach();
    } catch (const std::system_error&) {
      // Fewer threads do as well: the caller works itself.
    }
  }

  void serve() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      invited_.wait(lock, [&] { return !invitations_.empty(); });
      Batch& batch = *invitations_.front();
      invitations_.pop_front();
      ++batch.helpers;
      lock.unlock();
      batch.work();
      lock.lock();
      if (--batch.helpers == 0) batch.all_left.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable invited_;
  std::deque<Batch*> invitations_;
  std::size_t num_threads_ = 0;
};

// Leaked on purpose: its threads outlive every destructor. A forked child has none of them and starts a pool
// anew.
std::atomic<Pool*> the_pool{nullptr};

Pool& pool() {
  Pool* existing = the_pool.load();
  if (existing) return *existing;
  Pool* fresh = new Pool;
  if (the_pool.compare_exchange_strong(existing, fresh)) {
#if defined(__unix__) || defined(__APPLE__)
    static std::once_flag once;
    std::call_once(once, [] { pthread_atfork(nullptr, nullptr, [] { the_pool.store(nullptr); }); });
#endif
    return *fresh;
  }
  delete fresh;
  return *existing;
}

}  // namespace

void run_parallel(std::size_t count, std::size_t num_threads,
                  const std::function<void(std::size_t)>& action) {
  Batch batch(count, action);
  const std::size_t num_helpers = std::min(count, num_threads);
  if (num_helpers <= 1) {
    batch.work();
    return;
  }
  try {
    pool().run(batch, num_helpers - 1);
  } catch (const std::bad_alloc&) {
    batch.work();  // no memory for the pool itself
  }
}

}  // namespace scalecodec
