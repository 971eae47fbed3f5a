/// Autoregressive context models, compiled: the coding loop of mbt2018, cheng2020 and their kin.
///
/// DEFINITION. At each position (h, w) of latents [num_channels, height, width]:
///   context[o] = a sum over the taps of a k x k kernel (k odd, pad = (k - 1) / 2) that lie before its centre
///   in
///                raster order, and over the channels inside of a tap, of what is already decoded there:
///                inputs in that order; taps outside of the picture are zeros, and count
///   hidden[o]  = a sum over params, then context; an activation, where there is one
///   ...          further dense layers likewise; the last has 2 * num_channels outputs: scales, then means
///   index  = of the scale in the table (quantize_kernels.hpp), NaN the last one
///   symbol = round_half_even(latent - mean), and latent_hat = float(symbol) + mean
/// or as a rate has it (context_rate.hpp).
/// A sum adds up in the order that the network was given for its layer (context_sums.hpp), by default in
/// ours: onto the bias, chains of 64 inputs (kChain) or what is left of them, anew at each row of taps and
/// between params and context. Each operation is rounded once to float32, and the activation is x > 0 ? x : x
/// * slope. Nothing is ever split otherwise: so encoder, decoder, kernel sets, any number of threads, batches
/// and either order of positions give the same floats, NaN for NaN.
///
/// Each item of a batch is a rans64 stream of its own: positions in their order, channels innermost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "context_network.hpp"
#include "context_rate.hpp"
#include "quantize_kernels.hpp"
#include "rans64.hpp"
#include "status.hpp"

namespace scalecodec {

/// The order of a stream's positions. The network may see them in any other that keeps what each waits for.
enum class ContextOrder {
  kRaster,
  kWavefront,  // by w + (pad + 1) * h, then by h: a decoder takes all of one sum at once
};

/// What the network works on. Arrays are [num_items, channels, height, width].
struct ContextPlace {
  const ContextNetwork& network;
  std::size_t num_items, height, width;  // positive
  const float* params;
  ContextOrder order;
  float* latent_hat;  // null: nobody asks for it
  ContextRate rate{};
};

struct ContextTask : ContextPlace {
  const ScaleSearch& search;  // of no more scales than `table` has tables
  const CdfTable& table;
};

struct ContextBackend {
  const ContextKernels& context;
  const QuantizeKernels& quantize;
};

/// The scales, then the means, [num_items, 2 * num_channels, height, width], that the network gives where
/// `latent` is what was decoded.
void context_predict(const ContextPlace& place, const ContextKernels& kernels, const float* latent,
                     float* distributions, std::size_t num_threads);

/// `streams`: num_items of them, fresh. Fails at a latent that no symbol can stand for, with its element.
Result context_encode(const ContextTask& task, const ContextBackend& backend, const float* latent,
                      Rans64Encoder* streams, std::size_t num_threads);

/// `streams`: num_items of them, started. Failures as of Rans64Decoder; latent_hat is unspecified then.
Result context_decode(const ContextTask& task, const ContextBackend& backend, Rans64Decoder* streams,
                      std::size_t num_threads);

}  // namespace scalecodec
