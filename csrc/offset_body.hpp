/// The kernels of reconstruction offsets, written once: every set compiles them for its own instructions,
/// from within its target region and namespaces. So there is no guard, and nothing is included.

/// `offsets` by `indexes`, or 0; a choice of constants at compile time, so that loops of it vectorize.
template <bool kHasOffsets>
inline float offset_of(const float* offsets, const std::uint8_t* indexes, std::size_t i) {
  if constexpr (kHasOffsets) return offsets[indexes[i]];
  return 0.0f;
}

inline float moved(float rounded, float offset, float gain) {
  const float size = std::fabs(rounded) - offset;
  const float signed_size = rounded < 0.0f ? -size : size;
  return (rounded == 0.0f ? 0.0f : signed_size) / gain;
}

template <bool kHasMean, bool kHasOffsets, class Symbol>
void reconstruct_with(const Symbol* __restrict symbols, const std::uint8_t* __restrict indexes,
                      const float* __restrict mean, const float* __restrict offsets, float gain,
                      std::size_t count, float* __restrict latent_hat) {
  for (std::size_t i = 0; i < count; ++i)
    latent_hat[i] = moved(static_cast<float>(symbols[i]), offset_of<kHasOffsets>(offsets, indexes, i), gain) +
                    (kHasMean ? mean[i] : 0.0f);
}

template <class Symbol>
void reconstruct(const Symbol* symbols, const std::uint8_t* indexes, const float* mean, const float* offsets,
                 float gain, std::size_t count, float* latent_hat) {
  const auto run =
      mean ? (offsets ? reconstruct_with<true, true, Symbol> : reconstruct_with<true, false, Symbol>)
           : (offsets ? reconstruct_with<false, true, Symbol> : reconstruct_with<false, false, Symbol>);
  run(symbols, indexes, mean, offsets, gain, count, latent_hat);
}

template <bool kHasMean, bool kHasOffsets>
void simulate_with(const SimulateBlock& block) {
  const float gain = block.gain, bound = block.bound;
  const float *__restrict latent = block.latent, *__restrict mean = block.mean,
                         *__restrict scale = block.scale, *__restrict noise = block.noise,
                         *__restrict offsets = block.offsets;
  const std::uint8_t* __restrict indexes = block.indexes;
  float* __restrict noisy = block.noisy, * __restrict bounded = block.bounded, * __restrict latent_hat = block.latent_hat;
  for (std::size_t i = 0; i < block.count; ++i) {
    const float center = kHasMean ? mean[i] : 0.0f;
    const float residual = (latent[i] - center) * gain;
    const float scaled = scale[i] * gain;
    noisy[i] = residual + noise[i];
    bounded[i] = scaled < bound ? bound : scaled;
    latent_hat[i] =
        moved(round_half_even(residual), offset_of<kHasOffsets>(offsets, indexes, i), gain) + center;
  }
}

inline void simulate(const SimulateBlock& block) {
  const auto run = block.mean ? (block.offsets ? simulate_with<true, true> : simulate_with<true, false>)
                              : (block.offsets ? simulate_with<false, true> : simulate_with<false, false>);
  run(block);
}

inline void backward(const BackwardBlock& block) {
  const float gain = block.gain, bound = block.bound;
  const float *__restrict grad_noisy = block.grad_noisy, *__restrict grad_bounded = block.grad_bounded,
                         *__restrict grad_hat = block.grad_latent_hat, *__restrict scale = block.scale;
  float *__restrict grad_latent = block.grad_latent, *__restrict grad_scale = block.grad_scale,
                   *__restrict grad_mean = block.grad_mean;
  for (std::size_t i = 0; i < block.count; ++i) {
    const float wanted = grad_bounded[i];
    const bool passes = (scale[i] * gain >= bound) | (wanted < 0.0f);
    grad_latent[i] = grad_noisy[i] * gain + grad_hat[i];
    grad_scale[i] = passes ? wanted * gain : 0.0f;
  }
  if (grad_mean)
    for (std::size_t i = 0; i < block.count; ++i) grad_mean[i] = -(grad_noisy[i] * gain);
}

template <bool kHasMean>
void slopes_with(const float* __restrict grad_latent_hat, const float* __restrict latent,
                 const float* __restrict mean, float gain, std::size_t count, float* __restrict slopes) {
  for (std::size_t i = 0; i < count; ++i) {
    const float rounded = rounded_latent(latent[i], kHasMean ? mean[i] : 0.0f, gain);
    const float signed_grad = rounded < 0.0f ? grad_latent_hat[i] : -grad_latent_hat[i];
    slopes[i] = rounded == 0.0f ? 0.0f : signed_grad;
  }
}

inline void slopes(const float* grad_latent_hat, const float* latent, const float* mean, float gain,
                   std::size_t count, float* to) {
  (mean ? slopes_with<true> : slopes_with<false>)(grad_latent_hat, latent, mean, gain, count, to);
}

constexpr OffsetKernels kOffsets{
    {reconstruct<std::int8_t>, reconstruct<std::int16_t>, reconstruct<std::int32_t>},
    simulate,
    backward,
    slopes};
