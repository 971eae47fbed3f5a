/// The lane stream: chunks and threads.
#include "lanes.hpp"

#include <algorithm>
#include <atomic>
#include <new>

#include "lane_plan.hpp"
#include "pool.hpp"

namespace scalecodec {

namespace {

/// Chunks of all tasks, and which of them go together.
template <class Job>
struct Work {
  std::vector<Job> jobs;
  std::vector<std::size_t> first_of_task;  // and one beyond the last
};

/// The first job of each task that has failed: what comes behind it in its task is lost work.
template <class Job>
class Failures {
 public:
  explicit Failures(const Work<Job>& work) : work_(work), first_(work.first_of_task.size()) {
    for (auto& first : first_) first.store(work.jobs.size());
  }

  bool is_lost(const Job& job) { return place(job) > of_task(job).load(); }

  void note(const Job& job) {
    if (!job.result.ok()) lower(of_task(job), place(job));
  }

 private:
  std::size_t place(const Job& job) const { return static_cast<std::size_t>(&job - work_.jobs.data()); }
  std::atomic<std::size_t>& of_task(const Job& job) {
    const auto& starts = work_.first_of_task;
    const auto behind = std::upper_bound(starts.begin(), starts.end(), place(job));
    return first_[static_cast<std::size_t>(behind - starts.begin()) - 1];
  }

  const Work<Job>& work_;
  std::vector<std::atomic<std::size_t>> first_;
};

/// Run jobs in groups of neighbours, which hide each other's latency: as many for every thread, as even as
/// can be.
template <class Job, class Code>
void run_jobs(Work<Job>& work, std::size_t num_threads, Code&& code) {
  std::vector<Job>& jobs = work.jobs;
  const std::size_t threads = std::min(num_threads, std::max<std::size_t>(1, jobs.size()));
  const std::size_t least = (jobs.size() + kMaxRuns - 1) / kMaxRuns;
  const std::size_t num_groups = std::min(jobs.size(), (least + threads - 1) / threads * threads);
  Failures<Job> failures(work);
  run_parallel(num_groups, threads, [&](std::size_t i) {
    const LaneRange group = chunk_range(i, num_groups, jobs.size());
    Job* const first = jobs.data() + group.first;
    Job* const end = first + group.size;
    if (std::all_of(first, end, [&](const Job& job) { return failures.is_lost(job); })) return;
    try {
      code(first, static_cast<int>(group.size));
    } catch (const std::bad_alloc&) {
      for (Job* job = first; job != end; ++job)
        job->result = {Status::kNoMemory, 0};  // who knows how far each came
    }
    std::for_each(first, end, [&](const Job& job) { failures.note(job); });
  });
}

/// The first failure among a task's jobs.
template <class Job>
Result result_of(const Work<Job>& work, std::size_t task) {
  for (std::size_t i = work.first_of_task[task]; i < work.first_of_task[task + 1]; ++i)
    if (!work.jobs[i].result.ok()) return work.jobs[i].result;
  return {};
}

Result plan(const LaneEncodeTask& task, const LaneTable& table, std::vector<LaneEncodeJob>& jobs) {
  LanePlan plan;
  Result result = plan_lanes(task.indexes, table, plan);
  for (std::size_t i = 0; i < plan.num_chunks && result.ok(); ++i) {
    const LaneRange range = chunk_range(i, plan.num_chunks, task.indexes.size);
    jobs.push_back({task.symbols, task.indexes, range, {}, {}, {}});
    result = plan_chunk(task.indexes, range, table, plan, jobs.back().head);
  }
  return result;
}

void join(const LaneEncodeJob* jobs, std::size_t count, std::vector<std::uint8_t>& out) {
  std::size_t num_bytes = 0;
  for (std::size_t i = 0; i < count; ++i) num_bytes += jobs[i].out.size();
  out.reserve(num_bytes + 5 * count + 1);
  if (count > 1) {
    out.push_back(kManyChunks);
    write_varint(count, out);
    for (std::size_t i = 0; i + 1 < count; ++i) write_varint(jobs[i].out.size(), out);
  }
  for (std::size_t i = 0; i < count; ++i) out.insert(out.end(), jobs[i].out.begin(), jobs[i].out.end());
}

/// The chunks of a stream, as its head says.
Result split(const LaneDecodeTask& task, std::vector<LaneDecodeJob>& jobs) {
  const std::uint8_t* next = task.bytes;
  const std::uint8_t* const end = next + task.num_bytes;
  const std::size_t size = task.indexes.size;
  if (next == end || *next != kManyChunks) {
    jobs.push_back({next, task.num_bytes, task.indexes, task.out, {0, size}, {}});
    return {};
  }
  ++next;
  std::uint64_t count;
  // What a chunk costs besides its symbols must be paid by them, and by its bytes: nothing is allocated for
  // more.
  if (!read_varint(next, end, count) || count < 2 ||
      count > std::min<std::uint64_t>(size, most_chunks(size)) || count > task.num_bytes / 2)
    return {Status::kStreamHead, 0};
  std::vector<std::uint64_t> lengths(static_cast<std::size_t>(count));
  std::uint64_t sum = 0;
  for (std::size_t i = 0; i + 1 < lengths.size(); ++i) {
    if (!read_varint(next, end, lengths[i])) return {Status::kStreamHead, 0};
    sum += lengths[i];
  }
  const std::uint64_t left = static_cast<std::uint64_t>(end - next);
  if (sum > left) return {Status::kStreamShort, size};
  lengths.back() = left - sum;
  for (std::size_t i = 0; i < lengths.size(); ++i) {
    jobs.push_back({next,
                    static_cast<std::size_t>(lengths[i]),
                    task.indexes,
                    task.out,
                    chunk_range(i, lengths.size(), size),
                    {}});
    next += lengths[i];
  }
  return {};
}

}  // namespace

void lanes_encode(LaneEncodeTask* tasks, std::size_t count, const LaneTable& table,
                  const LaneKernels& kernels, std::size_t num_threads) {
  Work<LaneEncodeJob> work;
  for (std::size_t i = 0; i < count; ++i) {
    work.first_of_task.push_back(work.jobs.size());
    tasks[i].result = plan(tasks[i], table, work.jobs);
    if (!tasks[i].result.ok()) work.jobs.resize(work.first_of_task.back());
  }
  work.first_of_task.push_back(work.jobs.size());
  run_jobs(work, num_threads, [&](LaneEncodeJob* jobs, int n) { encode_chunks(jobs, n, table, kernels); });
  for (std::size_t i = 0; i < count; ++i) {
    if (tasks[i].result.ok()) tasks[i].result = result_of(work, i);
    const std::size_t first = work.first_of_task[i];
    if (tasks[i].result.ok()) join(work.jobs.data() + first, work.first_of_task[i + 1] - first, tasks[i].out);
  }
}

void lanes_decode(LaneDecodeTask* tasks, std::size_t count, const LaneTable& table,
                  const LaneKernels& kernels, std::size_t num_threads) {
  Work<LaneDecodeJob> work;
  for (std::size_t i = 0; i < count; ++i) {
    work.first_of_task.push_back(work.jobs.size());
    tasks[i].result = split(tasks[i], work.jobs);
  }
  work.first_of_task.push_back(work.jobs.size());
  run_jobs(work, num_threads, [&](LaneDecodeJob* jobs, int n) { decode_chunks(jobs, n, table, kernels); });
  for (std::size_t i = 0; i < count; ++i)
    if (tasks[i].result.ok()) tasks[i].result = result_of(work, i);
}

}  // namespace scalecodec
