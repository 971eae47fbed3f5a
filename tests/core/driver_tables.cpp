/// Driver, part 1: the arithmetic of a step, table validation and layout, quantization of a pmf.
#include <algorithm>
#include <cmath>

#include "driver.hpp"
#include "rans.hpp"

#if defined(__linux__)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace driver {

Tables random_tables(Random& random, std::size_t num_tables, std::size_t max_symbols) {
  Tables tables(num_tables, max_symbols + 1 + random.below(3));
  for (std::int32_t& entry : tables.cdf) entry = static_cast<std::int32_t>(random.bits());
  for (std::size_t i = 0; i < num_tables; ++i) {
    const std::size_t symbols = 1 + random.below(max_symbols);
    random_row(random, symbols, tables.row(i));
    tables.cdf_length[i] = static_cast<std::int32_t>(symbols + 1);
    const std::int32_t last_offset =
        std::numeric_limits<std::int32_t>::max() - static_cast<std::int32_t>(symbols) + 1;
    const std::int32_t offsets[] = {-static_cast<std::int32_t>(symbols / 2), 0,
                                    static_cast<std::int32_t>(random.spread(24)),
                                    std::numeric_limits<std::int32_t>::min(), last_offset};
    tables.offset[i] = offsets[random.below(random.below(4) ? 3 : 5)];
  }
  CHECK(tables.build().ok());
  return tables;
}

