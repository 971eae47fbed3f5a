/// The Python door of tables given as lists of lists or as arrays.
///
/// READ ME FIRST. CompressAI's loops pass the same lists of tables for every latent position. Whether they
/// are still the same is seen by comparing the addresses of their integers, which do not change, with those
/// held since the tables were read: held, so that no other integer can come to lie at such an address. Lists
/// that were changed in place are noticed, and nothing is converted.
#include <pybind11/numpy.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "module.hpp"
#include "module_lists.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

using Int32Array = py::array_t<std::int32_t, py::array::c_style>;

bool same(const Int32Array& array, const std::vector<std::int32_t>& values) {
  return static_cast<std::size_t>(array.size()) == values.size() &&
         std::equal(values.begin(), values.end(), array.data());
}

/// References to Python objects, given back in the end.
class Held {
 public:
  Held() = default;
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() { clear(); }

  void add(PyObject* const* objects, std::size_t count) {
    objects_.insert(objects_.end(), objects, objects + count);
    for (std::size_t i = 0; i < count; ++i) Py_INCREF(objects[i]);
  }
  void clear() {
    for (PyObject* object : objects_) Py_DECREF(object);
    objects_ = {};
  }
  PyObject* const* data() const { return objects_.data(); }
  std::size_t size() const { return objects_.size(); }

 private:
  std::vector<PyObject*> objects_;
};

/// The used entries of a set of tables, read but not yet looked at.
class TableRows {
 public:
  /// `cdfs` is a sequence of rows, or a C-contiguous integer array of them. `keep_objects`: so that
  /// `matches` can tell lists again; they are given up where an entry is not a plain, unchangeable int.
  TableRows(py::handle cdfs, const Int32Array& cdf_length, const Int32Array& offset, bool keep_objects)
      : cdf_length_(cdf_length.data(), cdf_length.data() + cdf_length.size()),
        offset_(offset.data(), offset.data() + offset.size()),
        keeps_objects_(keep_objects) {
    if (py::isinstance<py::array>(cdfs))
      read(py::reinterpret_borrow<py::array>(cdfs));
    else
      read(Items(cdfs, "cdfs"));
  }

  /// Whether the rows that `indexes` name, if they are in range, are those that were read: lists of the very
  /// objects, or an array of the same values. Runs no code of theirs. The other rows are not looked at: what
  /// a call does not use need not be fetched from memory for it.
  bool matches(py::handle cdfs, const Int32Array& cdf_length, const Int32Array& offset,
               const py::array& indexes) const {
    if (!same(cdf_length, cdf_length_) || !same(offset, offset_)) return false;
    if (py::isinstance<py::array>(cdfs)) {
      const auto array = py::reinterpret_borrow<py::array>(cdfs);
      const IntegerSource entries = source(array, "cdfs");
      const std::size_t width = static_cast<std::size_t>(array.shape(1));
      return static_cast<std::size_t>(array.shape(0)) == num_tables() &&
             all_used(indexes, [&](std::size_t i) { return has_values(i, entries, width); });
    }
    return is_list(cdfs) && keeps_objects_ &&
           static_cast<std::size_t>(PySequence_Fast_GET_SIZE(cdfs.ptr())) == num_tables() &&
           all_used(indexes,
                    [&](std::size_t i) { return has_objects(i, PySequence_Fast_ITEMS(cdfs.ptr())[i]); });
  }

  bool equals(const TableRows& other) const {
    return cdf_length_ == other.cdf_length_ && offset_ == other.offset_ && values_ == other.values_;
  }

  RowsView view() const {
    RowsView tables{{}, cdf_length_.data(), offset_.data()};
    tables.rows.reserve(num_tables());
    for (const std::size_t start : starts_) tables.rows.push_back(values_.data() + start);
    return tables;
  }

  /// Raise TableError unless every row is a table.
  void check_all() const {
    Result result;
    {
      py::gil_scoped_release release;
      result = check_rows(view());
    }
    check(result);
  }

  std::shared_ptr<CdfTable> prepare() const {
    auto table = std::make_shared<CdfTable>();
    Result result;
    {
      py::gil_scoped_release release;
      result = table->build(view());
    }
    check(result);
    return table;
  }

  std::size_t num_tables() const { return cdf_length_.size(); }

  /// Of these rows and of their tables; the integers held may be the caller's own and are counted all the
  /// same.
  std::size_t num_bytes() const {
    constexpr std::size_t kInt = 32;  // a Python int and its share of the allocator's overhead
    return values_.size() * (sizeof(std::int32_t) + sizeof(Interval) + sizeof(EncodeStep)) +
           objects_.size() * (sizeof(PyObject*) + kInt) + num_tables() * sizeof(TableRow);
  }

 private:
  bool has_objects(std::size_t i, PyObject* row) const {
    const std::size_t length = static_cast<std::size_t>(cdf_length_[i]);
    return is_list(row) && static_cast<std::size_t>(PySequence_Fast_GET_SIZE(row)) >= length &&
           !std::memcmp(PySequence_Fast_ITEMS(row), objects_.data() + starts_[i], length * sizeof(PyObject*));
  }

