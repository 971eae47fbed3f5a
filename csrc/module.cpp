/// The Python door of the core: array checks, GIL release, statuses to exceptions, tables, lanes. Other
/// subjects have files of their own.
#include "module.hpp"

#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "backend.hpp"
#include "cdf.hpp"
#include "crc32c.hpp"
#include "integers.hpp"
#include "lanes.hpp"

namespace py = pybind11;
using namespace scalecodec;

namespace {

constexpr int kContiguous = py::array::c_style;
using Int32Array = py::array_t<std::int32_t, kContiguous>;
using Float32Array = py::array_t<float, kContiguous>;

/// Raise the type that says whose fault it was: data, table, memory, or the caller.
[[noreturn]] void raise(const Result& result) {
  const auto errors = py::module_::import("scalecodec.errors");
  const std::string place = std::to_string(result.where);
  std::string text = message(result.status);
  py::object type = py::reinterpret_borrow<py::object>(PyExc_ValueError);
  switch (result.status) {
    case Status::kNoMemory:
      type = py::reinterpret_borrow<py::object>(PyExc_MemoryError);
      break;
    case Status::kTableEmpty:
    case Status::kTableLength:
    case Status::kTableStart:
    case Status::kTableEnd:
    case Status::kTableOrder:
    case Status::kTableTooWide:
    case Status::kTableOffset:
      type = errors.attr("TableError");
      text += " (table " + place + ")";
      break;
    case Status::kStreamLength:
      type = errors.attr("BitstreamError");
      text += ", got " + place + " bytes";
      break;
    case Status::kStreamLong:
      type = errors.attr("BitstreamError");
      text += ": " + place + " bytes are left";
      break;
    case Status::kStreamStart:
    case Status::kStreamEnd:
    case Status::kStreamHead:
      type = errors.attr("BitstreamError");
      break;
    case Status::kStreamSymbol:
    case Status::kStreamShort:
    case Status::kStreamEscape:
      type = errors.attr("BitstreamError");
      text += " (symbol " + place + ")";
      break;
    default:
      text += " (element " + place + ")";
  }
  py::set_error(type, text.c_str());
  throw py::error_already_set();
}

}  // namespace

void scalecodec::check(const Result& result) {
  if (!result.ok()) raise(result);
}

namespace {

std::string element_text(const py::array& array, std::size_t element) {
  return py::str(array.attr("reshape")(-1)[py::int_(element)]).cast<std::string>() + " (element " +
         std::to_string(element) + ")";
}

}  // namespace

void scalecodec::check_coding(const Result& result, const py::array* symbols, const py::array& indexes,
                              std::size_t num_tables) {
  if (result.status == Status::kSymbolRange)
    throw py::value_error(std::string(message(result.status)) + ", got " +
                          element_text(*symbols, result.where));
  if (result.status == Status::kIndexRange)
    throw py::value_error("indexes must lie in [0, " + std::to_string(num_tables) + "), got " +
                          element_text(indexes, result.where));
  check(result);
}

namespace {

IntegerType integer_type(const py::array& array, const char* name) {
  const py::dtype type = array.dtype();
  const bool is_signed = type.kind() == 'i';
  if (!is_signed && type.kind() != 'u')
    throw py::type_error(std::string(name) + " must have an integer dtype, got " +
                         py::str(type).cast<std::string>());
  switch (type.itemsize()) {
    case 1:
      return is_signed ? IntegerType::kInt8 : IntegerType::kUint8;
    case 2:
      return is_signed ? IntegerType::kInt16 : IntegerType::kUint16;
    case 4:
      return is_signed ? IntegerType::kInt32 : IntegerType::kUint32;
    default:
      return is_signed ? IntegerType::kInt64 : IntegerType::kUint64;
  }
}

}  // namespace

IntegerSource scalecodec::source(const py::array& array, const char* name) {
  return {array.data(), integer_type(array, name), static_cast<std::size_t>(array.size())};
}

IntegerSink scalecodec::sink(py::array& array, const char* name) {
  return {array.mutable_data(), integer_type(array, name), static_cast<std::size_t>(array.size())};
}

