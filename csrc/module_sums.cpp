/// Orders of sums, as Python gives them.
#include "module_sums.hpp"

#include "module.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

std::vector<std::uint32_t> numbers_of(const Int32Array& array) {
  require(array.ndim() == 1, "numbers of a sum must have one dimension");
  std::vector<std::uint32_t> numbers;
  for (py::ssize_t i = 0; i < array.size(); ++i) {
    require(array.at(i) >= 0, "numbers of a sum must not be negative");
    numbers.push_back(static_cast<std::uint32_t>(array.at(i)));
  }
  return numbers;
}

}  // namespace

std::vector<OutputSums> make_sums(const std::vector<SumArrays>& all, std::size_t num_inputs,
                                  std::size_t num_outputs) {
  std::vector<OutputSums> sums;
  std::vector<bool> seen(num_outputs);
  std::size_t num_seen = 0;
  for (const auto& [outputs, inputs, steps] : all) {
    sums.push_back({numbers_of(outputs), {numbers_of(inputs), {}}});
    for (const std::uint32_t output : sums.back().outputs) {
      require(output < num_outputs && !seen[output], "every output must be in one sum");
      seen[output] = true;
      ++num_seen;
    }
    require(!sums.back().outputs.empty(), "a sum must have outputs");
    require(steps.ndim() == 2 && steps.shape(1) == 4, "the steps of a sum must be [num_steps, 4]");
    for (py::ssize_t i = 0; i < steps.shape(0); ++i) {
      require(steps.at(i, 1) >= 0 && steps.at(i, 2) >= 0, "numbers of a sum must not be negative");
      sums.back().order.steps.push_back({static_cast<SumStep::Kind>(steps.at(i, 0)),
                                         static_cast<std::uint32_t>(steps.at(i, 1)),
                                         static_cast<std::uint32_t>(steps.at(i, 2)), steps.at(i, 3) != 0});
    }
    if (const char* fault = fault_of(sums.back().order, num_inputs)) throw py::value_error(fault);
  }
  require(num_seen == num_outputs, "every output must be in one sum");
  return sums;
}

}  // namespace scalecodec
