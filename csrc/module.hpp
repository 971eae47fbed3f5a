/// What the files of the Python door share; only module*.cpp see pybind11.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <tuple>
#include <utility>
#include <vector>

#include "cdf.hpp"
#include "integers.hpp"
#include "status.hpp"

namespace scalecodec {

/// ValueError unless `good`.
inline void require(bool good, const char* what) {
  if (!good) throw pybind11::value_error(what);
}

/// Raise what a failure calls for: BitstreamError, TableError, MemoryError, or ValueError.
void check(const Result& result);

/// As `check`, for a failure that may lie in the caller's own arrays: names the value. `symbols` is null for
/// a decoder.
void check_coding(const Result& result, const pybind11::array* symbols, const pybind11::array& indexes,
                  std::size_t num_tables);

/// Requires: C-contiguous, aligned, native byte order (scalecodec/arrays.py sees to it).
IntegerSource source(const pybind11::array& array, const char* name);
IntegerSink sink(pybind11::array& array, const char* name);

/// The raw bytes of any C-contiguous buffer, without a copy.
class ByteView {
 public:
  explicit ByteView(const pybind11::buffer& buffer) : info_(buffer.request()) {
    pybind11::ssize_t expected = info_.itemsize;
    for (std::size_t i = info_.shape.size(); i-- > 0; expected *= info_.shape[i])
      if (info_.shape[i] > 1 && info_.strides[i] != expected)
        throw pybind11::value_error("the buffer must be C-contiguous");
  }
  const std::uint8_t* data() const { return static_cast<const std::uint8_t*>(info_.ptr); }
  std::size_t size() const { return static_cast<std::size_t>(info_.size * info_.itemsize); }

 private:
  pybind11::buffer_info info_;
};

/// Items of a batch: (symbols, indexes), and (data, indexes, out).
using EncodeItem = std::pair<pybind11::array, pybind11::array>;
using DecodeItem = std::tuple<pybind11::buffer, pybind11::array, pybind11::array>;

/// One task an item, of {bytes, num_bytes, indexes, out, result}; `views` keeps the bytes.
template <class Task>
std::vector<Task> decode_tasks(const std::vector<DecodeItem>& items, std::vector<ByteView>& views) {
  std::vector<Task> tasks;
  for (auto [data, indexes, out] : items) {
    views.emplace_back(data);
    const IntegerSource from = source(indexes, "indexes");
    const IntegerSink to = sink(out, "out");
    if (from.size != to.size) throw pybind11::value_error("out and indexes must have one size");
    tasks.push_back({views.back().data(), views.back().size(), from, to, {}});
  }
  return tasks;
}

/// The tables that a `_core.TableRows` holds; valid while it lives.
RowsView rows_of(pybind11::handle table_rows);

/// The bindings of one subject each.
void bind_lists(pybind11::module_& module);
void bind_table_rows(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);
void bind_offset(pybind11::module_& module);
void bind_integer(pybind11::module_& module);
void bind_rans64(pybind11::module_& module);
void bind_context(pybind11::module_& module);
void bind_feature(pybind11::module_& module);

}  // namespace scalecodec
