/// Python's sequences of integers, read without the checks and calls of its own interface where they are
/// plain.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <string>

namespace scalecodec {

inline bool is_list(pybind11::handle object) {
  return PyList_CheckExact(object.ptr()) || PyTuple_CheckExact(object.ptr());
}

/// The items of a list or tuple where they lie, or those of a list made from another sequence. `name` is for
/// errors.
class Items {
 public:
  Items(pybind11::handle sequence, const char* name);

  std::size_t size() const { return static_cast<std::size_t>(PySequence_Fast_GET_SIZE(list_.ptr())); }
  PyObject* const* data() const { return PySequence_Fast_ITEMS(list_.ptr()); }

  /// Read the first `count` items. True where all are plain ints, so that no code of theirs ran meanwhile.
  bool read(std::size_t count, std::int32_t* to) const;

 private:
  const char* name_;
  pybind11::object list_;
};

}  // namespace scalecodec
