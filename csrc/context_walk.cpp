/// The network at groups of positions, and the two ways to walk over all of them.
#include "context_walk.hpp"

#include <algorithm>

namespace scalecodec {

namespace {

/// What one member of the team runs of a layer: whole panels where there are enough, as a vector alone waits
/// for its own sums.
void run_part(const ContextKernels& kernels, const DenseSlice& slice, std::size_t part, std::size_t num_parts,
              const float* const* inputs, float* const* outputs, std::size_t count) {
  const std::size_t num_vectors = slice.layer->num_vectors;
  const std::size_t num_panels = (num_vectors + kPanelVectors - 1) / kPanelVectors;
  const auto bound = [&](std::size_t i) {
    return num_panels < num_parts ? num_vectors * i / num_parts
                                  : std::min(num_vectors, num_panels * i / num_parts * kPanelVectors);
  };
  run_slice(kernels, slice, bound(part), bound(part + 1), inputs, outputs, count);
}

}  // namespace

void to_channels_last(const float* from, std::size_t num_places, std::size_t num_channels, std::size_t first,
                      std::size_t last, float* to) {
  constexpr std::size_t kSide = 16;  // of blocks that are turned: whole cache lines on both sides
  for (std::size_t c = first; c < last; c += kSide)
    for (std::size_t place = 0; place < num_places; place += kSide)
      for (std::size_t i = place; i < std::min(place + kSide, num_places); ++i)
        for (std::size_t j = c; j < std::min(c + kSide, last); ++j)
          to[i * num_channels + j] = from[j * num_places + i];
}

ContextWalk::ContextWalk(const ContextTask& task, const ContextKernels& kernels, bool by_rows)
    : task_(task),
      kernels_(kernels),
      network_(task.network),
      by_rows_(by_rows),
      pad_(network_.pad()),
      padded_width_(task.width + 2 * pad_),
      padded_size_(padded_width_ * (task.height + pad_)) {
  params_.resize(task.num_items * task.height * task.width * network_.num_params());
  latents_.resize(task.num_items * padded_size_ * network_.num_channels());
  const std::size_t num_slots = by_rows ? task.num_items * task.width : kGroup;
  context_.resize(num_slots * network_.context().width());
  hidden_.resize(num_slots * network_.layers()[0].width());
  for (std::size_t i = 1; i < network_.layers().size(); ++i)
    deeper_.emplace_back(kGroup * network_.layers()[i].width());
}

float* ContextWalk::latent_at(const Position& position, std::size_t row, std::size_t column) {
  return latents_.data() +
         (position.item * padded_size_ + row * padded_width_ + column) * network_.num_channels();
}

void ContextWalk::add(Group& group, const Position& position) {
  group.latents[group.count] = latent_at(position, position.row + pad_, position.column + pad_);
  group.positions[group.count++] = position;
}

void ContextWalk::gather_params(Team& team) {
  const std::size_t num_places = task_.height * task_.width, num_params = network_.num_params();
  team.share([&](std::size_t part, std::size_t num_parts) {
    for (std::size_t item = 0; item < task_.num_items; ++item)
      to_channels_last(task_.params + item * num_places * num_params, num_places, num_params,
                       num_params * part / num_parts, num_params * (part + 1) / num_parts,
                       params_.data() + item * num_places * num_params);
  });
}

void ContextWalk::hand_out(Team& team) {
  const std::size_t num_places = task_.height * task_.width, num_channels = network_.num_channels();
  team.share([&](std::size_t part, std::size_t num_parts) {
    const std::size_t last = num_channels * (part + 1) / num_parts;
    for (std::size_t item = 0; item < task_.num_items; ++item)
      for (std::size_t row = 0; row < task_.height; ++row) {
        const float* from = latent_at({item, 0, 0, 0}, row + pad_, pad_);
        float* to = task_.latent_hat + item * num_channels * num_places + row * task_.width;
        for (std::size_t c = num_channels * part / num_parts; c < last; ++c)
          for (std::size_t column = 0; column < task_.width; ++column)
            to[c * num_places + column] = from[column * num_channels + c];
      }
  });
}

void ContextWalk::prepare(Team& team, const Group& group, const std::size_t* slots) {
  const ContextNetwork::Layer &context = network_.context(), &first = network_.layers()[0];
  const std::size_t num_channels = network_.num_channels(), num_params = network_.num_params();
  team.share([&](std::size_t part, std::size_t num_parts) {
    const float* inputs[kGroup];
    float* outputs[kGroup];
    for (std::size_t p = 0; p < group.count; ++p) {
      const Position& at = group.positions[p];
      inputs[p] = params_.data() + ((at.item * task_.height + at.row) * task_.width + at.column) * num_params;
      outputs[p] = hidden_.data() + slots[p] * first.width();
    }
    run_part(kernels_, {&first.dense, 0, num_params, true, false, 0.0f}, part, num_parts, inputs, outputs,
             group.count);
    for (std::size_t p = 0; p < group.count; ++p) outputs[p] = context_.data() + slots[p] * context.width();
    DenseSlice slice{&context.dense, 0, 0, true, false, 0.0f};
    for (std::size_t row = 0; row <= pad_; ++row, slice.first_input += slice.num_inputs) {
      if (row == pad_ && pad_ > 0) break;  // without a row above, the bias alone
      slice.num_inputs = pad_ == 0 ? 0 : (2 * pad_ + 1) * num_channels;
      slice.from_bias = row == 0;
      for (std::size_t p = 0; p < group.count; ++p) {
        const Position& at = group.positions[p];
        inputs[p] = latent_at(at, at.row + row, at.column);
      }
      run_part(kernels_, slice, part, num_parts, inputs, outputs, group.count);
    }
  });
}

void ContextWalk::finish(Team& team, Group& group, const std::size_t* slots) {
  const ContextNetwork::Layer& context = network_.context();
  const std::size_t num_left = pad_ * network_.num_channels();
  const float* inputs[kGroup];
  float* outputs[kGroup];
  const auto run = [&](const DenseSlice& slice) {
    team.share([&](std::size_t part, std::size_t num_parts) {
      run_part(kernels_, slice, part, num_parts, inputs, outputs, group.count);
    });
    for (std::size_t p = 0; p < group.count; ++p) inputs[p] = outputs[p];
  };
  for (std::size_t p = 0; p < group.count; ++p) {
    const Position& at = group.positions[p];
    inputs[p] = latent_at(at, at.row + pad_, at.column);
    outputs[p] = context_.data() + slots[p] * context.width();
  }
  run({&context.dense, context.dense.num_inputs - num_left, num_left, false, false, 0.0f});
  for (std::size_t i = 0; i < network_.layers().size(); ++i) {
    const ContextNetwork::Layer& layer = network_.layers()[i];
    const std::size_t skipped = i == 0 ? network_.num_params() : 0;  // params are in the sums already
    for (std::size_t p = 0; p < group.count; ++p)
      outputs[p] = i == 0 ? hidden_.data() + slots[p] * layer.width() : &deeper_[i - 1][p * layer.width()];
    run({&layer.dense, skipped, layer.dense.num_inputs - skipped, i > 0, layer.activates, layer.slope});
  }
  std::copy_n(outputs, group.count, group.distributions);
}

Result ContextWalk::run_rows(Team& team, ContextCoder& coder) {
  const std::size_t width = task_.width, num_row = task_.num_items * width;
  std::size_t slots[kGroup];
  for (std::size_t row = 0; row < task_.height; ++row) {
    for (std::size_t first = 0; first < num_row; first += kGroup) {
      Group group;
      while (group.count < std::min(kGroup, num_row - first)) {
        const std::size_t slot = first + group.count;
        slots[group.count] = slot;
        add(group, {slot / width, row, slot % width, 0});
      }
      prepare(team, group, slots);
    }
    for (std::size_t column = 0; column < width; ++column)
      for (std::size_t item = 0; item < task_.num_items;) {
        Group group;
        for (; group.count < kGroup && item < task_.num_items; ++item) {
          slots[group.count] = item * width + column;
          add(group, {item, row, column, row * width + column});
        }
        finish(team, group, slots);
        const Result result = coder.settle(group);
        if (!result.ok()) return result;
      }
  }
  return {};
}

Result ContextWalk::run_waves(Team& team, ContextCoder& coder) {
  const std::size_t shift = pad_ + 1, width = task_.width, height = task_.height;
  std::size_t slots[kGroup], begun = 0;
  for (std::size_t i = 0; i < kGroup; ++i) slots[i] = i;
  for (std::size_t wave = 0; wave < width + shift * (height - 1); ++wave) {
    const std::size_t first = wave < width ? 0 : (wave - width) / shift + 1;
    const std::size_t last = std::min(height - 1, wave / shift),
                      length = last + 1 - std::min(first, last + 1);
    const std::size_t count = length * task_.num_items;
    for (std::size_t done = 0; done < count;) {
      Group group;
      for (; group.count < kGroup && done < count; ++done) {
        const std::size_t row = first + done % length, column = wave - shift * row;
        const bool raster = task_.order == ContextOrder::kRaster;
        add(group, {done / length, row, column, raster ? row * width + column : begun + done % length});
      }
      prepare(team, group, slots);
      finish(team, group, slots);
      const Result result = coder.settle(group);
      if (!result.ok()) return result;
    }
    begun += length;
  }
  return {};
}

Result ContextWalk::run(Team& team, ContextCoder& coder) {
  gather_params(team);
  coder.begin(team);
  const Result result = by_rows_ ? run_rows(team, coder) : run_waves(team, coder);
  if (result.ok()) hand_out(team);
  return result;
}

}  // namespace scalecodec
