// What the kernel sets of integer networks share, included where each is compiled: no functions, no
// namespaces of its own. `Sums<blocks, positions>` is the set's: int32 sums in registers, with `clear`,
// `add(weights, stride, inputs, stride)` of one pair, and `spill(to)`, which adds them to int64; and
// `kBlocksAtOnce`.

/// Sums of one tile; a whole tile's in one go where int32 holds it, else group by group.
template <std::size_t kBlocks, std::size_t kPositions>
void add_up(const IntegerTile& tile, std::int64_t* totals) {
  constexpr std::size_t kStep = 2 * kIntegerLanes;
  std::fill_n(totals, kBlocks * kPositions * kIntegerLanes, 0);
  const bool whole = tile.num_rows * tile.num_pairs <= tile.group;
  Sums<kBlocks, kPositions> sums;
  sums.clear();
  for (std::size_t row = 0; row < tile.num_rows; ++row) {
    const std::int16_t* inputs = tile.inputs + row * tile.row_stride;
    const std::int16_t* weights = tile.weights + row * tile.num_pairs * kStep;
    for (std::size_t first = 0; first < tile.num_pairs; first += tile.group) {
      const std::size_t last = std::min(tile.num_pairs, first + tile.group);
      for (std::size_t pair = first; pair < last; ++pair)
        sums.add(weights + pair * kStep, tile.block_stride, inputs + 2 * pair, tile.position_stride);
      if (whole) continue;
      sums.spill(totals);
      sums.clear();
    }
  }
  if (whole) sums.spill(totals);
}

void rescale(const Rescale& to, const std::int64_t* totals, std::size_t count, std::int32_t* values) {
  for (std::size_t i = 0; i < count; ++i) {
    const std::int64_t sum = totals[i] + to.bias[i];
    const std::int64_t scaled = sum * (sum < 0 ? to.negative[i] : to.multiplier[i]) + to.half[i];
    const std::int64_t value = scaled >> to.shift[i];
    values[i] =
        static_cast<std::int32_t>(std::min<std::int64_t>(std::max<std::int64_t>(value, to.low), to.high));
  }
}

template <std::size_t kBlocks, std::size_t kPositions>
void run_part(const IntegerTile& tile, std::int32_t* values) {
  constexpr std::size_t kOutputs = kBlocks * kIntegerLanes;
  std::int64_t totals[kPositions * kOutputs];
  add_up<kBlocks, kPositions>(tile, totals);
  for (std::size_t position = 0; position < kPositions; ++position)
    rescale(tile.rescale, totals + position * kOutputs, kOutputs,
            values + position * tile.num_blocks * kIntegerLanes);
}

using Part = void (*)(const IntegerTile& tile, std::int32_t* values);

template <std::size_t kBlocks>
Part part_of(std::size_t num_positions) {
  static constexpr Part kBy[kIntegerPositions] = {run_part<kBlocks, 1>, run_part<kBlocks, 2>,
                                                  run_part<kBlocks, 3>, run_part<kBlocks, 4>,
                                                  run_part<kBlocks, 5>, run_part<kBlocks, 6>};
  return kBy[num_positions - 1];
}

/// Part by part, of as many blocks as the set's registers hold.
void run_tile(const IntegerTile& tile, std::int32_t* values) {
  static_assert(kIntegerBlocks % kBlocksAtOnce == 0);
  std::size_t block = 0;
  const auto run = [&](Part part, std::size_t count) {
    IntegerTile rest = tile;
    rest.weights += block * tile.block_stride;
    const std::size_t first = block * kIntegerLanes;
    const Rescale& all = tile.rescale;
    rest.rescale = {all.bias + first, all.multiplier + first, all.negative + first,
                    all.half + first, all.shift + first,      all.low,
                    all.high};
    part(rest, values + first);
    block += count;
  };
  while (block + kBlocksAtOnce <= tile.num_blocks)
    run(part_of<kBlocksAtOnce>(tile.num_positions), kBlocksAtOnce);
  while (block < tile.num_blocks) run(part_of<1>(tile.num_positions), 1);
}

/// Some at a time: all comparisons of a block with one threshold are one vector loop.
void count_beyond(const std::int32_t* values, std::size_t size, const std::int32_t* thresholds,
                  std::size_t num_thresholds, std::uint8_t* counts) {
  constexpr std::size_t kBlock = 64;
  for (std::size_t first = 0; first < size; first += kBlock) {
    std::int32_t block[kBlock] = {}, beyond[kBlock] = {};
    const std::size_t count = std::min(kBlock, size - first);
    std::copy(values + first, values + first + count, block);
    for (std::size_t t = 0; t < num_thresholds; ++t)
      for (std::size_t i = 0; i < kBlock; ++i) beyond[i] += block[i] > thresholds[t];
    for (std::size_t i = 0; i < count; ++i) counts[first + i] = static_cast<std::uint8_t>(beyond[i]);
  }
}
