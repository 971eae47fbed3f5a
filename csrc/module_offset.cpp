/// The Python door of reconstruction offsets: batches of items, each with its own gain and offsets.
#include <pybind11/stl.h>

#include <optional>
#include <string>

#include "backend.hpp"
#include "module.hpp"
#include "offset_quant.hpp"
#include "quantize.hpp"

namespace py = pybind11;

namespace scalecodec {

namespace {

/// A matrix [B, size] whose rows are dense; these may lie apart.
template <class Element>
class Rows {
 public:
  Rows(const py::array& array, const char* name) : data_(static_cast<const char*>(array.data())) {
    if (array.ndim() != 2 || !py::isinstance<py::array_t<Element>>(array) ||
        (array.size() > 1 && array.shape(1) > 1 &&
         array.strides(1) != static_cast<py::ssize_t>(sizeof(Element))))
      throw py::value_error(std::string(name) +
                            " must be a matrix of dense rows, of the type that is wanted");
    count_ = static_cast<std::size_t>(array.shape(0));
    size_ = static_cast<std::size_t>(array.shape(1));
    stride_ = array.strides(0);
  }
  Rows(const std::optional<py::array>& array, const char* name) {
    if (array) *this = Rows(*array, name);
  }

  std::size_t count() const { return count_; }
  std::size_t size() const { return size_; }
  bool fits(std::size_t count, std::size_t size) const {
    return !data_ || (count_ == count && size_ == size);
  }

  /// Null where there is no matrix; the one row of a matrix of one, for any item.
  const Element* row(std::size_t item) const {
    if (!data_) return nullptr;
    const auto at = static_cast<py::ssize_t>(count_ == 1 ? 0 : item);
    return reinterpret_cast<const Element*>(data_ + at * stride_);
  }

