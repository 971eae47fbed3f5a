/// What the files of the Python door share; only module*.cpp see pybind11.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "cdf.hpp"
#include "integers.hpp"
#include "status.hpp"

namespace scalecodec {

/// Raise what a failure calls for: BitstreamError, TableError, MemoryError, or ValueError.
void check(const Result& result);

/// Requires: C-contiguous, aligned, native byte order (scalecodec/arrays.py sees to it).
IntegerSource source(const pybind11::array& array, const char* name);
IntegerSink sink(pybind11::array& array, const char* name);

/// The tables that a `_core.TableRows` holds; valid while it lives.
RowsView rows_of(pybind11::handle table_rows);

/// The bindings of one subject each.
void bind_lists(pybind11::module_& module);
void bind_table_rows(pybind11::module_& module);
void bind_quantize(pybind11::module_& module);

}  // namespace scalecodec
