/// The registry of kernel sets: which can run here, and which one does.
#pragma once

#include <string>
#include <vector>

namespace scalecodec {

/// Names of the kernel sets that this machine can run, best first; "scalar" is always the last.
std::vector<std::string> available_backends();

/// Name of the set in use: the forced one, else the best.
std::string active_backend();

/// Force the set of this name, or give the choice back with an empty one. False where it cannot run here.
bool force_backend(const std::string& name);

}  // namespace scalecodec
