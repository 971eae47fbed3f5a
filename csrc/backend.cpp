/// The registry of kernel sets.
#include "backend.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>

namespace scalecodec {

namespace {

#if defined(__x86_64__) && defined(__GNUC__)
bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2") &&
         __builtin_cpu_supports("popcnt");
}

// As of Ice Lake and Zen 4: compressing 16-bit lanes came with VBMI2, and with it the dot products of VNNI.
bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vbmi2") &&
         __builtin_cpu_supports("avx512vnni");
}
#endif

// Best first. The last defines the format and runs everywhere.
const KernelSet kKernelSets[] = {
#if defined(__x86_64__) && defined(__GNUC__)
    {"avx512",
     has_avx512,
     &kAvx512Lanes,
     {&kAvx512Indexes, &kAvx2Symbols, &kAvx512Offsets},
     &kAvx512Context,
     kAvx512Integers},
    {"avx2",
     has_avx2,
     &kAvx2Lanes,
     {&kAvx2Indexes, &kAvx2Symbols, &kAvx2Offsets},
     &kAvx2Context,
     kAvx2Integers},
#endif
    {"scalar",
     [] { return true; },
     &kScalarLanes,
     {&kScalarIndexes, &kScalarSymbols, &kScalarOffsets},
     &kScalarContext,
     kScalarIntegers},
};

std::atomic<const KernelSet*> forced{nullptr};

}  // namespace

std::vector<std::string> available_backends() {
  std::vector<std::string> names;
  for (const KernelSet& set : kKernelSets)
    if (set.runs_here()) names.emplace_back(set.name);
  return names;
}

const KernelSet& active_kernels() {
  static const KernelSet& best = *std::find_if(std::begin(kKernelSets), std::end(kKernelSets),
                                               [](const KernelSet& set) { return set.runs_here(); });
  const KernelSet* set = forced.load();
  return set ? *set : best;
}

bool force_backend(const std::string& name) {
  const auto* set = std::find_if(std::begin(kKernelSets), std::end(kKernelSets),
                                 [&](const KernelSet& candidate) { return name == candidate.name; });
  const bool known = set != std::end(kKernelSets);
  if (!name.empty() && !(known && set->runs_here())) return false;
  forced.store(name.empty() ? nullptr : set);
  return true;
}

}  // namespace scalecodec
