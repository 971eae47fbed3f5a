/// Decoding of lane chunks.
#include <cstring>

#include "lane_block.hpp"
#include "lane_step.hpp"

namespace scalecodec {

namespace {

/// Escaped values, read backwards from the end of a chunk down to `begin`.
struct SideReader {
  const std::uint8_t* begin;
  const std::uint8_t* next;  // one beyond the next byte

  bool read(std::uint64_t& value) {
    value = 0;
    for (int shift = 0; shift < 35 && next != begin; shift += 7) {
      const std::uint8_t byte = *--next;
      value |= std::uint64_t{byte & 127u} << shift;
      if (!(byte & 128)) return byte != 0 || shift == 0;
    }
    return false;
  }
};

/// Words, moved to a padded copy near their end so that kernels may read ahead.
struct WordReader {
  const std::uint8_t* end;
  const std::uint8_t* next;
  std::uint8_t padded[3 * kLaneRoom] = {};
  std::size_t copied = 0;  // bytes before `end` that are read from the copy
  bool is_copied = false;

  /// The last place from where kLaneRoom bytes can be read, not before `next`; null where words have run out.
  const std::uint8_t* limit() {
    if (!is_copied && static_cast<std::size_t>(end - next) < kLaneRoom) {
      copied = static_cast<std::size_t>(end - next);
      std::copy(next, end, padded);
      next = padded;
      is_copied = true;
    }
    if (!is_copied) return end - kLaneRoom;
    return next <= padded + copied ? padded + copied : nullptr;
  }

  std::size_t bytes_left() const {
    return is_copied ? copied - static_cast<std::size_t>(next - padded)
                     : static_cast<std::size_t>(end - next);
  }
};

/// One state on its own words: a chunk of one lane, or a tail.
struct SingleDecoder {
  std::uint32_t x;
  const std::uint8_t* next;
  const std::uint8_t* end;

  /// Returns the number of symbols before the one for which a word is missing.
  std::size_t decode(const LaneView& view, LaneBlock& block) {
    for (std::size_t i = 0; i < block.count; ++i) {
      block.distances[i] = static_cast<std::int16_t>(guess_symbol(view, block.indexes[i], x));
      if (x >= kLaneStateLow) continue;
      if (next == end) return i;
      x = x << 16 | load_lane_word(next);
      next += kLaneWordBytes;
    }
    return block.count;
  }

  bool is_done() const { return next == end && x == kLaneStateLow; }
};

/// A chunk while it is decoded.
class Chunk {
 public:
  Chunk(LaneDecodeJob& job, const LaneTable& table, const LaneKernels& kernels)
      : job_(job), table_(table), kernels_(kernels) {}

  bool start() {
    const std::uint8_t* next = job_.bytes;
    const std::uint8_t* end = job_.bytes + job_.num_bytes;
    if (!read_head(next, end, job_.range.size, head_)) return fail(Status::kStreamHead, 0);
    side_ = {head_.num_lanes == 1 ? end - head_.side_bytes : next, end};
    words_.next = next;
    words_.end = head_.num_lanes == 1 ? side_.begin : end;
    return true;
  }

  bool ok() const { return job_.result.ok(); }
  bool in_lanes() const { return head_.num_lanes > 1; }
  std::size_t num_lanes() const { return head_.num_lanes; }
  std::size_t num_left() const { return job_.range.size - head_.tail_size - done_; }
  LaneBlock& block() { return block_; }
  LaneDecodeRun& run() { return run_; }

  /// The next block of whole turns; its indexes are the table's.
  bool load_turns() {
    const std::size_t turns = std::min(kLaneBlock, num_left()) / head_.num_lanes;
    if (!load(turns * head_.num_lanes)) return false;
    run_ = {words_.next, nullptr, head_.states, block_.indexes, block_.distances, turns};
    return true;
  }

  /// Before each call of a kernel.
  bool make_room() {
    words_.next = run_.next;
    run_.limit = words_.limit();
    run_.next = words_.next;
    return run_.limit != nullptr || fail(Status::kStreamShort, done_);
  }

  bool store_turns(const LaneView& view) {
    words_.next = run_.next;
    return store(view);
  }

  /// The symbols of a last, short turn, one state each.
  bool decode_short_turn(TableSelector& selector) {
    if (!load(num_left())) return false;
    select(selector);
    for (std::size_t lane = 0; lane < block_.count; ++lane) {
      std::uint32_t& x = head_.states[lane];
      block_.distances[lane] =
          static_cast<std::int16_t>(take_symbol(selector.view(), block_.indexes[lane], x));
      if (x >= kLaneStateLow) continue;
      if (words_.limit() == nullptr) return fail(Status::kStreamShort, done_ + lane);
      x = x << 16 | load_lane_word(words_.next);
      words_.next += kLaneWordBytes;
    }
    return store(selector.view());
  }

