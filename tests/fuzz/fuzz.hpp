/// What the fuzz targets share: rules, numbers from an input, and what drives a target without libFuzzer.
///
///     sources="tests/fuzz/TARGET.cpp $(ls csrc/*.cpp | grep -v module)"
///     flags="-std=c++17 -g -O1 -pthread -Icsrc -fno-sanitize-recover=all"
///     g++ $flags -fsanitize=address,undefined -DSCALECODEC_FUZZ_STANDALONE $sources -o fuzz
///     ./fuzz [-max_total_time=SECONDS] [-runs=NUMBER] [-seed=NUMBER] [FILE...]
///
/// or with clang++ and -fsanitize=fuzzer,address,undefined in place of the last two; tests/fuzz/run_long.sh
/// does both. The options are libFuzzer's; files are run one by one. An input that breaks a rule is left in
/// crash-*.
///
/// Chance alone never writes a legal table or a stream that ends well: every target makes inputs that get
/// far, and mutates those. libFuzzer is given both as well.
#pragma once

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <string>

#include "../core/driver.hpp"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace fuzz {

using namespace scalecodec;
using driver::Bytes;
using driver::Exact;
using driver::Random;
using Input = std::vector<std::uint8_t>;

// Every target has these three.

/// An input whose every part is taken up.
Input make_input(Random& random);
/// Change it; mostly so little that it still gets far.
void mutate(Random& random, Input& input);
/// Print what became of the inputs; false where too few got far for a run to mean anything.
bool print_counts();

/// Stop with the broken rule's text; the sanitizer, libFuzzer or `main` below keeps the input.
inline void require(bool good, const char* rule) {
  if (good) return;
  std::fprintf(stderr, "broken: %s\n", rule);
  std::abort();
}

/// Takes numbers from the front of the input; zeros when it is used up.
struct Reader {
  const std::uint8_t* next;
  const std::uint8_t* end;

  bool is_done() const { return next == end; }
  std::uint32_t byte() { return next == end ? 0 : *next++; }
  std::uint32_t half() {
    const std::uint32_t high = byte() << 8;
    return high | byte();
  }
  std::uint32_t word() {
    const std::uint32_t high = half() << 16;
    return high | half();
  }
  std::size_t below(std::size_t limit) { return half() % limit; }
};

inline void append_random(Random& random, std::size_t count, Input& input) {
  for (std::size_t i = 0; i < count; ++i) input.push_back(static_cast<std::uint8_t>(random.bits()));
}

/// One byte replaced, one bit flipped, the end cut off or made longer: `at` bytes before the end.
inline void mutate_byte(Random& random, std::size_t at, Input& input) {
  if (at >= input.size()) return;
  std::uint8_t& byte = input[input.size() - 1 - at];
  switch (random.below(5)) {
    case 0:
      byte = static_cast<std::uint8_t>(random.bits());
      break;
    case 1:
      input.resize(input.size() - 1 - at);
      break;
    case 2:
      input.insert(input.end(), 4, static_cast<std::uint8_t>(random.bits()));
      break;
    default:
      byte ^= static_cast<std::uint8_t>(1u << random.below(8));
  }
}

}  // namespace fuzz

// Sanitizers end with SIGABRT, so that one handler sees every end. Stacks of allocations are short and freed
// blocks are kept apart for less long than usual: both take more time than all else here.
extern "C" inline const char* __attribute__((used)) __asan_default_options() {
  return "abort_on_error=1:malloc_context_size=1:quarantine_size_mb=1";
}
extern "C" inline const char* __attribute__((used)) __ubsan_default_options() {
  return "abort_on_error=1:print_stacktrace=1";
}

#if defined(SCALECODEC_FUZZ_STANDALONE)

