/// The registry of kernel sets.
#include "backend.hpp"

#include <algorithm>
#include <atomic>
#include <cstddef>

namespace scalecodec {

namespace {

struct KernelSet {
  const char* name;
  bool (*runs_here)();
};

// Best first. The last defines the format and runs everywhere.
constexpr KernelSet kKernelSets[] = {{"scalar", [] { return true; }}};

std::atomic<const KernelSet*> forced{nullptr};

}  // namespace

std::vector<std::string> available_backends() {
  std::vector<std::string> names;
  for (const KernelSet& set : kKernelSets)
    if (set.runs_here()) names.emplace_back(set.name);
  return names;
}

std::string active_backend() {
  const KernelSet* set = forced.load();
  return set ? set->name : available_backends().front();
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