  bool has_values(std::size_t i, const IntegerSource& entries, std::size_t width) const {
    std::int32_t scratch[kBlock];
    const std::size_t length = static_cast<std::size_t>(cdf_length_[i]);
    if (length > width) return false;
    for (std::size_t first = 0; first < length; first += kBlock) {
      const std::size_t count = std::min(kBlock, length - first);
      std::size_t fitting;
      const std::int32_t* const block = entries.view(i * width + first, count, scratch, fitting);
      if (fitting != count || !std::equal(block, block + count, values_.data() + starts_[i] + first))
        return false;
    }
    return true;
  }

  /// Whether `is_same` holds for every row that is used; for every row where to see which are would cost
  /// more.
  template <class IsSame>
  bool all_used(const py::array& indexes, IsSame&& is_same) const {
    const IntegerSource used = source(indexes, "indexes");
    if (used.size > values_.size()) {
      for (std::size_t i = 0; i < num_tables(); ++i)
        if (!is_same(i)) return false;
      return true;
    }
    std::vector<bool> known(num_tables());
    std::int32_t block[kBlock];
    for (std::size_t first = 0; first < used.size; first += kBlock) {
      const std::size_t count = used.load(first, std::min(kBlock, used.size - first), block);
      for (std::size_t at = 0; at < count; ++at) {
        const std::size_t i = static_cast<std::size_t>(block[at]);
        if (i >= num_tables() || known[i]) continue;
        if (!is_same(i)) return false;
        known[i] = true;
      }
    }
    return true;
  }

  void read(const Items& rows) {
    check_num_rows(rows.size());
    reserve(rows);
    for (std::size_t i = 0; i < num_tables(); ++i) {
      if (i >= rows.size()) throw py::value_error("cdfs became shorter while being read");
      const py::object given = py::reinterpret_borrow<py::object>(rows.data()[i]);
      const Items row(given, "a row of cdfs");
      const std::size_t length = start_row(i, row.size());
      values_.resize(starts_[i] + length);
      const bool plain = row.read(length, values_.data() + starts_[i]);
      keeps_objects_ = keeps_objects_ && plain && is_list(given.ptr());
      if (keeps_objects_) objects_.add(row.data(), length);
    }
    if (!keeps_objects_) objects_.clear();
  }

  void read(const py::array& rows) {
    keeps_objects_ = false;
    const std::size_t width = static_cast<std::size_t>(rows.shape(1));
    check_num_rows(static_cast<std::size_t>(rows.shape(0)));
    const IntegerSource entries = source(rows, "cdfs");
    for (std::size_t i = 0; i < num_tables(); ++i) {
      const std::size_t length = start_row(i, width);
      values_.resize(starts_[i] + length);
      if (entries.load(i * width, length, values_.data() + starts_[i]) != length)
        throw py::value_error("cdfs must fit int32 (row " + std::to_string(i) + ")");
    }
  }

  void check_num_rows(std::size_t rows) const {
    if (rows == cdf_length_.size() && rows == offset_.size()) return;
    throw py::value_error("cdfs, cdfs_sizes and offsets must be equally many, got " + std::to_string(rows) +
                          ", " + std::to_string(cdf_length_.size()) + " and " +
                          std::to_string(offset_.size()));
  }

  /// A vector that grows would for a moment take three times the memory.
  void reserve(const Items& rows) {
    std::size_t entries = 0;
    for (std::size_t i = 0; i < num_tables(); ++i) {
      PyObject* const row = rows.data()[i];
      const std::size_t width = is_list(row) ? static_cast<std::size_t>(PySequence_Fast_GET_SIZE(row)) : 0;
      entries += std::min(width, static_cast<std::size_t>(std::max(cdf_length_[i], 0)));
    }
    values_.reserve(entries);
  }

  std::size_t start_row(std::size_t i, std::size_t width) {
    if (cdf_length_[i] < 2 || static_cast<std::size_t>(cdf_length_[i]) > width)
      check({Status::kTableLength, i});
    starts_.push_back(values_.size());
    return static_cast<std::size_t>(cdf_length_[i]);
  }

  std::vector<std::int32_t> cdf_length_, offset_;
  std::vector<std::int32_t> values_;  // rows one after the other
  std::vector<std::size_t> starts_;   // of each row
  Held objects_;                      // of `values_`
  bool keeps_objects_;
};

}  // namespace

RowsView rows_of(py::handle table_rows) {
  return table_rows.cast<const TableRows&>().view();
}

void bind_table_rows(py::module_& module) {
  py::class_<TableRows>(module, "TableRows")
      .def(py::init<py::handle, const Int32Array&, const Int32Array&, bool>(), py::arg("cdfs"),
           py::arg("cdf_length"), py::arg("offset"), py::arg("keep_objects"))
      .def("matches", &TableRows::matches, py::arg("cdfs"), py::arg("cdf_length"), py::arg("offset"),
           py::arg("indexes"))
      .def("equals", &TableRows::equals, py::arg("other"))
      .def("check", &TableRows::check_all)
      .def("prepare", &TableRows::prepare)
      .def_property_readonly("num_tables", &TableRows::num_tables)
      .def_property_readonly("num_bytes", &TableRows::num_bytes);
}

}  // namespace scalecodec
