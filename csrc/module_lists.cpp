/// The Python door of lists: their integers to int32 and back, several times faster than by NumPy.
#include "module_lists.hpp"

#include <algorithm>
#include <limits>

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

}  // namespace

Items::Items(py::handle sequence, const char* name) : name_(name) {
  PyObject* const object = sequence.ptr();
  if (!PySequence_Check(object) || PyUnicode_Check(object) || PyBytes_Check(object))
    throw py::type_error(std::string(name) + " must be a sequence of integers, an array or a tensor, got " +
                         type_name(sequence));
  list_ = py::reinterpret_steal<py::object>(is_list(sequence) ? sequence.inc_ref().ptr()
                                                              : PySequence_List(object));
  if (!list_) throw py::error_already_set();
}

bool Items::read(std::size_t count, std::int32_t* to) const {
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

namespace {

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

}  // namespace

void bind_lists(py::module_& module) {
  module.def("int32_array", &int32_array, py::arg("sequence"), py::arg("name"));
  module.def("int_list", &int_list, py::arg("array"));
}

}  // namespace scalecodec