  /// The tail, and that both readers stand where they must.
  bool finish_lanes(TableSelector& selector) {
    std::uint8_t seeds[kMaxLanes * kLaneWordBytes];
    for (std::size_t lane = 0; lane < head_.num_lanes; ++lane) {
      const std::uint32_t seed = head_.states[lane] - kLaneStateLow;
      if (seed >> 16) return fail(Status::kStreamEnd, 0);
      if (lane >= head_.tail_words + 2 && seed) return fail(Status::kStreamEnd, 0);
      store_lane_word(seeds + lane * kLaneWordBytes, seed);
    }
    const std::uint8_t* words = seeds + 2 * kLaneWordBytes;
    SingleDecoder single{load_lane_word(seeds) | load_lane_word(seeds + kLaneWordBytes) << 16, words,
                         words + head_.tail_words * kLaneWordBytes};
    if (single.x < kLaneStateLow) return fail(Status::kStreamEnd, 0);
    if (words_.next > (words_.is_copied ? words_.padded + words_.copied : words_.end))
      return fail(Status::kStreamShort, job_.range.size);
    // From here on `store` takes places in the chunk as they are: the tail closes its own hole.
    const LaneRange tail{head_.tail_end - head_.tail_size, head_.tail_size};
    head_.tail_size = 0;
    if (!decode_single(single, tail, selector)) return false;
    const std::size_t words_left = words_.bytes_left();
    const std::size_t side_left = static_cast<std::size_t>(job_.bytes + job_.num_bytes - side_.next);
    if (words_left != side_left)
      return fail(words_left < side_left ? Status::kStreamShort : Status::kStreamLong, 0);
    return single.is_done() || fail(Status::kStreamEnd, 0);
  }

  bool decode_one_lane(TableSelector& selector) {
    SingleDecoder single{head_.states[0], words_.next, words_.end};
    if (!decode_single(single, {0, job_.range.size}, selector)) return false;
    if (single.next != single.end)
      return fail(Status::kStreamLong, static_cast<std::size_t>(single.end - single.next));
    if (side_.next != side_.begin)
      return fail(Status::kStreamLong, static_cast<std::size_t>(side_.next - side_.begin));
    return single.is_done() || fail(Status::kStreamEnd, 0);
  }

 private:
  bool fail(Status status, std::size_t where) {
    job_.result = {status, where};
    return false;
  }

  bool load(std::size_t count) {
    block_.count = count;
    return for_pieces(
        job_.range, head_, done_, count, [&](std::size_t first, std::size_t size, std::size_t at) {
          job_.result =
              load_indexes(job_.indexes, first, size, table_.num_tables(), kernels_, block_.indexes + at);
          return job_.result.ok();
        });
  }

  void select(TableSelector& selector) {
    std::uint16_t* const indexes = block_.indexes;
    selector.select(&indexes, &block_.count, 1);
  }

  /// Symbols [part.first, part.first + part.size) of the chunk, which has no hole by now.
  bool decode_single(SingleDecoder& single, const LaneRange& part, TableSelector& selector) {
    const std::size_t end = part.first + part.size;
    for (done_ = part.first; done_ < end;) {
      if (!load(std::min(kLaneBlock, end - done_))) return false;
      select(selector);
      const std::size_t decoded = single.decode(selector.view(), block_);
      if (decoded != block_.count) return fail(Status::kStreamShort, done_ + decoded);
      if (!store(selector.view())) return false;
    }
    return true;
  }

  /// Write the block's symbols where they belong, and go on behind it.
  bool store(const LaneView& view) {
    const bool stored = for_pieces(
        job_.range, head_, done_, block_.count, [&](std::size_t first, std::size_t size, std::size_t at) {
          std::int32_t scratch[kLaneBlock];
          std::int32_t* symbols = job_.out.target(first, scratch);
          if (!to_symbols(view, first, size, at, symbols)) return false;
          const std::size_t num_stored = job_.out.store(first, size, symbols);
          return num_stored == size || fail(Status::kOutputRange, first + num_stored);
        });
    done_ += block_.count;
    return stored;
  }

