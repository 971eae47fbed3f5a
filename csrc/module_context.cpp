/// The Python door of context networks.
#include <pybind11/stl.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "context.hpp"
#include "module.hpp"
#include "quantize.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

using Float32Array = py::array_t<float, py::array::c_style>;
/// weight [num_outputs, num_inputs], bias, and the slope of the activation behind it.
using LayerArrays = std::tuple<Float32Array, Float32Array, std::optional<float>>;

std::size_t extent(const py::array& array, py::ssize_t axis) {
  return static_cast<std::size_t>(array.shape(axis));
}

void require(bool good, const char* what) {
  if (!good) throw py::value_error(what);
}

using Int32Array = py::array_t<std::int32_t, py::array::c_style>;
/// Outputs, inputs, and steps [num_steps, 4]: kind, slot, value, whether products are fused.
using SumArrays = std::tuple<Int32Array, Int32Array, Int32Array>;

std::vector<std::uint32_t> numbers_of(const Int32Array& array) {
  require(array.ndim() == 1, "numbers of a sum must have one dimension");
  std::vector<std::uint32_t> numbers;
  for (py::ssize_t i = 0; i < array.size(); ++i) {
    require(array.at(i) >= 0, "numbers of a sum must not be negative");
    numbers.push_back(static_cast<std::uint32_t>(array.at(i)));
  }
  return numbers;
}

/// A layer's sums, looked over.
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

std::shared_ptr<ContextNetwork> make_network(const Float32Array& weight, const Float32Array& bias,
                                             const std::vector<LayerArrays>& layers,
                                             const std::vector<std::vector<SumArrays>>& sums) {
  require(weight.ndim() == 4 && weight.size() > 0 && weight.shape(2) == weight.shape(3) &&
              weight.shape(2) % 2 == 1 && bias.ndim() == 1 && bias.shape(0) == weight.shape(0),
          "weight must be [num_context, num_channels, k, k], k odd, and bias [num_context]");
  const ConvolutionView convolution{weight.data(), bias.data(), extent(weight, 1), extent(weight, 0),
                                    extent(weight, 2)};
  std::vector<DenseView> views;
  for (const auto& [matrix, offsets, slope] : layers) {
    require(
        matrix.ndim() == 2 && matrix.size() > 0 && offsets.ndim() == 1 && offsets.shape(0) == matrix.shape(0),
        "a layer must have weight [num_outputs, num_inputs] and bias [num_outputs]");
    const std::size_t num_inputs = extent(matrix, 1);
    require(views.empty() ? num_inputs >= convolution.num_outputs : num_inputs == views.back().num_outputs,
            "a layer must take what the one before it gives");
    views.push_back({matrix.data(), offsets.data(), num_inputs, extent(matrix, 0), slope.has_value(),
                     slope.value_or(0.0f)});
  }
  require(!views.empty() && views.back().num_outputs == 2 * convolution.num_channels,
          "the last layer must give 2 * num_channels outputs");
  require(sums.empty() || sums.size() == 1 + views.size(),
          "there must be sums for the context and each layer");
  std::vector<std::vector<OutputSums>> all;
  for (const std::vector<SumArrays>& arrays : sums) {
    const std::size_t layer = all.size();
    all.push_back(
        layer == 0 ? make_sums(arrays, convolution.kernel * convolution.kernel / 2 * convolution.num_channels,
                               convolution.num_outputs)
                   : make_sums(arrays, views[layer - 1].num_inputs, views[layer - 1].num_outputs));
  }
  py::gil_scoped_release release;
  return std::make_shared<ContextNetwork>(convolution, views, std::move(all));
}

/// Scales and tables as one call needs them.
struct Entropy {
  ScaleSearch search;
  const CdfTable& table;

  Entropy(const Float32Array& scale_table, float bound, const CdfTable& tables) : table(tables) {
    require(scale_table.size() > 0 && static_cast<std::size_t>(scale_table.size()) <= tables.num_tables(),
            "scale_table must have 1 to num_tables entries");
    check(prepare(scale_table.data(), static_cast<std::size_t>(scale_table.size()), bound, search));
  }
};

ContextTask make_task(const ContextNetwork& network, const Float32Array& params, const Entropy& entropy,
                      bool wavefront, Float32Array& latent_hat) {
  require(latent_hat.ndim() == 4 && extent(latent_hat, 1) == network.num_channels() && params.ndim() == 4 &&
              extent(params, 1) == network.num_params() && latent_hat.size() > 0,
          "latents must be [B, num_channels, H, W] and params [B, num_params, H, W], none of them empty");
  for (const py::ssize_t axis : {0, 2, 3})
    require(params.shape(axis) == latent_hat.shape(axis), "latents and params must have one batch and size");
  return {{network, extent(latent_hat, 0), extent(latent_hat, 2), extent(latent_hat, 3), params.data(),
           wavefront ? ContextOrder::kWavefront : ContextOrder::kRaster, latent_hat.mutable_data()},
          entropy.search,
          entropy.table};
}