namespace fuzz {

inline const Exact<std::uint8_t>* running = nullptr;
inline unsigned long long num_executions = 0;
constexpr unsigned kSecondsPerGroup = 60;
constexpr int kGroup = 256;  // inputs made from one

/// For SIGABRT and SIGALRM: keep the input. Only calls that a handler may make.
inline void keep_input(int signal) {
#if defined(__unix__) || defined(__APPLE__)
  char name[] = "crash-00000000";
  unsigned number = static_cast<unsigned>(getpid());
  for (std::size_t i = sizeof name - 2; number; number /= 10)
    name[i--] = static_cast<char>('0' + number % 10);
  std::FILE* file = running ? std::fopen(name, "wb") : nullptr;
  if (file) {
    std::fwrite(running->data.get(), 1, running->size, file);
    std::fclose(file);
    std::fprintf(stderr, "%s after %llu executions: the input is in %s\n",
                 signal == SIGALRM ? "too slow" : "stopped", num_executions, name);
  }
  running = nullptr;
#endif
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

inline void run_one(const std::uint8_t* data, std::size_t size) {
  const Exact<std::uint8_t> exact(data, size);
  running = &exact;
  ++num_executions;
  LLVMFuzzerTestOneInput(exact.data.get(), exact.size);
  running = nullptr;
}

inline bool run_file(const char* path) {
  std::FILE* file = std::fopen(path, "rb");
  if (!file) return false;
  Input input;
  for (int byte; (byte = std::fgetc(file)) != EOF;) input.push_back(static_cast<std::uint8_t>(byte));
  std::fclose(file);
  run_one(input.data(), input.size());
  std::printf("%s: nothing found\n", path);
  return true;
}

/// Inputs one after another, mutated from what `make_input` makes, each alone or heaped on the one before.
inline void run_many(std::uint64_t seed, unsigned long long runs, double seconds) {
  Random random{seed};
  const auto start = std::chrono::steady_clock::now();
  const auto elapsed = [&] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  };
  while (num_executions < runs && elapsed() < seconds) {
#if defined(__unix__) || defined(__APPLE__)
    alarm(kSecondsPerGroup);
#endif
    const Input made = make_input(random);
    Input input = made;
    for (int i = 0; i < kGroup && num_executions < runs; ++i) {
      run_one(input.data(), input.size());
      if (random.below(4)) input = made;
      mutate(random, input);
    }
  }
  std::printf("seed %llu: %llu executions in %.1f s, %.0f a second\n", static_cast<unsigned long long>(seed),
              num_executions, elapsed(), static_cast<double>(num_executions) / elapsed());
}

}  // namespace fuzz

int main(int argc, char** argv) {
  std::signal(SIGABRT, fuzz::keep_input);
#if defined(__unix__) || defined(__APPLE__)
  std::signal(SIGALRM, fuzz::keep_input);
#endif
  std::uint64_t seed = 1;
  unsigned long long runs = ~0ull;
  double seconds = 1e18;
  bool any_file = false;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const char* value = std::strchr(argv[i], '=');
    if (argument.rfind("-seed=", 0) == 0) seed = std::strtoull(value + 1, nullptr, 10);
    if (argument.rfind("-runs=", 0) == 0) runs = std::strtoull(value + 1, nullptr, 10);
    if (argument.rfind("-max_total_time=", 0) == 0) seconds = std::atof(value + 1);
    if (argument[0] == '-') continue;  // libFuzzer has more of them
    any_file = true;
    if (!fuzz::run_file(argv[i])) return 2;
  }
  if (any_file) return 0;
  fuzz::run_many(seed, runs, seconds);
  const bool got_far = fuzz::print_counts();
  return fuzz::num_executions >= 10000 && !got_far;
}

#else

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  return std::atexit([] { fuzz::print_counts(); });
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t max_size,
                                               unsigned seed) {
  fuzz::Random random{seed};
  const std::uint64_t kind = random.below(16);
  if (kind > 8) return LLVMFuzzerMutate(data, size, max_size);
  fuzz::Input input = kind ? fuzz::Input(data, data + size) : fuzz::make_input(random);
  if (kind) fuzz::mutate(random, input);
  input.resize(std::min(input.size(), max_size));
  std::copy(input.begin(), input.end(), data);
  return input.size();
}

#endif
