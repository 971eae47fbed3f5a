/// The core's own driver, without Python: run it under AddressSanitizer and UndefinedBehaviorSanitizer.
///
///     flags="-std=c++17 -g -O1 -pthread -Icsrc -fsanitize=address,undefined -fno-sanitize-recover=all"
///     c++ $flags tests/core/driver*.cpp $(ls csrc/*.cpp | grep -v module) -o driver && ./driver
#include "driver.hpp"

#include <array>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string>

#include "backend.hpp"
#include "crc32c.hpp"
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

// A second copy, whose two paths can be called one by one: the core's own picks one by the processor.
namespace copy {
#include "crc32c.cpp"
}

namespace driver {

std::atomic<int> allocations_until_failure{0};

}  // namespace driver

void* operator new(std::size_t size) {
  if (size >> 30) throw std::bad_alloc();  // no part of the core needs a gigabyte here
  if (driver::allocations_until_failure > 0 && --driver::allocations_until_failure == 0)
    throw std::bad_alloc();
  if (void* block = std::malloc(size ? size : 1)) return block;
  throw std::bad_alloc();
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return std::malloc(size ? size : 1);
}
void operator delete(void* block) noexcept {
  std::free(block);
}
void operator delete(void* block, std::size_t) noexcept {
  std::free(block);
}

namespace driver {

namespace {

/// Bit by bit, from the definition.
std::uint32_t slow_crc32c(std::uint32_t value, const std::uint8_t* bytes, std::size_t num_bytes) {
  std::uint32_t crc = ~value;
  for (std::size_t i = 0; i < num_bytes; ++i) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0u);
  }
  return ~crc;
}

/// Every length to 300 at every alignment, in one call and in two, by each path.
void test_crc32c(Random& random) {
  CHECK(crc32c(0, reinterpret_cast<const std::uint8_t*>("123456789"), 9) == 0xe3069283u);
  CHECK(crc32c(0, nullptr, 0) == 0 && crc32c(12345, nullptr, 0) == 12345);
  for (std::size_t length = 0; length <= 300; ++length)
    for (std::size_t shift = 0; shift < 8; ++shift) {
      Exact<std::uint8_t> block(shift + length);  // ends where the bytes end
      for (std::size_t i = 0; i < block.size; ++i) block.data[i] = static_cast<std::uint8_t>(random.bits());
      const std::uint8_t* bytes = block.data.get() + shift;
      const std::uint32_t value = static_cast<std::uint32_t>(random.bits());
      const std::uint32_t expected = slow_crc32c(value, bytes, length);
      const std::size_t cut = random.below(length + 1);
      CHECK(crc32c(value, bytes, length) == expected);
      CHECK(crc32c(crc32c(value, bytes, cut), bytes + cut, length - cut) == expected);
      CHECK(~copy::scalecodec::update_tables(~value, bytes, length) == expected);
#if SCALECODEC_CRC32C_SSE42
      if (__builtin_cpu_supports("sse4.2"))
        CHECK(~copy::scalecodec::update_sse42(~value, bytes, length) == expected);
#endif
    }
}

/// `fits`, `load` and `store` at the edges of every type against arithmetic that is wider than all of them.
template <class T>
void check_conversions() {
  using Limits = std::numeric_limits<T>;
  using Narrow = std::numeric_limits<std::int32_t>;
  const std::uint64_t edges[] = {0,
                                 1,
                                 127,
                                 128,
                                 255,
                                 256,
                                 32767,
                                 32768,
                                 65535,
                                 65536,
                                 0x7fffffff,
                                 0x80000000,
                                 0xffffffff,
                                 0x100000000,
                                 0x7fffffffffffffff,
                                 0x8000000000000000};
  for (std::uint64_t edge : edges)
    for (std::uint64_t bits : {edge, ~edge, ~edge + 1}) {
      const T value = static_cast<T>(bits);
      const bool negative = Limits::is_signed && value < T{0};
      const bool fits_int32 = negative ? static_cast<std::int64_t>(value) >= Narrow::min()
                                       : static_cast<std::uint64_t>(value) <= 0x7fffffffu;
      const Exact<T> from(&value, 1);
      std::int32_t loaded = 0;
      CHECK((IntegerSource{from.data.get(), type_of<T>(), 1}.load(0, 1, &loaded)) == fits_int32);
      if (fits_int32) CHECK(static_cast<T>(loaded) == value && (loaded < 0) == negative);

      const std::int32_t narrow = static_cast<std::int32_t>(bits);
      const bool fits_type =
          narrow < 0 ? Limits::is_signed && narrow >= static_cast<std::int64_t>(Limits::min())
                     : static_cast<std::uint64_t>(narrow) <= static_cast<std::uint64_t>(Limits::max());
      Exact<T> to(1);
      const IntegerSink sink{to.data.get(), type_of<T>(), 1};
      std::int32_t scratch = 0;
      std::int32_t* target = sink.target(0, &scratch);
      *target = narrow;
      CHECK((sink.store(0, 1, target) == 1) == fits_type);
      if (fits_type) CHECK(static_cast<std::int64_t>(to.data[0]) == narrow);
    }
}