ContextBackend active_backend() {
  const KernelSet& kernels = active_kernels();
  return {*kernels.context, kernels.quantize};
}

[[noreturn]] void refuse_latent(const float* latent, std::size_t where) {
  throw py::value_error("latents must be finite and, less their mean, round to int32, got " +
                        py::str(py::float_(latent[where])).cast<std::string>() + " (element " +
                        std::to_string(where) + ")");
}

std::vector<py::bytes> encode(const ContextNetwork& network, const Float32Array& latent,
                              const Float32Array& params, const Float32Array& scale_table, float bound,
                              const CdfTable& table, bool wavefront, Float32Array latent_hat,
                              std::size_t threads) {
  const Entropy entropy(scale_table, bound, table);
  const ContextTask task = make_task(network, params, entropy, wavefront, latent_hat);
  require(latent.size() == latent_hat.size(), "latents must have one size");
  std::vector<Rans64Encoder> streams(task.num_items);
  Result result;
  {
    py::gil_scoped_release release;
    result = context_encode(task, active_backend(), latent.data(), streams.data(), threads);
  }
  if (result.status == Status::kLatentRange) refuse_latent(latent.data(), result.where);
  check(result);
  std::vector<py::bytes> all;
  for (const Rans64Encoder& stream : streams)
    all.emplace_back(reinterpret_cast<const char*>(stream.bytes()), stream.num_bytes());
  return all;
}

void decode(const ContextNetwork& network,
            const std::vector<py::array_t<std::uint8_t, py::array::c_style>>& data,
            const Float32Array& params, const Float32Array& scale_table, float bound, const CdfTable& table,
            bool wavefront, Float32Array latent_hat, std::size_t threads) {
  const Entropy entropy(scale_table, bound, table);
  const ContextTask task = make_task(network, params, entropy, wavefront, latent_hat);
  require(data.size() == task.num_items, "there must be one stream for every item");
  std::vector<Rans64Decoder> streams(task.num_items);
  for (std::size_t i = 0; i < data.size(); ++i)
    check(streams[i].start(data[i].data(), static_cast<std::size_t>(data[i].size())));
  Result result;
  {
    py::gil_scoped_release release;
    result = context_decode(task, active_backend(), streams.data(), threads);
  }
  check(result);
}

void predict(const ContextNetwork& network, const Float32Array& latent, const Float32Array& params,
             Float32Array distributions, std::size_t threads) {
  require(latent.ndim() == 4 && params.ndim() == 4 && distributions.ndim() == 4 && latent.size() > 0 &&
              extent(latent, 1) == network.num_channels() && extent(params, 1) == network.num_params() &&
              extent(distributions, 1) == 2 * network.num_channels(),
          "latents must be [B, num_channels, H, W], params [B, num_params, H, W]");
  for (const py::ssize_t axis : {0, 2, 3})
    require(params.shape(axis) == latent.shape(axis) && distributions.shape(axis) == latent.shape(axis),
            "latents and params must have one batch and size");
  const ContextPlace place{
      network, extent(latent, 0), extent(latent, 2), extent(latent, 3), params.data(), ContextOrder::kRaster,
      nullptr};
  float* to = distributions.mutable_data();
  py::gil_scoped_release release;
  context_predict(place, *active_kernels().context, latent.data(), to, threads);
}

}  // namespace

void bind_context(py::module_& module) {
  py::class_<ContextNetwork, std::shared_ptr<ContextNetwork>>(module, "ContextNetwork")
      .def(py::init(&make_network), py::arg("weight"), py::arg("bias"), py::arg("layers"), py::arg("sums"))
      .def("predict", &predict, py::arg("latent"), py::arg("params"), py::arg("distributions"),
           py::arg("threads"))
      .def("encode", &encode, py::arg("latent"), py::arg("params"), py::arg("scale_table"),
           py::arg("scale_bound"), py::arg("table"), py::arg("wavefront"), py::arg("latent_hat"),
           py::arg("threads"))
      .def("decode", &decode, py::arg("data"), py::arg("params"), py::arg("scale_table"),
           py::arg("scale_bound"), py::arg("table"), py::arg("wavefront"), py::arg("latent_hat"),
           py::arg("threads"));
}

}  // namespace scalecodec
