/// The Python door of quantization.
#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <string>

#include "backend.hpp"
#include "module.hpp"
#include "quantize.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

using Float32Array = py::array_t<float, py::array::c_style>;

/// A float32 array that is as large as the symbols or indexes; null where there is none.
const float* floats(const std::optional<Float32Array>& array, const char* name, std::size_t size) {
  if (!array) return nullptr;
  if (static_cast<std::size_t>(array->size()) != size)
    throw py::value_error(std::string(name) + " must have " + std::to_string(size) + " elements, got " +
                          std::to_string(array->size()));
  return array->data();
}

IntegerType symbol_type(const py::array& symbols) {
  const IntegerType type = source(symbols, "symbols").type;
  if (type != IntegerType::kInt8 && type != IntegerType::kInt16 && type != IntegerType::kInt32)
    throw py::type_error("symbols must be int8, int16 or int32, got " +
                         py::str(symbols.dtype()).cast<std::string>());
  return type;
}

void check_indexes(const py::array& indexes, IntegerType type, py::ssize_t num_tables) {
  const auto dtype = [&] { return py::str(indexes.dtype()).cast<std::string>(); };  // slow: for errors only
  if (type != IntegerType::kUint8 && type != IntegerType::kUint16 && type != IntegerType::kInt32)
    throw py::type_error("indexes must be uint8, uint16 or int32, got " + dtype());
  const py::ssize_t most = type == IntegerType::kUint8    ? 256
                           : type == IntegerType::kUint16 ? 65536
                                                          : std::numeric_limits<std::int32_t>::max();
  if (num_tables < 1 || num_tables > most)
    throw py::value_error("scale_table must have 1 to " + std::to_string(most) + " entries for indexes of " +
                          dtype() + ", got " + std::to_string(num_tables));
}

[[noreturn]] void refuse_latent(const QuantizeTask& task, std::size_t where, const py::array& symbols) {
  const float mean = task.mean ? task.mean[where] : 0.0f;
  const float value = (task.latent[where] - mean) * task.gain;
  const std::string limit = "2**" + std::to_string(8 * symbols.itemsize() - 1);
  throw py::value_error("latents must be finite and round to " +
                        py::str(symbols.dtype()).cast<std::string>() + ", in [-" + limit + ", " + limit +
                        "), got " + py::str(py::float_(value)).cast<std::string>() + " (element " +
                        std::to_string(where) + ")");
}

/// Two halves, either of which may be left out: (latent, mean or None, symbols) and (scale, table, bound,
/// indexes).
using SymbolHalf = std::tuple<Float32Array, std::optional<Float32Array>, py::array>;
using IndexHalf = std::tuple<Float32Array, Float32Array, float, py::array>;

void quantize_arrays(std::optional<SymbolHalf> symbol_half, std::optional<IndexHalf> index_half, float gain,
                     std::size_t threads) {
  QuantizeTask task{};
  task.gain = gain;
  ScaleSearch search;
  Result result;
  if (symbol_half) {
    auto& [latent, mean, symbols] = *symbol_half;
    symbol_type(symbols);
    task.symbols = sink(symbols, "symbols");
    task.size = task.symbols.size;
    task.latent = floats(latent, "latent", task.size);
    task.mean = floats(mean, "mean", task.size);
  }
  if (index_half) {
    auto& [scale, table, bound, indexes] = *index_half;
    task.indexes = sink(indexes, "indexes");
    if (!symbol_half) task.size = task.indexes.size;
    check_indexes(indexes, task.indexes.type, table.size());
    task.scale = floats(scale, "scale", task.indexes.size);
    task.search = &search;
    if (task.indexes.size != task.size) throw py::value_error("symbols and indexes must have one size");
    check(prepare(table.data(), static_cast<std::size_t>(table.size()), bound, search));
  }
  {
    py::gil_scoped_release release;
    result = quantize(task, active_kernels().quantize, threads);
  }
  if (result.status == Status::kLatentRange) refuse_latent(task, result.where, std::get<2>(*symbol_half));
  check(result);
}

void dequantize_arrays(const py::array& symbols, const std::optional<Float32Array>& mean, float gain,
                       Float32Array latent, std::size_t threads) {
  const IntegerSource from{symbols.data(), symbol_type(symbols), static_cast<std::size_t>(symbols.size())};
  const float* means = floats(mean, "mean", from.size);
  float* to = latent.mutable_data();
  floats(latent, "latent", from.size);
  py::gil_scoped_release release;
  dequantize(from, means, gain, to, threads);
}

}  // namespace

void bind_quantize(py::module_& module) {
  module.def("quantize", &quantize_arrays, py::arg("symbol_half"), py::arg("index_half"), py::arg("gain"),
             py::arg("threads"));
  module.def("dequantize", &dequantize_arrays, py::arg("symbols"), py::arg("mean"), py::arg("gain"),
             py::arg("latent"), py::arg("threads"));
}

}  // namespace scalecodec