namespace {

/// x -> (x / freq << 16) + x % freq + start, at the edges of every quotient and in between.
void test_encode_step(Random& random) {
  for (std::uint32_t freq = 1; freq <= 65536; ++freq) {
    const std::uint32_t starts[] = {0, 65536 - freq, static_cast<std::uint32_t>(random.below(65537 - freq))};
    const State limit = State{freq} << 47;
    const State low = State{freq} << 15;  // the least state that a step of this freq can be given
    std::vector<State> states = {low, low + 1, kStateLow, kStateLow + 1, limit - 1, limit - 2, limit / 2};
    for (int i = 0; i < 24; ++i) {
      const State multiple = random.below(limit / freq) * freq;
      for (State x : {multiple, multiple + freq - 1, random.below(limit)}) states.push_back(x);
    }
    for (std::uint32_t start : starts) {
      const EncodeStep step(start, freq);
      bool exact = step.limit() == limit;
      for (State x : states) exact &= step.put(x) == (x / freq << 16) + x % freq + start;
      for (State x : states) exact &= advance(step.put(x), static_cast<std::uint32_t>(x % freq), freq) == x;
      CHECK(exact);
    }
  }
}

Tables small_tables() {
  Tables tables(3, 5);
  tables.cdf = {0, 1, 2, 3, 65536, 0, 65536, 7, 7, 7, 0, 30000, 65535, 65536, -1};
  tables.cdf_length = {5, 2, 4};
  tables.offset = {-2, 0, 2147483645};
  return tables;
}

/// One change to good buffers, and what it must be called.
template <class Change>
void check_refused(Status status, std::size_t where, Change&& change) {
  Tables tables = small_tables();
  change(tables);
  const Result result = tables.build();
  CHECK(result.status == status);
  CHECK(result.where == where);
}

void test_table_statuses() {
  check_refused(Status::kOk, 0, [](Tables&) {});
  check_refused(Status::kTableEmpty, 0, [](Tables& t) { t.num_tables = 0; });
  for (std::int32_t length : {0, 1, -1, 6, 1 << 30, std::numeric_limits<std::int32_t>::min()})
    check_refused(Status::kTableLength, 1, [&](Tables& t) { t.cdf_length[1] = length; });
  for (std::int32_t start : {1, -1})
    check_refused(Status::kTableStart, 0, [&](Tables& t) { t.cdf[0] = start; });
  for (std::int32_t entry : {0, 1, 65535, 65536, std::numeric_limits<std::int32_t>::min()})
    check_refused(Status::kTableOrder, 0, [&](Tables& t) { t.cdf[2] = entry; });
  for (std::int32_t end : {65535, 65537, std::numeric_limits<std::int32_t>::max()})
    check_refused(Status::kTableEnd, 1, [&](Tables& t) { t.cdf[6] = end; });
  check_refused(Status::kTableOrder, 2, [](Tables& t) { t.cdf[13] = 65535; });
  check_refused(Status::kTableEnd, 0, [](Tables& t) { t.cdf_length[0] = 4; });
  check_refused(Status::kTableOffset, 2, [](Tables& t) { t.offset[2] = 2147483646; });
  check_refused(Status::kOk, 0, [](Tables& t) { t.offset[1] = std::numeric_limits<std::int32_t>::max(); });
  check_refused(Status::kOk, 0, [](Tables& t) { t.offset[0] = std::numeric_limits<std::int32_t>::min(); });
}

/// 2^31 symbols are one too many. They would fill 8 GiB; here one row of 2^16 is mapped 2^15 times.
void test_too_wide() {
#if defined(__linux__) && \
    !defined(__SANITIZE_ADDRESS__)  // five times slower there, and a matter of counting only
  constexpr std::size_t kTables = 32768, kWidth = 65 * 1024, kRowBytes = kWidth * sizeof(std::int32_t);
  const int file = memfd_create("row", 0);
  std::vector<std::int32_t> row(kWidth);
  for (std::size_t i = 0; i <= 65536; ++i) row[i] = static_cast<std::int32_t>(i);
  bool mapped = write(file, row.data(), kRowBytes) == static_cast<ssize_t>(kRowBytes);
  void* const rows =
      mmap(nullptr, kTables * kRowBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  mapped &= rows != MAP_FAILED;
  for (std::size_t i = 0; i < kTables && mapped; ++i) {
    void* const place = static_cast<char*>(rows) + i * kRowBytes;
    mapped = mmap(place, kRowBytes, PROT_READ, MAP_SHARED | MAP_FIXED, file, 0) == place;
  }
  const std::vector<std::int32_t> cdf_length(kTables, 65537), offset(kTables);
  CdfTable table;
  const std::int32_t* cdf = static_cast<const std::int32_t*>(rows);
  if (mapped)
    CHECK(table.build(cdf, kTables, kWidth, cdf_length.data(), offset.data()).status ==
          Status::kTableTooWide);
  if (!mapped) std::printf("too many symbols: not tested, the system maps no more memory\n");
  if (rows != MAP_FAILED) munmap(rows, kTables * kRowBytes);
  close(file);
#endif
}

/// Every interval, step and bucket against the cdf itself, and the mode: the widest interval but for the
/// escape.
void check_layout(const Tables& tables) {
  CHECK(tables.prepared.num_tables() == tables.num_tables);
  for (std::size_t index = 0; index < tables.num_tables; ++index) {
    const TableRow& row = tables.prepared.row(index);
    const std::size_t symbols = tables.num_symbols(index);
    std::uint32_t widest = 0;
    bool same = row.escape == symbols - 1 && row.offset == tables.offset[index];
    for (std::uint32_t value = 0; value < symbols; ++value) {
      const std::uint32_t freq = tables.freq(index, value);
      const std::uint32_t start = static_cast<std::uint32_t>(tables.row(index)[value]);
      same &= row.intervals[value].start == start && row.intervals[value].last + 1u == freq;
      same &= row.steps[value].limit() == State{freq} << 47 && row.steps[value].put(freq) == 65536 + start;
      if (value != row.escape && freq > tables.freq(index, widest)) widest = value;
    }
    CHECK(same);
    bool found = true;
    for (std::int32_t bucket = 0; bucket < 256; ++bucket) {
      const std::int32_t* holder = tables.row(index) + row.buckets[bucket];
      found &= holder[0] <= bucket * 256 && bucket * 256 < holder[1];
    }
    CHECK(found);
    if (symbols == 1) {
      CHECK(row.mode_start > 65535 && row.mode_last == 0);
      continue;
    }
    CHECK(row.mode_start == row.intervals[widest].start && row.mode_last == row.intervals[widest].last);
    CHECK(row.mode_symbol == static_cast<std::int64_t>(widest) + row.offset);
  }
}

void test_layouts(Random& random) {
  for (std::size_t symbols : {std::size_t{1}, std::size_t{2}, std::size_t{700}})
    for (int i = 0; i < 10; ++i) check_layout(random_tables(random, 1 + random.below(5), symbols));
  Tables full(1, 65537);
  for (std::int32_t i = 0; i <= 65536; ++i) full.cdf[static_cast<std::size_t>(i)] = i;
  full.cdf_length[0] = 65537;
  CHECK(full.build().ok());
  check_layout(full);
  Tables too_long(1, 65538);  // no room for 65537 symbols in 65536 counts
  for (std::int32_t i = 0; i <= 65537; ++i) too_long.cdf[static_cast<std::size_t>(i)] = i;
  too_long.cdf_length[0] = 65538;
  CHECK(too_long.build().status == Status::kTableEnd);
}

/// CompressAI's algorithm as it is written: for every empty interval, look for the narrowest donor anew.
std::vector<std::int32_t> slow_quantized_cdf(const std::vector<float>& pmf, int precision) {
  const std::int64_t one = std::int64_t{1} << precision;
  std::vector<std::int64_t> freq;
  std::int64_t total = 0;
  for (float p : pmf)
    total += freq.emplace_back(static_cast<std::int64_t>(std::round(p * static_cast<float>(one))));
  std::vector<std::int32_t> cdf = {0};
  for (std::int64_t f : freq) cdf.push_back(cdf.back() + static_cast<std::int32_t>(f * one / total));
  cdf.back() = static_cast<std::int32_t>(one);
  for (std::size_t i = 0; i + 1 < cdf.size(); ++i) {
    if (cdf[i] != cdf[i + 1]) continue;
    std::size_t donor = cdf.size();
    for (std::size_t j = 0; j + 1 < cdf.size(); ++j) {
      const std::int32_t f = cdf[j + 1] - cdf[j];
      if (f > 1 && (donor == cdf.size() || f < cdf[donor + 1] - cdf[donor])) donor = j;
    }
    for (std::size_t j = donor + 1; j <= i; ++j) --cdf[j];
    for (std::size_t j = i + 1; j <= donor; ++j) ++cdf[j];
  }
  return cdf;
}

Result quantize(const std::vector<float>& pmf, int precision, std::vector<std::int32_t>& cdf) {
  const Exact<float> exact(pmf.data(), pmf.size());
  Exact<std::int32_t> out(pmf.size() + 1);
  const Result result = pmf_to_quantized_cdf(exact.data.get(), pmf.size(), precision, out.data.get());
  cdf.assign(out.data.get(), out.data.get() + out.size);
  return result;
}

void test_pmf_oracle(Random& random) {
  std::vector<std::int32_t> cdf;
  for (int i = 0; i < 1500; ++i) {
    const int precision = i % 3 ? 16 : 1 + static_cast<int>(random.below(16));
    const std::size_t count =
        1 + random.below(std::min<std::uint64_t>(1u << precision, random.spread(9) + 1));
    std::vector<float> pmf(count);
    for (float& p : pmf) {
      const std::uint64_t kind = random.below(4);
      p = kind == 0   ? 0.0f
          : kind == 1 ? static_cast<float>(random.below(8)) / 131072.0f
                      : std::ldexp(static_cast<float>(random.below(1 << 24)),
                                   -24 - static_cast<int>(random.below(30)));
    }
    pmf[random.below(count)] += 0.5f;
    const Result result = quantize(pmf, precision, cdf);
    if (CHECK(result.ok())) CHECK(cdf == slow_quantized_cdf(pmf, precision));
  }
  CHECK(quantize(std::vector<float>(65536, 1.0f / 65536), 16, cdf).ok());
  CHECK(std::adjacent_find(cdf.begin(), cdf.end(), [](auto a, auto b) { return b != a + 1; }) == cdf.end());
}

void test_pmf_statuses() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  std::vector<std::int32_t> cdf;
  for (float bad : {-1.0f, -1e-30f, kInfinity, -kInfinity, std::nanf("")}) {
    const Result result = quantize({0.5f, 0.5f, bad, 1.0f}, 16, cdf);
    CHECK(result.status == Status::kPmfValue && result.where == 2);
  }
  CHECK(quantize({}, 16, cdf).status == Status::kPmfZero);
  CHECK(quantize({0.0f, 1e-9f, -0.0f}, 16, cdf).status == Status::kPmfZero);
  CHECK(quantize(std::vector<float>(65537, 1.0f), 16, cdf).status == Status::kPmfLength);
  CHECK(quantize({0.5f, 0.25f, 0.25f}, 1, cdf).status == Status::kPmfLength);
  CHECK(quantize({1.0f, 3e38f}, 16, cdf).status == Status::kPmfLength);
  CHECK(quantize({32768.0f}, 16, cdf).status == Status::kPmfLength);            // 2^31: one entry
  CHECK(quantize({16384.0f, 16384.0f}, 16, cdf).status == Status::kPmfLength);  // 2^31: the sum
  CHECK(quantize({16384.0f, 16383.99f}, 16, cdf).ok());
}

}  // namespace

void test_tables(Random& random) {
  test_encode_step(random);
  test_table_statuses();
  test_too_wide();
  test_layouts(random);
  test_pmf_oracle(random);
  test_pmf_statuses();
}

}  // namespace driver
