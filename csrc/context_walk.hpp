/// The network at groups of positions, and the two ways to walk over all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "context.hpp"
#include "team.hpp"

namespace scalecodec {

/// So many at a time: their inputs stay in L2 beside the weights of a panel.
constexpr std::size_t kGroup = 64;

struct Position {
  std::size_t item, row, column;
  std::size_t ordinal;  // its place in the stream
};

/// Positions that do not wait for one another, items outermost and each item's in the order of its stream.
struct Group {
  std::size_t count = 0;
  Position positions[kGroup];
  const float* distributions[kGroup];  // scales, then means
  float* latents[kGroup];              // decoded, channels innermost: to be filled
};

/// What stands between distributions and latents: an encoder or a decoder, of one kind of stream or another.
class ContextCoder {
 public:
  virtual ~ContextCoder() = default;
  /// Once, before the first group.
  virtual void begin(Team&) {}
  virtual Result settle(const Group& group) = 0;
};

/// `to` [num_places, num_channels] from `from` [num_channels, num_places], for channels [first, last):
/// channel c goes to `channel_places[c]`, or to c where that is null.
void to_channels_last(const float* from, std::size_t num_places, std::size_t num_channels, std::size_t first,
                      std::size_t last, const std::uint32_t* channel_places, float* to);

/// The buffers of one call, and the network over them.
class ContextWalk {
 public:
  ContextWalk(const ContextPlace& place, const ContextKernels& kernels, bool by_rows,
              std::size_t num_threads);

  /// Settle all positions. By rows if the decoder has to, else by wavefronts.
  Result run(Team& team, ContextCoder& coder);

 private:
  Result run_rows(Team& team, ContextCoder& coder);
  Result run_waves(Team& team, ContextCoder& coder);
  /// Everything that does not wait for the row's own latents: the taps above, and params in the first layer.
  void prepare(Team& team, const Group& group, const std::size_t* slots);
  /// The rest.
  void finish(Team& team, Group& group, const std::size_t* slots);
  /// The last layer's outputs as the group's distributions.
  void hand_over(Group& group, const float* const* outputs);
  void add(Group& group, const Position& position);
  void gather_params(Team& team);
  void hand_out(Team& team);
  float* latent_at(const Position& position, std::size_t row, std::size_t column);
  /// What one member of the team runs of a part, for positions that keep a layer's slots at `kept`.
  void run_part(const ContextNetwork::Block& block, const ContextNetwork::Part& part, const Program& program,
                const float* const* inputs, float* const* kept, const Finish* finish, std::size_t count,
                std::size_t member, std::size_t num_members);

  const ContextPlace& place_;
  const ContextKernels& kernels_;
  const ContextNetwork& network_;
  const bool by_rows_;
  const std::size_t pad_, padded_width_, padded_size_;  // of an item's latents, in positions
  std::vector<float> params_;                           // [item, row, column, param_places of channel]
  std::vector<float>
      latents_;  // [item, row, column, channel], between `pad` columns of zeros and under as many rows
  std::vector<Program> above_,
      left_;  // by blocks of the convolution: the rows above, and the taps to the left
  std::vector<float> context_,
      hidden_;  // kept slots of the convolution and the first layer, a position's together
  std::vector<std::vector<float>>
      outputs_;                       // of the convolution and each layer: one place a position of a group
  std::vector<float> distributions_;  // likewise
  std::vector<float> shift_;          // of the convolution's outputs; empty: none
  std::vector<float> scratch_;        // by threads
};

}  // namespace scalecodec
