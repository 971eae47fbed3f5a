/// Orders of sums, as Python gives them.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <cstdint>
#include <tuple>
#include <vector>

#include "context_sums.hpp"

namespace scalecodec {

using Int32Array = pybind11::array_t<std::int32_t, pybind11::array::c_style>;
/// Outputs, inputs, and steps [num_steps, 4]: kind, slot, value, whether products are fused.
using SumArrays = std::tuple<Int32Array, Int32Array, Int32Array>;

/// A layer's sums, looked over.
std::vector<OutputSums> make_sums(const std::vector<SumArrays>& all, std::size_t num_inputs,
                                  std::size_t num_outputs);

}  // namespace scalecodec
