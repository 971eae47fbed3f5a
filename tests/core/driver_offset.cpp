/// Driver, part 6: every kernel set's reconstruction offsets against the definitions, in blocks of exactly
/// their size.
#include <cmath>
#include <string>

#include "backend.hpp"
#include "driver.hpp"
#include "offset_quant.hpp"
#include "quantize.hpp"

namespace driver {

namespace {

constexpr float kBound = 0.11f;

/// One item's arrays; means and offsets are there or not.
struct Item {
  Exact<float> latent, mean, scale, noise, offsets, table;
  float gain;
  bool has_mean, has_offsets;
  ScaleSearch search;

  Item(Random& random, std::size_t count, std::size_t num_tables)
      : latent(count),
        mean(count),
        scale(count),
        noise(count),
        offsets(kMaxOffsets),
        table(num_tables),
        gain(std::exp2(-static_cast<float>(random.below(256)) / 64)),
        has_mean(random.below(2) != 0),
        has_offsets(random.below(2) != 0) {
    const auto unit = [&] { return static_cast<float>(random.below(1 << 20)) / (1 << 20); };
    for (std::size_t i = 0; i < count; ++i) {
      scale.data[i] = std::exp2(7 * unit() - 4);
      mean.data[i] = 20 * unit() - 10;
      latent.data[i] = std::floor(8 * (mean.data[i] + scale.data[i] * (4 * unit() - 2))) / 8;
      noise.data[i] = unit() - 0.5f;
    }
    for (std::size_t k = 0; k < kMaxOffsets; ++k) offsets.data[k] = 0.5f * unit();
    for (std::size_t k = 0; k < num_tables; ++k)
      table.data[k] = kBound * std::exp2(static_cast<float>(k) / 9);
    CHECK(prepare(table.data.get(), num_tables, kBound, search).ok());
  }

  std::size_t count() const { return latent.size; }
  const float* means() const { return has_mean ? mean.data.get() : nullptr; }
  const float* offset_table() const { return has_offsets ? offsets.data.get() : nullptr; }

  float center(std::size_t i) const { return has_mean ? mean.data[i] : 0.0f; }
  float residual(std::size_t i) const { return (latent.data[i] - center(i)) * gain; }
  std::uint8_t index(std::size_t i) const {
    const float scaled = scale.data[i] * gain, bounded = scaled < kBound ? kBound : scaled;
    std::uint8_t index = 0;
    for (std::size_t k = 0; k + 1 < table.size; ++k)
      index = static_cast<std::uint8_t>(index + (bounded > table.data[k]));
    return index;
  }
  float latent_hat(std::size_t i) const {
    const float rounded = std::nearbyint(residual(i));
    if (rounded == 0.0f) return 0.0f / gain + center(i);
    const float size = std::fabs(rounded) - (has_offsets ? offsets.data[index(i)] : 0.0f);
    return (rounded < 0.0f ? -size : size) / gain + center(i);
  }
};

const QuantizeKernels& kernels() {
  return active_kernels().quantize;
}

template <class Symbol>
void check_coding(Random& random, const Item& item) {
  const std::size_t count = item.count();
  Exact<Symbol> symbols(count);
  Exact<std::uint8_t> indexes(count);
  Exact<float> latent_hat(count), decoded(count);
  QuantizeTask task{};
  task.size = count;
  task.gain = item.gain;
  task.latent = item.latent.data.get();
  task.mean = item.means();
  task.scale = item.scale.data.get();
  task.search = &item.search;
  task.symbols = {symbols.data.get(), type_of<Symbol>(), count};
  task.indexes = {indexes.data.get(), IntegerType::kUint8, count};
  task.latent_hat = latent_hat.data.get();
  task.offsets = item.offset_table();
  CHECK(quantize(task, kernels(), 1 + random.below(3)).ok());
  reconstruct({symbols.data.get(), type_of<Symbol>(), count}, indexes.data.get(), item.means(),
              item.offset_table(), item.gain, *kernels().offsets, decoded.data.get(), 1 + random.below(3));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    wrong += static_cast<float>(symbols.data[i]) != std::nearbyint(item.residual(i));
    wrong += indexes.data[i] != item.index(i);
    wrong += latent_hat.data[i] != item.latent_hat(i) || decoded.data[i] != latent_hat.data[i];
  }
  CHECK(wrong == 0);
}

void check_step(Random& random, const Item& item) {
  const std::size_t count = item.count();
  Exact<std::uint8_t> indexes(count);
  Exact<float> noisy(count), bounded(count), latent_hat(count);
  SimulateBlock whole{};
  whole.count = count;
  whole.gain = item.gain;
  whole.bound = kBound;
  whole.latent = item.latent.data.get();
  whole.mean = item.means();
  whole.scale = item.scale.data.get();
  whole.noise = item.noise.data.get();
  whole.offsets = item.offset_table();
  whole.noisy = noisy.data.get();
  whole.bounded = bounded.data.get();
  whole.latent_hat = latent_hat.data.get();
  simulate(whole, item.search, kernels(), indexes.data.get(), 1 + random.below(3));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const float scaled = item.scale.data[i] * item.gain;
    wrong += noisy.data[i] != item.residual(i) + item.noise.data[i];
    wrong += bounded.data[i] != (scaled < kBound ? kBound : scaled);
    wrong += indexes.data[i] != item.index(i) || latent_hat.data[i] != item.latent_hat(i);
  }
  CHECK(wrong == 0);

