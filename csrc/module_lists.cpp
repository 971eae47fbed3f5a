/// The Python door of lists: their integers as arrays, and tables given as lists of lists.
///
/// READ ME FIRST. CompressAI's loops pass the same lists of tables for every latent position. Whether they
/// are still the same is seen by comparing the addresses of their integers, which do not change, with those
/// held since the tables were read: held, so that no other integer can come to lie at such an address. Lists
/// that were changed in place are noticed, and nothing is converted.
#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cdf.hpp"
#include "module.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

using Int32Array = py::array_t<std::int32_t, py::array::c_style>;

std::string type_name(py::handle object) {
  return py::str(py::type::handle_of(object).attr("__name__")).cast<std::string>();
}

/// Of one digit, sign and all without a branch, which the signs of latents would make the processor
/// mispredict; false where it has more digits. Twice as fast as PyLong_AsLong.
inline bool is_short(PyObject* integer, std::int32_t& value) {
#if defined(PYPY_VERSION)
  return false;
#elif PY_VERSION_HEX >= 0x030C0000
  const PyLongObject* const number = reinterpret_cast<PyLongObject*>(integer);
  if (!PyUnstable_Long_IsCompact(number)) return false;
  value = static_cast<std::int32_t>(PyUnstable_Long_CompactValue(number));
  return true;
#else
  const Py_ssize_t digits = Py_SIZE(integer);
  value = static_cast<std::int32_t>(digits) *
          static_cast<std::int32_t>(reinterpret_cast<PyLongObject*>(integer)->ob_digit[0]);
  return static_cast<std::size_t>(digits + 1) <= 2;
#endif
}

/// Any integer, and what stands for one by `__index__`.
std::int32_t int32_of(py::handle item, const char* name, std::size_t i) {
  using Limits = std::numeric_limits<std::int32_t>;
  const std::string place = std::string(name) + " (element " + std::to_string(i) + ")";
  const py::object held = py::reinterpret_borrow<py::object>(item);
  if (!PyIndex_Check(item.ptr())) throw py::type_error(place + " must be an integer, got " + type_name(item));
  const py::object index = py::reinterpret_steal<py::object>(PyNumber_Index(item.ptr()));
  if (!index) throw py::error_already_set();
  int overflow;
  const long value = PyLong_AsLongAndOverflow(index.ptr(), &overflow);
  if (overflow || value < Limits::min() || value > Limits::max())
    throw py::value_error(place + " must fit int32, got " + py::str(index).cast<std::string>());
  return static_cast<std::int32_t>(value);
}

bool is_list(PyObject* object) {
  return PyList_CheckExact(object) || PyTuple_CheckExact(object);
}

/// The items of a list or tuple where they lie, or those of a list made from another sequence.
class Items {
 public:
  Items(py::handle sequence, const char* name) : name_(name) {
    PyObject* const object = sequence.ptr();
    if (!PySequence_Check(object) || PyUnicode_Check(object) || PyBytes_Check(object))
      throw py::type_error(std::string(name) + " must be a sequence of integers, an array or a tensor, got " +
                           type_name(sequence));
    list_ = py::reinterpret_steal<py::object>(is_list(object) ? sequence.inc_ref().ptr()
                                                              : PySequence_List(object));
    if (!list_) throw py::error_already_set();
  }

  std::size_t size() const { return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(list_.ptr())); }
  PyObject* const* data() const { return PySequence_Fast_ITEMS(list_.ptr()); }

  /// Read the first `count` items. True where all are plain ints, so that no code of theirs ran meanwhile.
  bool read(std::size_t count, std::int32_t* to) const {
    bool plain = true;
    for (std::size_t i = 0; i < count; ++i) {
      PyObject* const* const items = data();
      const std::size_t end = std::min(count, size());
      while (i < end && PyLong_CheckExact(items[i]) && is_short(items[i], to[i])) ++i;
      if (i == count) break;
      // An item's own code may have made the list shorter.
      if (i >= size()) throw py::value_error(std::string(name_) + " became shorter while being read");
      plain = plain && PyLong_CheckExact(items[i]);
      to[i] = int32_of(items[i], name_, i);
    }
    return plain;
  }

 private:
  const char* name_;
  py::object list_;
};

Int32Array int32_array(py::handle sequence, const char* name) {
  const Items items(sequence, name);
  Int32Array array(static_cast<py::ssize_t>(items.size()));
  items.read(items.size(), array.mutable_data());
  return array;
}

/// Integers of usual size, made once for a list: most are not among those that Python keeps.
class SmallInts {
 public:
  ~SmallInts() {
    for (PyObject* object : objects_) Py_XDECREF(object);
  }

  /// A new reference, or null with Python's error set.
  PyObject* get(std::int32_t value) {
    const std::uint32_t at = static_cast<std::uint32_t>(value) + kReach;
    if (at >= 2 * kReach) return PyLong_FromLong(value);
    if (!objects_[at]) objects_[at] = PyLong_FromLong(value);
    Py_XINCREF(objects_[at]);
    return objects_[at];
  }

