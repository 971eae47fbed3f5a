/// The registry of kernel sets: which can run here, and which one does.
#pragma once

#include <string>
#include <vector>

#include "context_kernels.hpp"
#include "integer_kernels.hpp"
#include "lane_kernels.hpp"
#include "quantize_kernels.hpp"

namespace scalecodec {

/// One instruction set's versions of all that has several.
struct KernelSet {
  const char* name;
  bool (*runs_here)();
  const LaneKernels* lanes;
  QuantizeKernels quantize;
  const ContextKernels* context;
  IntegerKernels integers;
};

/// The set in use: the forced one, else the best that this machine can run.
const KernelSet& active_kernels();

/// Names of the kernel sets that this machine can run, best first; "scalar" is always the last.
std::vector<std::string> available_backends();

/// Force the set of this name, or give the choice back with an empty one. False where it cannot run here.
bool force_backend(const std::string& name);

}  // namespace scalecodec
