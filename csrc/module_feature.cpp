/// The Python door of the feature codec: quantization, interlaced contexts, counts.
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "backend.hpp"
#include "feature_estimate.hpp"
#include "feature_map.hpp"
#include "feature_quant.hpp"
#include "module.hpp"
#include "quantize.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

using Float32Array = py::array_t<float, py::array::c_style>;
using ByteArray = py::array_t<std::uint8_t, py::array::c_style>;
using CountArray = py::array_t<std::int64_t, py::array::c_style>;

std::size_t size_of(const py::array& array) {
  return static_cast<std::size_t>(array.size());
}

/// Float32 as they are; halves as the uint16 of their bits.
FloatSource float_source(const py::array& values, bool is_bfloat16) {
  require(values.flags() & py::array::c_style, "values must be C-contiguous");
  if (py::isinstance<py::array_t<float>>(values))
    return {values.data(), FloatType::kFloat32, size_of(values)};
  if (!py::isinstance<py::array_t<std::uint16_t>>(values))
    throw py::type_error("values must be float32, or uint16 of halves, got " +
                         py::str(values.dtype()).cast<std::string>());
  return {values.data(), is_bfloat16 ? FloatType::kBfloat16 : FloatType::kFloat16, size_of(values)};
}

/// The place of the first value that is not finite; None: all are.
std::optional<std::size_t> quantize_values(const py::array& values, bool is_bfloat16,
                                           const Float32Array& thresholds, ByteArray symbols,
                                           std::size_t threads) {
  const FloatSource from = float_source(values, is_bfloat16);
  require(size_of(symbols) == from.size, "values and symbols must have one size");
  require(thresholds.size() < 256, "there must be at most 255 thresholds");
  // The table of a search ends with an entry that no decision looks at.
  std::vector<float> table(thresholds.data(), thresholds.data() + thresholds.size());
  table.push_back(std::numeric_limits<float>::infinity());
  ScaleSearch search;
  check(prepare(table.data(), table.size(), -std::numeric_limits<float>::infinity(), search));
  std::uint8_t* to = symbols.mutable_data();
  Result result;
  {
    py::gil_scoped_release release;
    result = quantize_features(from, search, *active_kernels().quantize.indexes, to, threads);
  }
  if (result.status == Status::kNotFinite) return result.where;
  return std::nullopt;
}

void reconstruct_values(const ByteArray& symbols, const py::array& levels, py::array values,
                        std::size_t threads) {
  require(values.flags() & py::array::c_style, "values must be C-contiguous");
  require(values.itemsize() == levels.itemsize() && (values.itemsize() == 2 || values.itemsize() == 4),
          "levels and values must have elements of 2 or 4 bytes");
  require(size_of(values) == size_of(symbols), "values and symbols must have one size");
  require(levels.size() >= 1 && levels.size() <= 256, "there must be 1 to 256 levels");
  const auto element_bytes = static_cast<std::size_t>(levels.itemsize());
  const std::size_t num_levels = size_of(levels), size = size_of(symbols);
  const std::uint8_t* from = symbols.data();
  const void* by_symbol = levels.data();
  void* to = values.mutable_data();
  Result result;
  {
    py::gil_scoped_release release;
    result = reconstruct_features(from, size, by_symbol, num_levels, element_bytes, to, threads);
  }
  check(result);
}

void count_into(const ByteArray& symbols, const std::optional<ByteArray>& indexes, CountArray counts) {
  require(counts.ndim() == 2, "counts must be [tables, levels]");
  const auto tables = static_cast<std::size_t>(counts.shape(0)),
             levels = static_cast<std::size_t>(counts.shape(1));
  const auto below = [](const ByteArray& bytes, std::size_t limit) {
    const std::uint8_t* data = bytes.data();
    const std::size_t size = size_of(bytes);
    std::uint8_t largest = 0;
    for (std::size_t i = 0; i < size; ++i) largest = std::max(largest, data[i]);
    return size == 0 || largest < limit;
  };
  require(!indexes || size_of(*indexes) == size_of(symbols), "symbols and indexes must have one size");
  require(below(symbols, levels) && (indexes ? below(*indexes, tables) : tables > 0),
          "a symbol or an index is beyond the counts");
  std::int64_t* to = counts.mutable_data();
  const std::uint8_t *symbol = symbols.data(), *index = indexes ? indexes->data() : nullptr;
  const std::size_t size = size_of(symbols);
  py::gil_scoped_release release;
  count_symbols(symbol, index, size, tables, levels, to);
}

FeatureMap map_of(const ByteArray& symbols, const ByteArray& classes, std::size_t most_classes) {
  require(symbols.ndim() == 3 && classes.ndim() == 1 && classes.shape(0) == symbols.shape(0),
          "symbols must be [planes, height, width], and classes [planes]");
  for (py::ssize_t p = 0; p < classes.size(); ++p)
    require(classes.data()[p] < most_classes, "a class is too large");
  const auto side = [&](int axis) { return static_cast<std::size_t>(symbols.shape(axis)); };
  return {side(0), side(1), side(2), classes.data()};
}