namespace {

std::shared_ptr<const CdfTable> make_table(const Int32Array& cdf, const Int32Array& cdf_length,
                                           const Int32Array& offset) {
  auto table = std::make_shared<CdfTable>();
  Result result;
  {
    py::gil_scoped_release release;
    result = table->build(cdf.data(), static_cast<std::size_t>(cdf.shape(0)),
                          static_cast<std::size_t>(cdf.shape(1)), cdf_length.data(), offset.data());
  }
  check(result);
  return table;
}

Int32Array quantized_cdf(const Float32Array& pmf, int precision) {
  Int32Array cdf(pmf.size() + 1);
  const Result result =
      pmf_to_quantized_cdf(pmf.data(), static_cast<std::size_t>(pmf.size()), precision, cdf.mutable_data());
  if (result.status == Status::kPmfValue)
    throw py::value_error(std::string(message(result.status)) + ": " +
                          std::to_string(pmf.data()[result.where]));
  if (!result.ok()) throw py::value_error(message(result.status));
  return cdf;
}

void check_num_tables(const CdfTable& table) {
  if (table.num_tables() > kMaxLaneTables)
    throw py::value_error("the lane stream takes at most 65536 tables, got " +
                          std::to_string(table.num_tables()));
}

/// Streams of (symbols, indexes), one each.
std::vector<py::bytes> rans_encode(const std::vector<EncodeItem>& items, const CdfTable& table,
                                   std::size_t threads) {
  check_num_tables(table);
  std::vector<LaneEncodeTask> tasks;
  for (const auto& [symbols, indexes] : items)
    tasks.push_back({source(symbols, "symbols"), source(indexes, "indexes"), {}, {}});
  {
    py::gil_scoped_release release;
    lanes_encode(tasks.data(), tasks.size(), table.lanes(), *active_kernels().lanes, threads);
  }
  std::vector<py::bytes> streams;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    check_coding(tasks[i].result, &items[i].first, items[i].second, table.num_tables());
    streams.emplace_back(reinterpret_cast<const char*>(tasks[i].out.data()), tasks[i].out.size());
  }
  return streams;
}

/// Decode (data, indexes, out), each.
void rans_decode(const std::vector<DecodeItem>& items, const CdfTable& table, std::size_t threads) {
  check_num_tables(table);
  std::vector<ByteView> views;
  std::vector<LaneDecodeTask> tasks = decode_tasks<LaneDecodeTask>(items, views);
  {
    py::gil_scoped_release release;
    lanes_decode(tasks.data(), tasks.size(), table.lanes(), *active_kernels().lanes, threads);
  }
  for (std::size_t i = 0; i < tasks.size(); ++i)
    check_coding(tasks[i].result, nullptr, std::get<1>(items[i]), table.num_tables());
}

std::uint32_t checksum(const py::buffer& data, std::uint32_t value) {
  const ByteView view(data);
  py::gil_scoped_release release;
  return crc32c(value, view.data(), view.size());
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of scalecodec; use it through scalecodec's Python doors.";

  py::class_<CdfTable, std::shared_ptr<CdfTable>>(module, "Table")
      .def(py::init([](const Int32Array& cdf, const Int32Array& cdf_length, const Int32Array& offset) {
        return std::const_pointer_cast<CdfTable>(make_table(cdf, cdf_length, offset));
      }))
      .def_property_readonly("num_tables", &CdfTable::num_tables);
  module.def("pmf_to_quantized_cdf", &quantized_cdf, py::arg("pmf"), py::arg("precision"));

  bind_rans64(module);
  module.def("rans_encode", &rans_encode, py::arg("items"), py::arg("table"), py::arg("threads"));
  module.def("rans_decode", &rans_decode, py::arg("items"), py::arg("table"), py::arg("threads"));

  bind_lists(module);
  bind_table_rows(module);
  bind_quantize(module);
  bind_offset(module);
  bind_integer(module);
  bind_context(module);
  bind_feature(module);

  module.def("crc32c", &checksum, py::arg("data"), py::arg("value") = 0);

  module.def("available_backends", &available_backends);
  module.def("active_backend", [] { return std::string(active_kernels().name); });
  module.def("force_backend", &force_backend, py::arg("name"));
}
