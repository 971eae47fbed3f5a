/// The contract of a kernel set for reconstruction offsets (Kamisli et al. 2024, arXiv:2402.18930).
///
/// A symbol that is not 0 is reconstructed nearer to the mean, by an offset that its table's index selects.
/// Every step is one float32 operation, rounded as IEEE 754 says, in the order written here: all sets agree,
/// and agree with kernels/offset_quant_ref.py.
#pragma once

#include <cstddef>
#include <cstdint>
#include <tuple>

namespace scalecodec {

/// So many an array of offsets has, whatever the number of tables: no index of 8 bits lies beyond it.
constexpr std::size_t kMaxOffsets = 256;

/// `latent_hat[i] = sign(q) * (|q| - offsets[indexes[i]]) / gain + mean[i]`, `q = symbols[i]` not 0, else
/// `+0 / gain + mean[i]`. `mean` null: 0; `offsets` null: all 0.
template <class Symbol>
using ReconstructKernel = void (*)(const Symbol* symbols, const std::uint8_t* indexes, const float* mean,
                                   const float* offsets, float gain, std::size_t count, float* latent_hat);

/// A training step, forwards: `r = (latent - mean) * gain`; `noisy = r + noise`, `bounded = max(scale * gain,
/// bound)`, which keeps NaN, and `latent_hat` as above from `round(r)`, half to even.
struct SimulateBlock {
  std::size_t count;
  float gain, bound;
  const float *latent, *mean, *scale, *noise;  // mean null: 0
  const std::uint8_t* indexes;
  const float* offsets;  // null: all 0
  float *noisy, *bounded, *latent_hat;
};

/// Its gradients but those of offsets: `n = grad_noisy * gain`; `grad_latent = n + grad_latent_hat`,
/// `grad_mean = -n`, `grad_scale = grad_bounded * gain` where `scale * gain >= bound` or `grad_bounded < 0`,
/// else 0.
struct BackwardBlock {
  std::size_t count;
  float gain, bound;
  const float *grad_noisy, *grad_bounded, *grad_latent_hat, *scale;
  float *grad_latent, *grad_mean, *grad_scale;  // grad_mean null: not wanted
};

struct OffsetKernels {
  std::tuple<ReconstructKernel<std::int8_t>, ReconstructKernel<std::int16_t>, ReconstructKernel<std::int32_t>>
      reconstruct;
  void (*simulate)(const SimulateBlock& block);
  void (*backward)(const BackwardBlock& block);
  /// What an element adds to its offset's gradient, in steps: `-sign(q) * grad_latent_hat`, `q` its symbol.
  void (*slopes)(const float* grad_latent_hat, const float* latent, const float* mean, float gain,
                 std::size_t count, float* slopes);
};

extern const OffsetKernels kScalarOffsets;
#if defined(__x86_64__) && defined(__GNUC__)
extern const OffsetKernels kAvx2Offsets;
extern const OffsetKernels kAvx512Offsets;
#endif

}  // namespace scalecodec
