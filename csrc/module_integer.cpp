/// The Python door of integer networks.
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <vector>

#include "backend.hpp"
#include "integer_network.hpp"
#include "module.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

template <class Element>
using Array = py::array_t<Element, py::array::c_style>;

/// weights [num_outputs, rows, columns, num_inputs], start (y, x), and [num_outputs] of bias, multiplier,
/// negative, shift.
using PhaseArrays = std::tuple<Array<std::int16_t>, std::pair<py::ssize_t, py::ssize_t>, Array<std::int64_t>,
                               Array<std::int32_t>, Array<std::int32_t>, Array<std::int32_t>>;
/// num_inputs, num_outputs, stride, (low, high), phases.
using LayerArrays = std::tuple<std::size_t, std::size_t, std::size_t, std::pair<std::int32_t, std::int32_t>,
                               std::vector<PhaseArrays>>;

PhaseView view_of(const PhaseArrays& arrays, std::size_t num_inputs, std::size_t num_outputs) {
  const auto& [weights, start, bias, multiplier, negative, shift] = arrays;
  const auto outputs = static_cast<py::ssize_t>(num_outputs);
  require(weights.ndim() == 4 && weights.size() > 0 && weights.shape(0) == outputs &&
              weights.shape(3) == static_cast<py::ssize_t>(num_inputs),
          "weights must be [num_outputs, rows, columns, num_inputs]");
  for (const py::array* each :
       {static_cast<const py::array*>(&bias), static_cast<const py::array*>(&multiplier),
        static_cast<const py::array*>(&negative), static_cast<const py::array*>(&shift)})
    require(each->ndim() == 1 && each->shape(0) == outputs, "there must be one number an output");
  require(start.first >= -64 && start.first <= 64 && start.second >= -64 && start.second <= 64 &&
              weights.shape(1) <= 64 && weights.shape(2) <= 64,
          "a kernel must be at most 64 a side, and begin so near");
  return {weights.data(),
          static_cast<std::size_t>(weights.shape(1)),
          static_cast<std::size_t>(weights.shape(2)),
          start.first,
          start.second,
          bias.data(),
          multiplier.data(),
          negative.data(),
          shift.data()};
}

IntegerNetwork make_network(std::int32_t input_limit, const std::vector<LayerArrays>& layers) {
  std::vector<LayerView> views;
  for (const auto& [num_inputs, num_outputs, stride, range, phases] : layers) {
    LayerView view{num_inputs, num_outputs, stride, range.first, range.second, {}};
    for (const PhaseArrays& phase : phases) view.phases.push_back(view_of(phase, num_inputs, num_outputs));
    views.push_back(std::move(view));
  }
  IntegerNetwork network(input_limit, views);
  if (!network.ok()) throw py::value_error("integer network: " + network.why());
  return network;
}

Array<std::int32_t> run(const IntegerNetwork& network, const Array<std::int32_t>& input,
                        std::size_t threads) {
  require(input.ndim() == 4 && static_cast<std::size_t>(input.shape(1)) == network.num_inputs(),
          "input must be int32 [B, num_inputs, height, width]");
  const auto stride = static_cast<py::ssize_t>(network.stride());
  const auto num_outputs = static_cast<py::ssize_t>(network.num_outputs());
  const py::ssize_t height = input.shape(2), width = input.shape(3);
  Array<std::int32_t> output({input.shape(0), num_outputs, stride * height, stride * width});
  std::int32_t* to = output.mutable_data();
  const std::int32_t* from = input.data();
  py::gil_scoped_release release;
  for (py::ssize_t item = 0; item < input.shape(0) && input.size() > 0; ++item)
    network.run(from + item * input.shape(1) * height * width, static_cast<std::size_t>(height),
                static_cast<std::size_t>(width), active_kernels().integers, threads,
                to + item * num_outputs * stride * height * stride * width);
  return output;
}

void indexes_of(const Array<std::int32_t>& scales, const Array<std::int32_t>& thresholds,
                Array<std::uint8_t> indexes) {
  require(scales.size() == indexes.size() && thresholds.ndim() == 1, "there must be an index a scale");
  const auto count = static_cast<std::size_t>(scales.size());
  const auto num_thresholds = static_cast<std::size_t>(thresholds.size());
  const std::int32_t *from = scales.data(), *bounds = thresholds.data();
  std::uint8_t* to = indexes.mutable_data();
  py::gil_scoped_release release;
  active_kernels().integers.count(from, count, bounds, num_thresholds, to);
}

}  // namespace

void bind_integer(py::module_& module) {
  py::class_<IntegerNetwork>(module, "IntegerNetwork")
      .def(py::init(&make_network), py::arg("input_limit"), py::arg("layers"))
      .def_property_readonly("sum_bits", &IntegerNetwork::sum_bits)
      .def("run", &run, py::arg("input"), py::arg("threads"));
  module.def("integer_indexes", &indexes_of, py::arg("scales"), py::arg("thresholds"),
             py::arg("indexes").noconvert());
}

}  // namespace scalecodec
