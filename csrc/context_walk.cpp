/// The network at groups of positions, and the two ways to walk over all of them.
#include "context_walk.hpp"

#include <algorithm>

namespace scalecodec {

void to_channels_last(const float* from, std::size_t num_places, std::size_t num_channels, std::size_t first,
                      std::size_t last, const std::uint32_t* channel_places, float* to) {
  constexpr std::size_t kSide = 16;  // of blocks that are turned: whole cache lines on both sides
  for (std::size_t c = first; c < last; c += kSide)
    for (std::size_t place = 0; place < num_places; place += kSide)
      for (std::size_t i = place; i < std::min(place + kSide, num_places); ++i)
        for (std::size_t j = c; j < std::min(c + kSide, last); ++j)
          to[i * num_channels + (channel_places ? channel_places[j] : j)] = from[j * num_places + i];
}

ContextWalk::ContextWalk(const ContextPlace& place, const ContextKernels& kernels, bool by_rows,
                         std::size_t num_threads)
    : place_(place),
      kernels_(kernels),
      network_(place.network),
      by_rows_(by_rows),
      pad_(network_.pad()),
      padded_width_(place.width + 2 * pad_),
      padded_size_(padded_width_ * (place.height + pad_)) {
  const ContextNetwork::Layer &context = network_.context(), &first = network_.layers()[0];
  const std::size_t num_channels = network_.num_channels(), kernel = 2 * pad_ + 1;
  params_.resize(place.num_items * place.height * place.width * network_.num_params());
  latents_.resize(place.num_items * padded_size_ * num_channels);
  const auto offset_of = [&](std::uint32_t input) {
    const std::size_t tap = input / num_channels, channel = input % num_channels;
    return (tap / kernel * padded_width_ + tap % kernel) * num_channels + channel;
  };
  for (const ContextNetwork::Block& block : context.blocks) {
    above_.push_back(program_of(block.early.sums, offset_of));
    left_.push_back(program_of(block.late.sums, offset_of));
  }
  if (place.rate.shift) {
    shift_.resize(context.width);
    for (std::size_t o = 0; o < context.places.size(); ++o) shift_[context.places[o]] = place.rate.shift[o];
  }
  const std::size_t num_slots = by_rows ? place.num_items * place.width : kGroup;
  context_.resize(num_slots * context.kept);
  hidden_.resize(num_slots * first.kept);
  distributions_.resize(kGroup * 2 * num_channels);
  outputs_.emplace_back(kGroup * (context.width + (network_.late_params() ? network_.num_params() : 0)));
  for (const ContextNetwork::Layer& layer : network_.layers()) outputs_.emplace_back(kGroup * layer.width);
  scratch_.resize(num_threads * network_.scratch());
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
  const std::size_t num_places = place_.height * place_.width, num_params = network_.num_params();
  team.share([&](std::size_t part, std::size_t num_parts) {
    for (std::size_t item = 0; item < place_.num_items; ++item)
      to_channels_last(place_.params + item * num_places * num_params, num_places, num_params,
                       num_params * part / num_parts, num_params * (part + 1) / num_parts,
                       network_.param_places().data(), params_.data() + item * num_places * num_params);
  });
}

void ContextWalk::hand_out(Team& team) {
  const std::size_t num_places = place_.height * place_.width, num_channels = network_.num_channels();
  team.share([&](std::size_t part, std::size_t num_parts) {
    const std::size_t last = num_channels * (part + 1) / num_parts;
    for (std::size_t item = 0; item < place_.num_items; ++item)
      for (std::size_t row = 0; row < place_.height; ++row) {
        const float* from = latent_at({item, 0, 0, 0}, row + pad_, pad_);
        float* to = place_.latent_hat + item * num_channels * num_places + row * place_.width;
        for (std::size_t c = num_channels * part / num_parts; c < last; ++c)
          for (std::size_t column = 0; column < place_.width; ++column)
            to[c * num_places + column] = from[column * num_channels + c];
      }
  });
}

void ContextWalk::run_part(const ContextNetwork::Block& block, const ContextNetwork::Part& part,
                           const Program& program, const float* const* inputs, float* const* kept,
                           const Finish* finish, std::size_t count, std::size_t member,
                           std::size_t num_members) {
  // Whole panels where there are enough, as a vector alone waits for its own sums.
  const std::size_t num_vectors = part.packed.num_vectors;
  const std::size_t num_panels = (num_vectors + kPanelVectors - 1) / kPanelVectors;
  const auto bound = [&](std::size_t i) {
    return num_panels < num_members ? num_vectors * i / num_members
                                    : std::min(num_vectors, num_panels * i / num_members * kPanelVectors);
  };
  float *own[kGroup], *outputs[kGroup];
  for (std::size_t p = 0; p < count; ++p) own[p] = kept[p] + block.first_kept;
  Finish own_finish{};
  if (finish) {
    for (std::size_t p = 0; p < count; ++p) outputs[p] = finish->outputs[p] + block.first_output;
    own_finish = {block.result, finish->activates, finish->slope,
                  finish->shift ? finish->shift + block.first_output : nullptr, outputs};
  }
  float* scratch = scratch_.data() + member * network_.scratch();
  run_slice(kernels_, {&part.packed, &program, inputs, own, block.num_kept, scratch},
            finish ? &own_finish : nullptr, bound(member), bound(member + 1), count);
}

void ContextWalk::prepare(Team& team, const Group& group, const std::size_t* slots) {
  const ContextNetwork::Layer &context = network_.context(), &first = network_.layers()[0];
  const std::size_t num_params = network_.num_params();
  team.share([&](std::size_t member, std::size_t num_members) {
    const float* inputs[kGroup];
    float* kept[kGroup];
    for (std::size_t p = 0; p < group.count; ++p) {
      const Position& at = group.positions[p];
      inputs[p] =
          params_.data() + ((at.item * place_.height + at.row) * place_.width + at.column) * num_params;
      kept[p] = hidden_.data() + slots[p] * first.kept;
    }
    for (const ContextNetwork::Block& block : first.blocks)
      run_part(block, block.early, block.early.program, inputs, kept, nullptr, group.count, member,
               num_members);
    for (std::size_t p = 0; p < group.count; ++p) {
      const Position& at = group.positions[p];
      inputs[p] = latent_at(at, at.row, at.column);
      kept[p] = context_.data() + slots[p] * context.kept;
    }
    for (std::size_t b = 0; b < context.blocks.size(); ++b)
      run_part(context.blocks[b], context.blocks[b].early, above_[b], inputs, kept, nullptr, group.count,
               member, num_members);
  });
}

void ContextWalk::finish(Team& team, Group& group, const std::size_t* slots) {
  const std::size_t num_params = network_.num_params();
  const float* inputs[kGroup];
  float *outputs[kGroup], *kept[kGroup];
  for (std::size_t p = 0; p < group.count; ++p) {
    const Position& at = group.positions[p];
    inputs[p] = latent_at(at, at.row, at.column);
    kept[p] = context_.data() + slots[p] * network_.context().kept;
  }
  for (std::size_t i = 0; i < outputs_.size(); ++i) {
    const ContextNetwork::Layer& layer = i == 0 ? network_.context() : network_.layers()[i - 1];
    const std::size_t stride = outputs_[i].size() / kGroup;
    for (std::size_t p = 0; p < group.count; ++p) {
      outputs[p] = outputs_[i].data() + p * stride;
      if (i == 1) kept[p] = hidden_.data() + slots[p] * layer.kept;
      if (i > 0 || !network_.late_params()) continue;
      const Position& at = group.positions[p];
      const std::size_t at_param = (at.item * place_.height + at.row) * place_.width + at.column;
      std::copy_n(params_.data() + at_param * num_params, num_params, outputs[p] + layer.width);
    }
    const float* shift = i == 0 && !shift_.empty() ? shift_.data() : nullptr;
    const Finish finish{0, layer.activates, layer.slope, shift, outputs};
    team.share([&](std::size_t member, std::size_t num_members) {
      for (std::size_t b = 0; b < layer.blocks.size(); ++b) {
        const ContextNetwork::Block& block = layer.blocks[b];
        run_part(block, block.late, i == 0 ? left_[b] : block.late.program, inputs, kept, &finish,
                 group.count, member, num_members);
      }
    });
    for (std::size_t p = 0; p < group.count; ++p) inputs[p] = outputs[p];
  }
  hand_over(group, outputs);
}

void ContextWalk::hand_over(Group& group, const float* const* outputs) {
  const ContextNetwork::Layer& last = network_.layers().back();
  if (last.blocks.size() == 1) {  // they stand in their own order
    std::copy_n(outputs, group.count, group.distributions);
    return;
  }
  for (std::size_t p = 0; p < group.count; ++p) {
    float* to = distributions_.data() + p * last.places.size();
    for (std::size_t o = 0; o < last.places.size(); ++o) to[o] = outputs[p][last.places[o]];
    group.distributions[p] = to;
  }
}

Result ContextWalk::run_rows(Team& team, ContextCoder& coder) {
  const std::size_t width = place_.width, num_row = place_.num_items * width;
  std::size_t slots[kGroup];
  for (std::size_t row = 0; row < place_.height; ++row) {
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
      for (std::size_t item = 0; item < place_.num_items;) {
        Group group;
        for (; group.count < kGroup && item < place_.num_items; ++item) {
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
  const std::size_t shift = pad_ + 1, width = place_.width, height = place_.height;
  std::size_t slots[kGroup], begun = 0;
  for (std::size_t i = 0; i < kGroup; ++i) slots[i] = i;
  for (std::size_t wave = 0; wave < width + shift * (height - 1); ++wave) {
    const std::size_t first = wave < width ? 0 : (wave - width) / shift + 1;
    const std::size_t last = std::min(height - 1, wave / shift),
                      length = last + 1 - std::min(first, last + 1);
    const std::size_t count = length * place_.num_items;
    for (std::size_t done = 0; done < count;) {
      Group group;
      for (; group.count < kGroup && done < count; ++done) {
        const std::size_t row = first + done % length, column = wave - shift * row;
        const bool raster = place_.order == ContextOrder::kRaster;
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
  if (result.ok() && place_.latent_hat) hand_out(team);
  return result;
}

}  // namespace scalecodec