/// int32 is used where it lies; other types go through the scratch block and tell the first that does not
/// fit.
void test_views() {
  std::int32_t scratch[4], here[4] = {1, 2, 3, 4};
  std::size_t fitting = 0;
  CHECK((IntegerSource{here, IntegerType::kInt32, 4}.view(1, 3, scratch, fitting)) == here + 1 &&
        fitting == 3);
  CHECK((IntegerSink{here, IntegerType::kInt32, 4}.target(2, scratch)) == here + 2);
  const std::int64_t wide[4] = {1, 2, std::int64_t{1} << 40, 4};
  CHECK((IntegerSource{wide, IntegerType::kInt64, 4}.view(0, 4, scratch, fitting)) == scratch &&
        fitting == 2);
  CHECK((IntegerSource{wide, IntegerType::kInt64, 4}.view(3, 1, scratch, fitting)) == scratch &&
        scratch[0] == 4);
}

void test_backends() {
  const std::vector<std::string> names = available_backends();
  if (!CHECK(!names.empty() && names.back() == "scalar")) return;
  CHECK(std::string(active_kernels().name) == names.front());
  for (const std::string& name : names)
    CHECK(force_backend(name) && std::string(active_kernels().name) == name);
  for (const char* name : {"no such set", "Scalar", "scalar ", "scala"}) CHECK(!force_backend(name));
  CHECK(std::string(active_kernels().name) == "scalar");
  CHECK(force_backend("") && std::string(active_kernels().name) == names.front());
}

void test_messages() {
  std::vector<std::string> texts;
  for (int status = 0; status <= static_cast<int>(Status::kStreamSymbol); ++status)
    texts.emplace_back(message(static_cast<Status>(status)));
  for (std::size_t i = 0; i < texts.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) CHECK(texts[i] != texts[j]);
  CHECK(message(static_cast<Status>(texts.size())) == std::string("unknown status"));
}

void test_small(Random& random) {
  test_crc32c(random);
  for_each_type([](auto zero) { check_conversions<decltype(zero)>(); });
  test_views();
  test_backends();
  test_messages();
}

void run(const char* name, void (*part)(Random&), Random& random) {
  const auto start = std::chrono::steady_clock::now();
  const std::uint64_t before = num_checks;
  part(random);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  std::printf("%s: %llu checks, %.1f s\n", name, static_cast<unsigned long long>(num_checks - before),
              seconds.count());
}

}  // namespace

}  // namespace driver

int main() {
  driver::Random random{20240229};
  driver::run("small parts", driver::test_small, random);
  driver::run("tables", driver::test_tables, random);
  driver::run("streams", driver::test_streams, random);
  driver::run("damage", driver::test_damage, random);
  driver::run("quantization", driver::test_quantize, random);
  driver::run("reconstruction offsets", driver::test_offset, random);
  driver::run("integer networks", driver::test_integer, random);
  driver::run("activations", driver::test_feature, random);
  driver::run("context networks", driver::test_context, random);
  driver::run("lanes", driver::test_lanes, random);
  driver::run("damage to lanes", driver::test_lane_damage, random);
  std::printf("%llu checks, %llu failed\n", static_cast<unsigned long long>(driver::num_checks),
              static_cast<unsigned long long>(driver::num_failures));
  return driver::num_failures != 0;
}