 private:
  static constexpr std::uint32_t kReach = 256;
  PyObject* objects_[2 * kReach] = {};
};

py::list int_list(const Int32Array& array) {
  py::list list(array.size());
  const std::int32_t* const from = array.data();
  SmallInts ints;
  for (py::ssize_t i = 0; i < array.size(); ++i) {
    PyObject* const item = ints.get(from[i]);
    if (!item) throw py::error_already_set();
    PyList_SET_ITEM(list.ptr(), i, item);
  }
  return list;
}

std::size_t size_of(const Int32Array& array) {
  return static_cast<std::size_t>(array.size());
}

bool same(const Int32Array& array, const std::vector<std::int32_t>& values) {
  return size_of(array) == values.size() && std::equal(values.begin(), values.end(), array.data());
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
  /// `is_made_of` can tell lists again; they are given up where an entry is not a plain, unchangeable int.
  TableRows(py::handle cdfs, const Int32Array& cdf_length, const Int32Array& offset, bool keep_objects)
      : cdf_length_(cdf_length.data(), cdf_length.data() + cdf_length.size()),
        offset_(offset.data(), offset.data() + offset.size()),
        keeps_objects_(keep_objects) {
    if (py::isinstance<py::array>(cdfs))
      read(py::reinterpret_borrow<py::array>(cdfs));
    else
      read(Items(cdfs, "cdfs"));
  }

  /// Whether these are the very objects that were read. Runs no code of theirs.
  bool is_made_of(py::handle cdfs, const Int32Array& cdf_length, const Int32Array& offset) const {
    if (!keeps_objects_ || !is_list(cdfs.ptr()) || !same(cdf_length, cdf_length_) || !same(offset, offset_))
      return false;
    if (static_cast<std::size_t>(PySequence_Fast_GET_SIZE(cdfs.ptr())) != num_tables()) return false;
    for (std::size_t i = 0; i < num_tables(); ++i) {
      PyObject* const row = PySequence_Fast_ITEMS(cdfs.ptr())[i];
      const std::size_t length = starts_[i + 1] - starts_[i];
      if (!is_list(row) || static_cast<std::size_t>(PySequence_Fast_GET_SIZE(row)) < length ||
          std::memcmp(PySequence_Fast_ITEMS(row), objects_.data() + starts_[i], length * sizeof(PyObject*)))
        return false;
    }
    return true;
  }

  bool equals(const TableRows& other) const {
    return cdf_length_ == other.cdf_length_ && offset_ == other.offset_ && values_ == other.values_;
  }

  /// Rows [first, last) as tables.
  std::shared_ptr<CdfTable> prepare(std::size_t first, std::size_t last) const {
    if (first > last || last > num_tables()) throw py::index_error("no such rows");
    auto table = std::make_shared<CdfTable>();
    Result result;
    {
      py::gil_scoped_release release;
      std::vector<const std::int32_t*> rows;
      for (std::size_t i = first; i < last; ++i) rows.push_back(values_.data() + starts_[i]);
      result = table->build(rows, cdf_length_.data() + first, offset_.data() + first);
    }
    result.where += first;
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
  void read(const Items& rows) {
    check_num_rows(rows.size());
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
    starts_.push_back(values_.size());
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
    starts_.push_back(values_.size());
  }

  void check_num_rows(std::size_t rows) const {
    if (rows == cdf_length_.size() && rows == offset_.size()) return;
    throw py::value_error("cdfs, cdfs_sizes and offsets must be equally many, got " + std::to_string(rows) +
                          ", " + std::to_string(cdf_length_.size()) + " and " +
                          std::to_string(offset_.size()));
  }

  std::size_t start_row(std::size_t i, std::size_t width) {
    if (cdf_length_[i] < 2 || static_cast<std::size_t>(cdf_length_[i]) > width)
      check({Status::kTableLength, i});
    starts_.push_back(values_.size());
    return static_cast<std::size_t>(cdf_length_[i]);
  }

  std::vector<std::int32_t> cdf_length_, offset_;
  std::vector<std::int32_t> values_;  // rows one after the other,
  std::vector<std::size_t> starts_;   // where each begins, and where the last one ends
  Held objects_;                      // of `values_`
  bool keeps_objects_;
};

}  // namespace

void bind_lists(py::module_& module) {
  module.def("int32_array", &int32_array, py::arg("sequence"), py::arg("name"));
  module.def("int_list", &int_list, py::arg("array"));
  py::class_<TableRows>(module, "TableRows")
      .def(py::init<py::handle, const Int32Array&, const Int32Array&, bool>(), py::arg("cdfs"),
           py::arg("cdf_length"), py::arg("offset"), py::arg("keep_objects"))
      .def("is_made_of", &TableRows::is_made_of, py::arg("cdfs"), py::arg("cdf_length"), py::arg("offset"))
      .def("equals", &TableRows::equals, py::arg("other"))
      .def("prepare", &TableRows::prepare, py::arg("first"), py::arg("last"))
      .def_property_readonly("num_tables", &TableRows::num_tables)
      .def_property_readonly("num_bytes", &TableRows::num_bytes);
}

}  // namespace scalecodec