 private:
  const char* data_ = nullptr;
  std::size_t count_ = 0, size_ = 0;
  py::ssize_t stride_ = 0;
};

/// The same, to be written to.
template <class Element>
class OutputRows : public Rows<Element> {
 public:
  OutputRows(const std::optional<py::array>& array, const char* name) : Rows<Element>(array, name) {
    if (array && !array->writeable()) throw py::value_error(std::string(name) + " must be writable");
  }
  Element* row(std::size_t item) const { return const_cast<Element*>(Rows<Element>::row(item)); }
};

using Floats = Rows<float>;
using FloatOutputs = OutputRows<float>;
using Float32Array = py::array_t<float, py::array::c_style>;
using MaybeArray = std::optional<py::array>;

template <class... Matrices>
void check_shapes(const Floats& model, const Matrices&... others) {
  if (!(others.fits(model.count(), model.size()) && ...))
    throw py::value_error("all matrices must have one shape");
}

Floats offset_rows(const MaybeArray& offsets, std::size_t count) {
  const Floats rows(offsets, "offsets");
  if (!rows.fits(1, kMaxOffsets) && !rows.fits(count, kMaxOffsets))
    throw py::value_error("offsets must have a row, or one for each item, of " + std::to_string(kMaxOffsets));
  return rows;
}

const float* gain_list(const Float32Array& gains, std::size_t count) {
  if (static_cast<std::size_t>(gains.size()) != count) throw py::value_error("there must be a gain an item");
  return gains.data();
}

void prepare_search(const Float32Array& table, float bound, ScaleSearch& search) {
  if (table.size() < 1 || static_cast<std::size_t>(table.size()) > kMaxOffsets)
    throw py::value_error("scale_table must have 1 to " + std::to_string(kMaxOffsets) + " scales, got " +
                          std::to_string(table.size()));
  check(prepare(table.data(), static_cast<std::size_t>(table.size()), bound, search));
}

/// Returns the first element, of all items in a row, that no symbol can stand for; none where all fit.
std::optional<std::size_t> offset_quantize(const py::array& latent, const MaybeArray& mean,
                                           const py::array& scale, const Float32Array& gains,
                                           const MaybeArray& offsets, const Float32Array& table, float bound,
                                           py::array symbols, const py::array& indexes,
                                           const py::array& latent_hat, std::size_t threads) {
  const Floats latents(latent, "latent"), means(mean, "mean"), scales(scale, "scale");
  const OutputRows<std::uint8_t> index_rows(indexes, "indexes");
  const FloatOutputs hats(latent_hat, "latent_hat");
  check_shapes(latents, means, scales, index_rows, hats);
  const Floats offset_matrix = offset_rows(offsets, latents.count());
  const float* gain = gain_list(gains, latents.count());
  const IntegerSink all = sink(symbols, "symbols");
  const auto width = static_cast<std::size_t>(symbols.itemsize());
  if (all.size != latents.count() * latents.size() || symbols.dtype().kind() != 'i' || width > 4)
    throw py::value_error("symbols must be int8, int16 or int32, of the shape of latent");
  ScaleSearch search;
  prepare_search(table, bound, search);
  Result result;
  std::size_t item = 0;
  {
    py::gil_scoped_release release;
    for (; item < latents.count() && result.ok(); ++item) {
      QuantizeTask task{};
      task.size = latents.size();
      task.gain = gain[item];
      task.latent = latents.row(item);
      task.mean = means.row(item);
      task.scale = scales.row(item);
      task.search = &search;
      task.symbols = {static_cast<char*>(all.data) + item * task.size * width, all.type, task.size};
      task.indexes = {index_rows.row(item), IntegerType::kUint8, task.size};
      task.latent_hat = hats.row(item);
      task.offsets = offset_matrix.row(item);
      result = quantize(task, active_kernels().quantize, threads);
    }
  }
  if (result.ok()) return std::nullopt;
  return (item - 1) * latents.size() + result.where;
}

void offset_dequantize(const py::array& symbols, const py::array& indexes, const MaybeArray& mean,
                       const Float32Array& gains, const MaybeArray& offsets, const py::array& latent_hat,
                       std::size_t threads) {
  const FloatOutputs hats(latent_hat, "latent_hat");
  const Floats means(mean, "mean");
  const Rows<std::uint8_t> index_rows(indexes, "indexes");
  check_shapes(hats, means, index_rows);
  const Floats offset_matrix = offset_rows(offsets, hats.count());
  const float* gain = gain_list(gains, hats.count());
  const IntegerSource all = source(symbols, "symbols");
  const auto width = static_cast<std::size_t>(symbols.itemsize());
  if (all.size != hats.count() * hats.size() || symbols.dtype().kind() != 'i' || width > 4)
    throw py::value_error("symbols must be int8, int16 or int32, of the shape of latent_hat");
  py::gil_scoped_release release;
  for (std::size_t item = 0; item < hats.count(); ++item) {
    const IntegerSource mine{static_cast<const char*>(all.data) + item * hats.size() * width, all.type,
                             hats.size()};
    reconstruct(mine, index_rows.row(item), means.row(item), offset_matrix.row(item), gain[item],
                *active_kernels().quantize.offsets, hats.row(item), threads);
  }
}

void offset_simulate(const py::array& latent, const MaybeArray& mean, const py::array& scale,
                     const Float32Array& gains, const MaybeArray& offsets, const Float32Array& table,
                     float bound, const py::array& noise, const py::array& noisy, const py::array& bounded,
                     const py::array& latent_hat, const py::array& indexes, std::size_t threads) {
  const Floats latents(latent, "latent"), means(mean, "mean"), scales(scale, "scale"), noises(noise, "noise");
  const FloatOutputs noisy_rows(noisy, "noisy"), bounded_rows(bounded, "bounded"),
      hats(latent_hat, "latent_hat");
  const OutputRows<std::uint8_t> index_rows(indexes, "indexes");
  check_shapes(latents, means, scales, noises, noisy_rows, bounded_rows, hats, index_rows);
  const Floats offset_matrix = offset_rows(offsets, latents.count());
  const float* gain = gain_list(gains, latents.count());
  ScaleSearch search;
  prepare_search(table, bound, search);
  py::gil_scoped_release release;
  for (std::size_t item = 0; item < latents.count(); ++item) {
    const SimulateBlock whole{latents.size(),
                              gain[item],
                              bound,
                              latents.row(item),
                              means.row(item),
                              scales.row(item),
                              noises.row(item),
                              index_rows.row(item),
                              offset_matrix.row(item),
                              noisy_rows.row(item),
                              bounded_rows.row(item),
                              hats.row(item)};
    simulate(whole, search, active_kernels().quantize, index_rows.row(item), threads);
  }
}

void offset_backward(const py::array& grad_noisy, const py::array& grad_bounded,
                     const py::array& grad_latent_hat, const py::array& scale, const Float32Array& gains,
                     float bound, const py::array& grad_latent, const MaybeArray& grad_mean,
                     const py::array& grad_scale, std::size_t threads) {
  const Floats from_noisy(grad_noisy, "grad_noisy"), from_bounded(grad_bounded, "grad_bounded"),
      from_hat(grad_latent_hat, "grad_latent_hat"), scales(scale, "scale");
  const FloatOutputs to_latent(grad_latent, "grad_latent"), to_mean(grad_mean, "grad_mean"),
      to_scale(grad_scale, "grad_scale");
  check_shapes(from_noisy, from_bounded, from_hat, scales, to_latent, to_mean, to_scale);
  const float* gain = gain_list(gains, scales.count());
  py::gil_scoped_release release;
  for (std::size_t item = 0; item < scales.count(); ++item)
    simulate_backward(
        {scales.size(), gain[item], bound, from_noisy.row(item), from_bounded.row(item), from_hat.row(item),
         scales.row(item), to_latent.row(item), to_mean.row(item), to_scale.row(item)},
        *active_kernels().quantize.offsets, threads);
}

/// [B, kMaxOffsets].
Float32Array offset_gradients_of(const py::array& grad_latent_hat, const py::array& latent,
                                 const MaybeArray& mean, const Float32Array& gains, const py::array& indexes,
                                 std::size_t threads) {
  const Floats from_hat(grad_latent_hat, "grad_latent_hat"), latents(latent, "latent"), means(mean, "mean");
  const Rows<std::uint8_t> index_rows(indexes, "indexes");
  check_shapes(from_hat, latents, means, index_rows);
  const float* gain = gain_list(gains, latents.count());
  Float32Array sums({latents.count(), kMaxOffsets});
  float* to = sums.mutable_data();
  py::gil_scoped_release release;
  for (std::size_t item = 0; item < latents.count(); ++item)
    offset_gradients(from_hat.row(item), latents.row(item), means.row(item), index_rows.row(item), gain[item],
                     latents.size(), *active_kernels().quantize.offsets, to + item * kMaxOffsets, threads);
  return sums;
}

}  // namespace

void bind_offset(py::module_& module) {
  module.attr("MAX_OFFSETS") = kMaxOffsets;
  module.def("offset_quantize", &offset_quantize, py::arg("latent"), py::arg("mean"), py::arg("scale"),
             py::arg("gains"), py::arg("offsets"), py::arg("table"), py::arg("bound"), py::arg("symbols"),
             py::arg("indexes"), py::arg("latent_hat"), py::arg("threads"));
  module.def("offset_dequantize", &offset_dequantize, py::arg("symbols"), py::arg("indexes"), py::arg("mean"),
             py::arg("gains"), py::arg("offsets"), py::arg("latent_hat"), py::arg("threads"));
  module.def("offset_simulate", &offset_simulate, py::arg("latent"), py::arg("mean"), py::arg("scale"),
             py::arg("gains"), py::arg("offsets"), py::arg("table"), py::arg("bound"), py::arg("noise"),
             py::arg("noisy"), py::arg("bounded"), py::arg("latent_hat"), py::arg("indexes"),
             py::arg("threads"));
  module.def("offset_backward", &offset_backward, py::arg("grad_noisy"), py::arg("grad_bounded"),
             py::arg("grad_latent_hat"), py::arg("scale"), py::arg("gains"), py::arg("bound"),
             py::arg("grad_latent"), py::arg("grad_mean"), py::arg("grad_scale"), py::arg("threads"));
  module.def("offset_gradients", &offset_gradients_of, py::arg("grad_latent_hat"), py::arg("latent"),
             py::arg("mean"), py::arg("gains"), py::arg("indexes"), py::arg("threads"));
}

}  // namespace scalecodec