  bool to_symbols(const LaneView& view, std::size_t first, std::size_t size, std::size_t at,
                  std::int32_t* symbols) {
    const std::int16_t* distances = block_.distances + at;
    const std::uint16_t* indexes = block_.indexes + at;
    const std::int32_t* modes = table_.modes_are_zero() ? nullptr : view.modes;
    const bool at_one = view.only && modes;
    const WidenResult met = kernels_.to_symbols(distances, size, at_one ? nullptr : indexes,
                                                at_one ? modes + indexes[0] : modes, symbols);
    for (std::size_t i = 0; i < size && (met.has_escapes || met.overflows); ++i) {
      const bool good = distances[i] == kEscapeDistance
                            ? escaped(view, indexes[i], symbols[i])
                            : !met.overflows || is_int32(std::int64_t{view.modes[indexes[i]]} + distances[i]);
      if (!good) return fail(Status::kStreamEscape, first + i);
    }
    return true;
  }

  bool escaped(const LaneView& view, std::size_t index, std::int32_t& symbol) {
    std::uint64_t code;
    if (!side_.read(code)) return false;
    const LaneValues values = values_of(view, index);
    const std::int64_t half = static_cast<std::int64_t>(code >> 1);
    const std::int64_t value = code & 1 ? values.first - half - 1 : values.end + half;
    symbol = static_cast<std::int32_t>(value);
    return is_int32(value);
  }

  LaneDecodeJob& job_;
  const LaneTable& table_;
  const LaneKernels& kernels_;
  LaneHead head_;
  WordReader words_{};
  SideReader side_{};
  std::size_t done_ = 0;  // symbols, not counting those of the tail
  LaneDecodeRun run_{};
  LaneBlock block_;
};

/// Chunks that go in turns. One that fails drops out, and the others go on: what is reported of a stream must
/// not depend on which chunks happened to go together.
struct Group {
  Chunk* chunks[kMaxRuns];
  int count = 0;

  void add(Chunk* chunk) { chunks[count++] = chunk; }

  /// Keep those for which `action` is true.
  template <class Action>
  void keep_if(Action&& action) {
    count = static_cast<int>(
        std::remove_if(chunks, chunks + count, [&](Chunk* chunk) { return !action(*chunk); }) - chunks);
  }
};

/// One block of each of these chunks, which have as many lanes.
void decode_block(Group& group, TableSelector& selector, const LaneKernels& kernels) {
  group.keep_if([](Chunk& chunk) { return chunk.load_turns(); });
  std::uint16_t* indexes[kMaxRuns];
  std::size_t sizes[kMaxRuns];
  for (int i = 0; i < group.count; ++i) {
    indexes[i] = group.chunks[i]->block().indexes;
    sizes[i] = group.chunks[i]->block().count;
  }
  selector.select(indexes, sizes, group.count);
  for (;;) {
    group.keep_if([](Chunk& chunk) { return chunk.run().turns == 0 || chunk.make_room(); });
    Group busy = group;
    busy.keep_if([](Chunk& chunk) { return chunk.run().turns > 0; });
    if (busy.count == 0) break;
    LaneDecodeRun runs[kMaxRuns];
    for (int i = 0; i < busy.count; ++i) runs[i] = busy.chunks[i]->run();
    kernels.decode(selector.view(), runs, busy.count, busy.chunks[0]->num_lanes());
    for (int i = 0; i < busy.count; ++i) busy.chunks[i]->run() = runs[i];
  }
  group.keep_if([&](Chunk& chunk) { return chunk.store_turns(selector.view()); });
}

void decode_rest(Chunk& chunk, TableSelector& selector, const LaneKernels& kernels) {
  if (!chunk.in_lanes()) {
    chunk.decode_one_lane(selector);
    return;
  }
  Group alone;
  alone.add(&chunk);
  while (alone.count && chunk.num_left() >= chunk.num_lanes()) decode_block(alone, selector, kernels);
  if (alone.count == 0 || (chunk.num_left() && !chunk.decode_short_turn(selector))) return;
  chunk.finish_lanes(selector);
}

}  // namespace

void decode_chunks(LaneDecodeJob* jobs, int count, const LaneTable& table, const LaneKernels& kernels) {
  TableSelector selector(table);
  std::vector<Chunk> chunks;
  chunks.reserve(static_cast<std::size_t>(count));
  Group group;
  for (int i = 0; i < count; ++i) {
    chunks.emplace_back(jobs[i], table, kernels);
    if (chunks.back().start() && chunks.back().num_lanes() == kMaxLanes) group.add(&chunks.back());
  }
  const auto ready = [](const Chunk* chunk) { return chunk->num_left() >= kMaxLanes; };
  while (group.count > 1 && std::all_of(group.chunks, group.chunks + group.count, ready))
    decode_block(group, selector, kernels);
  for (Chunk& chunk : chunks)
    if (chunk.ok()) decode_rest(chunk, selector, kernels);
}

}  // namespace scalecodec
