/// The Python door of the rans64 stream.
#include <pybind11/stl.h>

#include <tuple>
#include <utility>
#include <vector>

#include "cdf.hpp"
#include "module.hpp"
#include "pool.hpp"
#include "rans64.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

RowsView used_rows(py::handle rows, std::size_t count) {
  RowsView tables = rows_of(rows);
  if (tables.rows.size() < count) throw py::value_error("there must be a row for every symbol");
  return tables;
}

/// Writes one stream from its end towards its start.
class StreamEncoder {
 public:
  /// What decodes before all that was given so far. After an error only destruction is left.
  void prepend(const py::array& symbols, const py::array& indexes, const CdfTable& table) {
    const IntegerSource values = source(symbols, "symbols"), selected = source(indexes, "indexes");
    if (values.size != selected.size) throw py::value_error("symbols and indexes must have one size");
    Result result;
    {
      py::gil_scoped_release release;
      result = encoder_.encode_reverse(values, selected, table);
    }
    check_coding(result, &symbols, indexes, table.num_tables());
  }

  /// The same with a row a symbol.
  void prepend_rows(const py::array& symbols, py::handle rows) {
    const IntegerSource values = source(symbols, "symbols");
    const RowsView tables = used_rows(rows, values.size);
    Result result;
    {
      py::gil_scoped_release release;
      result = encoder_.encode_reverse(values, tables);
    }
    check_coding(result, &symbols, symbols, tables.rows.size());
  }

  /// The stream; once.
  py::bytes finish() {
    check(encoder_.finish());
    return py::bytes(reinterpret_cast<const char*>(encoder_.bytes()), encoder_.num_bytes());
  }

 private:
  Rans64Encoder encoder_;
};

/// A decoder and the bytes it reads, kept alive.
class StreamDecoder {
 public:
  explicit StreamDecoder(const py::buffer& data) : view_(data) {
    check(decoder_.start(view_.data(), view_.size()));
  }

  void decode(const py::array& indexes, const CdfTable& table, py::array out) {
    const IntegerSource from = source(indexes, "indexes");
    const IntegerSink to = sink(out, "out");
    if (from.size != to.size) throw py::value_error("out and indexes must have one size");
    Result result;
    {
      py::gil_scoped_release release;
      result = decoder_.decode(from, table, to);
    }
    check_coding(result, nullptr, indexes, table.num_tables());
  }

  /// The same with a row a symbol.
  void decode_rows(py::handle rows, py::array out) {
    const IntegerSink to = sink(out, "out");
    const RowsView tables = used_rows(rows, to.size);
    Result result;
    {
      py::gil_scoped_release release;
      result = decoder_.decode(tables, to);
    }
    check(result);
  }

  void finish() const { check(decoder_.finish()); }

 private:
  ByteView view_;
  Rans64Decoder decoder_;
};

/// A stream for each of (symbols, indexes).
std::vector<py::bytes> rans64_encode_batch(const std::vector<EncodeItem>& items, const CdfTable& table,
                                           std::size_t threads) {
  struct Task {
    IntegerSource symbols, indexes;
    Rans64Encoder encoder;
    Result result;
  };
  std::vector<Task> tasks;
  for (const auto& [symbols, indexes] : items)
    tasks.push_back({source(symbols, "symbols"), source(indexes, "indexes"), {}, {}});
  {
    py::gil_scoped_release release;
    run_parallel(tasks.size(), threads, [&](std::size_t i) {
      Task& task = tasks[i];
      task.result = task.encoder.encode_reverse(task.symbols, task.indexes, table);
      if (task.result.ok()) task.result = task.encoder.finish();
    });
  }
  std::vector<py::bytes> streams;
  for (std::size_t i = 0; i < tasks.size(); ++i) {
    check_coding(tasks[i].result, &items[i].first, items[i].second, table.num_tables());
    const Rans64Encoder& encoder = tasks[i].encoder;
    streams.emplace_back(reinterpret_cast<const char*>(encoder.bytes()), encoder.num_bytes());
    tasks[i].encoder = {};
  }
  return streams;
}

/// Decode (data, indexes, out), each, to the end of its stream.
void rans64_decode_batch(const std::vector<DecodeItem>& items, const CdfTable& table, std::size_t threads) {
  struct Task {
    const std::uint8_t* bytes;
    std::size_t num_bytes;
    IntegerSource indexes;
    IntegerSink out;
    Result result;
  };
  std::vector<ByteView> views;
  std::vector<Task> tasks = decode_tasks<Task>(items, views);
  {
    py::gil_scoped_release release;
    run_parallel(tasks.size(), threads, [&](std::size_t i) {
      Task& task = tasks[i];
      Rans64Decoder decoder;
      task.result = decoder.start(task.bytes, task.num_bytes);
      if (task.result.ok()) task.result = decoder.decode(task.indexes, table, task.out);
      if (task.result.ok()) task.result = decoder.finish();
    });
  }
  for (std::size_t i = 0; i < tasks.size(); ++i)
    check_coding(tasks[i].result, nullptr, std::get<1>(items[i]), table.num_tables());
}

}  // namespace

void bind_rans64(py::module_& module) {
  py::class_<StreamEncoder>(module, "Rans64Encoder")
      .def(py::init<>())
      .def("prepend", &StreamEncoder::prepend, py::arg("symbols"), py::arg("indexes"), py::arg("table"))
      .def("prepend_rows", &StreamEncoder::prepend_rows, py::arg("symbols"), py::arg("rows"))
      .def("finish", &StreamEncoder::finish);
  py::class_<StreamDecoder>(module, "Rans64Decoder")
      .def(py::init<const py::buffer&>(), py::arg("data"))
      .def("decode", &StreamDecoder::decode, py::arg("indexes"), py::arg("table"), py::arg("out"))
      .def("decode_rows", &StreamDecoder::decode_rows, py::arg("rows"), py::arg("out"))
      .def("finish", &StreamDecoder::finish);
  module.def("rans64_encode_batch", &rans64_encode_batch, py::arg("items"), py::arg("table"),
             py::arg("threads"));
  module.def("rans64_decode_batch", &rans64_decode_batch, py::arg("items"), py::arg("table"),
             py::arg("threads"));
}

}  // namespace scalecodec
