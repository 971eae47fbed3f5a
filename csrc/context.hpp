/// Autoregressive context models, compiled: the coding loop of mbt2018, cheng2020 and their kin.
///
/// DEFINITION. At each position (h, w) of latents [num_channels, height, width]:
///   context[o] = sum over the taps of a k x k kernel (k odd, pad = (k - 1) / 2) that lie before its centre
///                in raster order, and over the channels inside of a tap, of what is already decoded there;
///                taps outside of the picture are zeros, and count
///   hidden[o]  = sum over params first, then over context; an activation, where there is one
///   ...          further dense layers likewise; the last has 2 * num_channels outputs: scales, then means
///   index  = of the scale in the table (quantize_kernels.hpp), NaN the last one
///   symbol = round_half_even(latent - mean), and latent_hat = float(symbol) + mean
/// where a sum takes its inputs in that order, 64 at a time (kChain), and anew at each row of taps and
/// between params and context: total = bias; for each 64, or what is left of them, chain = 0, then for each
/// input chain = fma(weight, input, chain), then total = total + chain. Every operation is rounded once to
/// float32, and the activation is x > 0 ? x : x * slope. Sums are never split otherwise: so encoder, decoder,
/// kernel sets, any number of threads, batches and either order of positions give the same floats, NaN for
/// NaN.
///
/// Each item of a batch is a rans64 stream of its own: positions in their order, channels innermost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "context_kernels.hpp"
#include "quantize_kernels.hpp"
#include "rans64.hpp"
#include "status.hpp"

namespace scalecodec {

/// 1x1 convolution: `weight` [num_outputs, num_inputs], `bias` [num_outputs].
struct DenseView {
  const float* weight;
  const float* bias;
  std::size_t num_inputs, num_outputs;
  bool activates;
  float slope;
};

/// Masked convolution: `weight` [num_outputs, num_channels, kernel, kernel], of which only the taps before
/// the centre are read; `bias` [num_outputs]. Requires: kernel is odd.
struct ConvolutionView {
  const float* weight;
  const float* bias;
  std::size_t num_channels, num_outputs, kernel;
};

/// The weights as the kernels read them: copied, and shared by threads.
class ContextNetwork {
 public:
  /// Requires: at least one layer; the first takes num_params + the convolution's outputs, each other one
  /// what the one before it gives, and the last gives 2 * num_channels. All sizes are positive.
  ContextNetwork(const ConvolutionView& convolution, const std::vector<DenseView>& layers);

  struct Layer {
    std::vector<float> memory;
    DenseLayer dense;
    std::size_t num_outputs;
    bool activates;
    float slope;
    /// Floats that one position's outputs take.
    std::size_t width() const { return dense.num_vectors * kDenseLanes; }
  };

  std::size_t num_channels() const { return num_channels_; }
  std::size_t num_params() const { return layers_[0].dense.num_inputs - context_.num_outputs; }
  std::size_t pad() const { return pad_; }
  const Layer& context() const { return context_; }
  const std::vector<Layer>& layers() const { return layers_; }

 private:
  std::size_t num_channels_, pad_;
  Layer context_;
  std::vector<Layer> layers_;
};

/// The order of a stream's positions. The network may see them in any other that keeps what each waits for.
enum class ContextOrder {
  kRaster,
  kWavefront,  // by w + (pad + 1) * h, then by h: a decoder takes all of one sum at once
};

/// What encoding and decoding have in common. Arrays are [num_items, channels, height, width].
struct ContextTask {
  const ContextNetwork& network;
  std::size_t num_items, height, width;  // positive
  const float* params;
  const ScaleSearch& search;  // of no more scales than `table` has tables
  const CdfTable& table;
  ContextOrder order;
  float* latent_hat;
};

struct ContextBackend {
  const ContextKernels& context;
  const QuantizeKernels& quantize;
};

/// `streams`: num_items of them, fresh. Fails at a latent that no symbol can stand for, with its element.
Result context_encode(const ContextTask& task, const ContextBackend& backend, const float* latent,
                      Rans64Encoder* streams, std::size_t num_threads);

/// `streams`: num_items of them, started. Failures as of Rans64Decoder; latent_hat is unspecified then.
Result context_decode(const ContextTask& task, const ContextBackend& backend, Rans64Decoder* streams,
                      std::size_t num_threads);

}  // namespace scalecodec
