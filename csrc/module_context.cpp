/// The Python door of context networks.
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "context.hpp"
#include "module.hpp"
#include "module_sums.hpp"
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

/// Layers of an offset network: weight [num_outputs, num_inputs], bias, and sums by kinds of channels, or
/// none.
using OffsetLayerArrays = std::tuple<Float32Array, Float32Array, std::vector<std::vector<SumArrays>>>;

std::shared_ptr<OffsetNetwork> make_offsets(const std::vector<OffsetLayerArrays>& arrays,
                                            const Int32Array& kinds) {
  require(kinds.ndim() == 1 && !arrays.empty(), "there must be layers, and a kind for each channel");
  std::vector<OffsetNetwork::Layer> layers;
  std::size_t num_kinds = 1;
  for (const auto& [weight, bias, sums] : arrays) {
    require(weight.ndim() == 2 && weight.size() > 0 && bias.ndim() == 1 && bias.shape(0) == weight.shape(0),
            "a layer must have weight [num_outputs, num_inputs] and bias [num_outputs]");
    OffsetNetwork::Layer layer{extent(weight, 1), extent(weight, 0), {}, {}, {}};
    require(layer.num_inputs == (layers.empty() ? 2 : layers.back().num_outputs),
            "the first layer must take two inputs, each other one what the one before it gives");
    layer.weight.assign(weight.data(), weight.data() + weight.size());
    layer.bias.assign(bias.data(), bias.data() + bias.size());
    for (const std::vector<SumArrays>& all : sums)
      layer.sums.push_back(make_sums(all, layer.num_inputs, layer.num_outputs));
    if (layer.sums.empty()) {
      std::vector<std::uint32_t> outputs(layer.num_outputs);
      for (std::size_t o = 0; o < outputs.size(); ++o) outputs[o] = static_cast<std::uint32_t>(o);
      layer.sums.push_back({{outputs, chained_order({layer.num_inputs}, layer.num_inputs)}});
    }
    require(layers.empty() || layer.sums.size() == num_kinds, "every layer must have sums of as many kinds");
    num_kinds = layer.sums.size();
    layers.push_back(std::move(layer));
  }
  require(layers.back().num_outputs == 1, "the last layer must give one output");
  std::vector<std::uint32_t> of_channels;
  for (py::ssize_t c = 0; c < kinds.size(); ++c) {
    require(kinds.at(c) >= 0 && static_cast<std::size_t>(kinds.at(c)) < num_kinds,
            "kinds must be below the number of kinds");
    of_channels.push_back(static_cast<std::uint32_t>(kinds.at(c)));
  }
  return std::make_shared<OffsetNetwork>(std::move(layers), std::move(of_channels));
}

Float32Array offsets_of(const OffsetNetwork& network, const Float32Array& scales, float gain) {
  require(scales.ndim() == 1 && extent(scales, 0) == network.num_channels(), "scales must be [num_channels]");
  Float32Array offsets(scales.size());
  std::vector<float> scratch(network.scratch());
  for (py::ssize_t c = 0; c < scales.size(); ++c)
    offsets.mutable_at(c) = network.offset(scales.at(c), gain, static_cast<std::size_t>(c), scratch.data());
  return offsets;
}

/// Gain, what is added to the context's outputs, and offsets.
using RateArrays = std::tuple<float, std::optional<Float32Array>, std::shared_ptr<OffsetNetwork>>;

ContextRate make_rate(const RateArrays& arrays, const ContextNetwork& network) {
  const auto& [gain, shift, offsets] = arrays;
  require(gain > 0.0f && gain <= std::numeric_limits<float>::max(), "gain must be positive and finite");
  require(!shift || (shift->ndim() == 1 && extent(*shift, 0) == network.context().places.size()),
          "shift must be [num_context]");
  require(!offsets || offsets->num_channels() == network.num_channels(),
          "offsets must be for num_channels channels");
  return {gain, shift ? shift->data() : nullptr, offsets.get()};
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
                      bool wavefront, const RateArrays& rate, Float32Array& latent_hat) {
  require(latent_hat.ndim() == 4 && extent(latent_hat, 1) == network.num_channels() && params.ndim() == 4 &&
              extent(params, 1) == network.num_params() && latent_hat.size() > 0,
          "latents must be [B, num_channels, H, W] and params [B, num_params, H, W], none of them empty");
  for (const py::ssize_t axis : {0, 2, 3})
    require(params.shape(axis) == latent_hat.shape(axis), "latents and params must have one batch and size");
  return {{network, extent(latent_hat, 0), extent(latent_hat, 2), extent(latent_hat, 3), params.data(),
           wavefront ? ContextOrder::kWavefront : ContextOrder::kRaster, latent_hat.mutable_data(),
           make_rate(rate, network)},
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
                              const CdfTable& table, bool wavefront, const RateArrays& rate,
                              Float32Array latent_hat, std::size_t threads) {
  const Entropy entropy(scale_table, bound, table);
  const ContextTask task = make_task(network, params, entropy, wavefront, rate, latent_hat);
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
            bool wavefront, const RateArrays& rate, Float32Array latent_hat, std::size_t threads) {
  const Entropy entropy(scale_table, bound, table);
  const ContextTask task = make_task(network, params, entropy, wavefront, rate, latent_hat);
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
             const RateArrays& rate, Float32Array distributions, std::size_t threads) {
  require(latent.ndim() == 4 && params.ndim() == 4 && distributions.ndim() == 4 && latent.size() > 0 &&
              extent(latent, 1) == network.num_channels() && extent(params, 1) == network.num_params() &&
              extent(distributions, 1) == 2 * network.num_channels(),
          "latents must be [B, num_channels, H, W], params [B, num_params, H, W]");
  for (const py::ssize_t axis : {0, 2, 3})
    require(params.shape(axis) == latent.shape(axis) && distributions.shape(axis) == latent.shape(axis),
            "latents and params must have one batch and size");
  const ContextPlace place{network,       extent(latent, 0),     extent(latent, 2), extent(latent, 3),
                           params.data(), ContextOrder::kRaster, nullptr,           make_rate(rate, network)};
  float* to = distributions.mutable_data();
  py::gil_scoped_release release;
  context_predict(place, *active_kernels().context, latent.data(), to, threads);
}

}  // namespace

void bind_context(py::module_& module) {
  py::class_<OffsetNetwork, std::shared_ptr<OffsetNetwork>>(module, "OffsetNetwork")
      .def(py::init(&make_offsets), py::arg("layers"), py::arg("kinds"))
      .def("offsets", &offsets_of, py::arg("scales"), py::arg("gain"));
  py::class_<ContextNetwork, std::shared_ptr<ContextNetwork>>(module, "ContextNetwork")
      .def(py::init(&make_network), py::arg("weight"), py::arg("bias"), py::arg("layers"), py::arg("sums"))
      .def("predict", &predict, py::arg("latent"), py::arg("params"), py::arg("rate"),
           py::arg("distributions"), py::arg("threads"))
      .def("encode", &encode, py::arg("latent"), py::arg("params"), py::arg("scale_table"),
           py::arg("scale_bound"), py::arg("table"), py::arg("wavefront"), py::arg("rate"),
           py::arg("latent_hat"), py::arg("threads"))
      .def("decode", &decode, py::arg("data"), py::arg("params"), py::arg("scale_table"),
           py::arg("scale_bound"), py::arg("table"), py::arg("wavefront"), py::arg("rate"),
           py::arg("latent_hat"), py::arg("threads"));
}

}  // namespace scalecodec