void check_pass(int pass) {
  require(pass >= 0 && pass < kMapPasses, "there is no such pass");
}

void read_map(const ByteArray& symbols, const ByteArray& classes, int pass, ByteArray indexes,
              std::optional<ByteArray> taken, std::size_t threads) {
  check_pass(pass);
  const FeatureMap map = map_of(symbols, classes, 256 / kMapContexts);
  const std::size_t size = map.planes * pass_size(map.height, map.width, pass);
  require(size_of(indexes) == size && (!taken || size_of(*taken) == size), "the pass has another size");
  std::uint8_t* index = indexes.mutable_data();
  std::uint8_t* symbol = taken ? taken->mutable_data() : nullptr;
  const std::uint8_t* from = symbols.data();
  py::gil_scoped_release release;
  read_pass(map, from, pass, index, symbol, threads);
}

void write_map(ByteArray symbols, const ByteArray& classes, int pass, const ByteArray& taken,
               std::size_t threads) {
  check_pass(pass);
  const FeatureMap map = map_of(symbols, classes, 256 / kMapContexts);
  require(size_of(taken) == map.planes * pass_size(map.height, map.width, pass), "the pass has another size");
  std::uint8_t* to = symbols.mutable_data();
  const std::uint8_t* from = taken.data();
  py::gil_scoped_release release;
  write_pass(map, from, pass, to, threads);
}

void surroundings(const ByteArray& symbols, const ByteArray& classes, ByteArray indexes,
                  std::size_t threads) {
  const FeatureMap map = map_of(symbols, classes, 256 / kEstimateBins);
  require(size_of(indexes) == size_of(symbols), "symbols and indexes must have one size");
  std::uint8_t* to = indexes.mutable_data();
  const std::uint8_t* from = symbols.data();
  py::gil_scoped_release release;
  read_surroundings(map, from, to, threads);
}

void estimate_values(const ByteArray& symbols, const ByteArray& classes, const py::array& table,
                     py::array values, std::size_t threads) {
  require((values.flags() & py::array::c_style) && (table.flags() & py::array::c_style),
          "arrays must be C-contiguous");
  require(values.itemsize() == table.itemsize() && (values.itemsize() == 2 || values.itemsize() == 4),
          "table and values must have elements of 2 or 4 bytes");
  require(size_of(values) == size_of(symbols), "values and symbols must have one size");
  require(table.ndim() == 2 && table.shape(0) % static_cast<py::ssize_t>(kEstimateBins) == 0 &&
              table.shape(1) <= 256,
          "the table must be [classes * bins, levels]");
  const FeatureMap map = map_of(symbols, classes, static_cast<std::size_t>(table.shape(0)) / kEstimateBins);
  const auto element_bytes = static_cast<std::size_t>(table.itemsize());
  const auto num_levels = static_cast<std::size_t>(table.shape(1));
  const std::uint8_t* from = symbols.data();
  const void* by_index = table.data();
  void* to = values.mutable_data();
  Result result;
  {
    py::gil_scoped_release release;
    result = estimate_features(map, from, by_index, num_levels, element_bytes, to, threads);
  }
  check(result);
}

}  // namespace

void bind_feature(py::module_& module) {
  module.attr("MAP_PASSES") = kMapPasses;
  module.attr("MAP_CONTEXTS") = kMapContexts;
  module.def("feature_quantize", &quantize_values, py::arg("values"), py::arg("is_bfloat16"),
             py::arg("thresholds"), py::arg("symbols").noconvert(), py::arg("threads"));
  module.def("feature_reconstruct", &reconstruct_values, py::arg("symbols"), py::arg("levels"),
             py::arg("values"), py::arg("threads"));
  module.def("count_symbols", &count_into, py::arg("symbols"), py::arg("indexes"),
             py::arg("counts").noconvert());
  module.attr("ESTIMATE_BINS") = kEstimateBins;
  module.def("feature_surroundings", &surroundings, py::arg("symbols"), py::arg("classes"),
             py::arg("indexes").noconvert(), py::arg("threads"));
  module.def("feature_estimate", &estimate_values, py::arg("symbols"), py::arg("classes"), py::arg("table"),
             py::arg("values"), py::arg("threads"));
  module.def("map_pass_size", &pass_size, py::arg("height"), py::arg("width"), py::arg("index"));
  module.def("map_read_pass", &read_map, py::arg("symbols").noconvert(), py::arg("classes"), py::arg("index"),
             py::arg("indexes").noconvert(), py::arg("taken"), py::arg("threads"));
  module.def("map_write_pass", &write_map, py::arg("symbols").noconvert(), py::arg("classes"),
             py::arg("index"), py::arg("taken"), py::arg("threads"));
}

}  // namespace scalecodec