  // The step's own outputs serve as gradients.
  Exact<float> to_latent(count), to_mean(count), to_scale(count), sums(kMaxOffsets), again(kMaxOffsets);
  const BackwardBlock back{count,
                           item.gain,
                           kBound,
                           noisy.data.get(),
                           item.noise.data.get(),
                           latent_hat.data.get(),
                           item.scale.data.get(),
                           to_latent.data.get(),
                           item.has_mean ? to_mean.data.get() : nullptr,
                           to_scale.data.get()};
  simulate_backward(back, *kernels().offsets, 1 + random.below(3));
  std::vector<double> slow(kMaxOffsets), sizes(kMaxOffsets);
  for (std::size_t i = 0; i < count; ++i) {
    const float from_noisy = noisy.data[i] * item.gain, wanted = item.noise.data[i];
    const bool passes = item.scale.data[i] * item.gain >= kBound || wanted < 0.0f;
    wrong += to_latent.data[i] != from_noisy + latent_hat.data[i];
    wrong += item.has_mean && to_mean.data[i] != -from_noisy;
    wrong += to_scale.data[i] != (passes ? wanted * item.gain : 0.0f);
    const float rounded = std::nearbyint(item.residual(i));
    const double slope =
        rounded == 0.0f ? 0.0 : (rounded < 0.0f ? 1.0 : -1.0) * latent_hat.data[i] / item.gain;
    slow[indexes.data[i]] += slope;
    sizes[indexes.data[i]] += std::fabs(slope);
  }
  CHECK(wrong == 0);
  for (auto* to : {&sums, &again})
    offset_gradients(latent_hat.data.get(), item.latent.data.get(), item.means(), indexes.data.get(),
                     item.gain, count, *kernels().offsets, to->data.get(), 1 + random.below(3));
  // Half a unit in the last place an addition: of a chunk's sums, one in four tables, and those of all
  // chunks.
  const double most = (static_cast<double>(std::min(count, std::size_t{1} << 15)) / 4 + 16) / (1 << 24);
  for (std::size_t k = 0; k < kMaxOffsets; ++k) {
    wrong += std::fabs(sums.data[k] - slow[k]) > most * sizes[k];
    wrong += sums.data[k] != again.data[k];
  }
  CHECK(wrong == 0);
}

}  // namespace

void test_offset(Random& random) {
  for (const std::string& name : available_backends()) {
    CHECK(force_backend(name));
    for (std::size_t count = 0; count <= 300; count += 1 + count / 40)
      for (std::size_t num_tables :
           {std::size_t{1}, std::size_t{2}, std::size_t{64}, 65 + random.below(192)}) {
        const Item item(random, count, num_tables);
        check_coding<std::int8_t>(random, Item(random, 0, num_tables));
        check_coding<std::int16_t>(random, item);
        check_coding<std::int32_t>(random, item);
        check_step(random, item);
      }
    const Item large(random, 100003, 64);
    check_coding<std::int16_t>(random, large);
    check_step(random, large);
  }
  CHECK(force_backend(""));
}

}  // namespace driver
