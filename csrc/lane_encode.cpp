/// Encoding of lane chunks.
#include "lane_block.hpp"
#include "lane_step.hpp"

namespace scalecodec {

namespace {

constexpr std::size_t kMaxTail = 4096;

/// Words from the end of a buffer downwards; it grows by doubling.
class WordWriter {
 public:
  std::uint8_t* next() { return buffer_.data() + position_; }
  void moved_to(const std::uint8_t* next) { position_ = static_cast<std::size_t>(next - buffer_.data()); }
  const std::uint8_t* end() const { return buffer_.data() + buffer_.size(); }
  std::size_t num_bytes() const { return buffer_.size() - position_; }

  void reserve(std::size_t num_words) {
    const std::size_t wanted = num_words * kLaneWordBytes;
    if (position_ >= wanted) return;
    const std::size_t used = num_bytes();
    std::vector<std::uint8_t> larger(std::max(2 * buffer_.size(), used + wanted));
    std::copy(buffer_.end() - static_cast<std::ptrdiff_t>(used), buffer_.end(),
              larger.end() - static_cast<std::ptrdiff_t>(used));
    position_ = larger.size() - used;
    buffer_.swap(larger);
  }

 private:
  std::vector<std::uint8_t> buffer_;
  std::size_t position_ = 0;
};

/// A chunk while it is encoded, from its last symbol to its first.
class Chunk {
 public:
  Chunk(LaneEncodeJob& job, const LaneTable& table, const LaneKernels& kernels)
      : job_(job), head_(job.head), table_(table), kernels_(kernels) {
    head_.tail_end = tail_end_of(head_.place, job.range.size);
    head_.tail_size = 0;
  }

  bool ok() const { return job_.result.ok(); }
  bool in_lanes() const { return head_.num_lanes > 1; }
  std::size_t num_lanes() const { return head_.num_lanes; }
  std::size_t num_left() const { return left_; }
  LaneBlock& block() { return block_; }
  LaneEncodeRun& run() { return run_; }

  /// The tail, which fills the states that the lanes start from.
  bool start_lanes(TableSelector& selector) {
    std::uint32_t x = kLaneStateLow;
    std::vector<std::uint32_t> words;
    const std::size_t most_words = head_.num_lanes - 2;
    const std::size_t most = std::min(kMaxTail, head_.tail_end);
    bool full = false;
    for (std::size_t taken = 0; taken < most && !full;) {
      // Symbols nearer to the end come first; the hole is not there yet.
      const std::size_t count = std::min(std::size_t{64}, most - taken);
      if (!load(head_.tail_end - taken - count, count)) return false;
      select(selector);
      for (std::size_t i = count; i-- > 0;) {
        const LocatedStep at = locate_step(selector.view(), block_.indexes[i], block_.distances[i]);
        const bool put_out = must_put_out(x, at.step->freq);
        if ((full = put_out && words.size() == most_words)) break;
        if (put_out) {
          words.push_back(x & 0xffff);
          x >>= 16;
        }
        x = put_symbol(x, at);
        if (at.is_escape) put_escape(selector.view(), i, head_.tail_end - taken - count + i);
        ++head_tail_;
      }
      taken += count;
    }
    head_.tail_size = head_tail_;
    head_.tail_words = words.size();
    std::uint32_t seeds[kMaxLanes] = {x & 0xffff, x >> 16};
    std::copy(words.rbegin(), words.rend(), seeds + 2);
    for (std::size_t lane = 0; lane < head_.num_lanes; ++lane)
      head_.states[lane] = kLaneStateLow | seeds[lane];
    left_ = job_.range.size - head_.tail_size;
    return true;
  }

  /// The last, short turn: lanes from the last to the first.
  bool encode_short_turn(TableSelector& selector) {
    const std::size_t count = left_ % head_.num_lanes;
    if (!load(left_ - count, count)) return false;
    select(selector);
    words_.reserve(count);
    std::uint8_t* next = words_.next();
    for (std::size_t lane = count; lane-- > 0;) {
      std::uint32_t& x = head_.states[lane];
      next = put(selector.view(), lane, x, next);
    }
    words_.moved_to(next);
    left_ -= count;
    return true;
  }

  /// The block before those already coded; whole turns.
  bool load_turns() {
    const std::size_t turns = std::min(kLaneBlock, left_) / head_.num_lanes;
    const std::size_t count = turns * head_.num_lanes;
    if (!load(left_ - count, count)) return false;
    words_.reserve(count + kLaneRoom / kLaneWordBytes);
    run_ = {words_.next(),
            head_.states,
            block_.indexes + count,
            block_.distances + count,
            block_.indexes,
            escapes_,
            0,
            turns};
    return true;
  }

  void store_turns(const LaneView& view) {
    words_.moved_to(run_.next);
    for (std::size_t i = 0; i < run_.num_escapes; ++i)
      put_escape(view, run_.escapes[i], left_ - block_.count + run_.escapes[i]);
    left_ -= block_.count;
  }

  bool encode_one_lane(TableSelector& selector) {
    head_.states[0] = kLaneStateLow;
    for (left_ = job_.range.size; left_ > 0; left_ -= block_.count) {
      const std::size_t count = std::min(kLaneBlock, left_);
      if (!load(left_ - count, count)) return false;
      select(selector);
      words_.reserve(count);
      std::uint8_t* next = words_.next();
      for (std::size_t i = count; i-- > 0;) next = put(selector.view(), i, head_.states[0], next);
      words_.moved_to(next);
    }
    return true;
  }

  void finish() {
    head_.side_bytes = side_.size();
    std::vector<std::uint8_t>& out = job_.out;
    out.reserve(2 * kMaxLanes * 3 + words_.num_bytes() + side_.size());
    write_head(head_, out);
    out.insert(out.end(), words_.next(), const_cast<std::uint8_t*>(words_.end()));
    out.insert(out.end(), side_.begin(), side_.end());
  }

 private:
  /// Symbols [begin, begin + count) of the chunk without its tail, and their indexes in the table.
  bool load(std::size_t begin, std::size_t count) {
    block_.count = count;
    return for_pieces(
        job_.range, head_, begin, count, [&](std::size_t first, std::size_t size, std::size_t at) {
          job_.result =
              load_indexes(job_.indexes, first, size, table_.num_tables(), kernels_, block_.indexes + at);
          return job_.result.ok() && load_symbols(first, size, at);
        });
  }

  bool load_symbols(std::size_t first, std::size_t size, std::size_t at) {
    std::int32_t scratch[kLaneBlock];
    std::size_t fitting;
    const std::int32_t* symbols = job_.symbols.view(first, size, scratch, fitting);
    if (fitting != size) {
      job_.result = {Status::kSymbolRange, first + fitting};
      return false;
    }
    const std::uint16_t* indexes = table_.num_tables() == 1 ? nullptr : block_.indexes + at;
    kernels_.to_distances(symbols, size, indexes, table_.modes(), block_.distances + at);
    return true;
  }

  void select(TableSelector& selector) {
    std::uint16_t* const indexes = block_.indexes;
    selector.select(&indexes, &block_.count, 1);
  }

  std::uint8_t* put(const LaneView& view, std::size_t i, std::uint32_t& x, std::uint8_t* next) {
    const LocatedStep at = locate_step(view, block_.indexes[i], block_.distances[i]);
    if (must_put_out(x, at.step->freq)) {
      next -= kLaneWordBytes;
      store_lane_word(next, x);
      x >>= 16;
    }
    x = put_symbol(x, at);
    if (at.is_escape) put_escape(view, i, left_ - block_.count + i);
    return next;
  }

  /// Symbol `i` of the block, which stands at `place` of the chunk without its tail: its bytes, the last one
  /// first.
  void put_escape(const LaneView& view, std::size_t i, std::size_t place) {
    std::int32_t symbol = 0;
    for_pieces(job_.range, head_, place, 1, [&](std::size_t first, std::size_t, std::size_t) {
      return job_.symbols.load(first, 1, &symbol) == 1;
    });
    const LaneValues values = values_of(view, block_.indexes[i]);
    const std::int64_t code =
        symbol < values.first ? 2 * (values.first - symbol) - 1 : 2 * (symbol - values.end);
    const std::size_t begin = side_.size();
    write_varint(static_cast<std::uint64_t>(code) & 0x3ffffffff, side_);
    std::reverse(side_.begin() + static_cast<std::ptrdiff_t>(begin), side_.end());
  }

  LaneEncodeJob& job_;
  LaneHead& head_;
  const LaneTable& table_;
  const LaneKernels& kernels_;
  WordWriter words_;
  std::vector<std::uint8_t> side_;
  std::size_t left_ = 0;       // symbols still to code, not counting those of the tail
  std::size_t head_tail_ = 0;  // symbols of the tail so far
  LaneEncodeRun run_{};
  LaneBlock block_;
  std::uint16_t escapes_[kLaneBlock];
};

/// One block of each of these chunks, which have as many lanes; those that fail are left out of `chunks`, and
/// the others go on: what is reported must not depend on which chunks happened to go together. Returns how
/// many are left.
int encode_block(Chunk** chunks, int count, TableSelector& selector, const LaneKernels& kernels) {
  count = static_cast<int>(
      std::remove_if(chunks, chunks + count, [](Chunk* chunk) { return !chunk->load_turns(); }) - chunks);
  std::uint16_t* indexes[kMaxRuns];
  std::size_t sizes[kMaxRuns];
  LaneEncodeRun runs[kMaxRuns];
  for (int i = 0; i < count; ++i) {
    indexes[i] = chunks[i]->block().indexes;
    sizes[i] = chunks[i]->block().count;
    runs[i] = chunks[i]->run();
  }
  selector.select(indexes, sizes, count);
  // The chunks of a stream differ by a symbol at most, their blocks by a turn: that is left for one at a
  // time.
  if (count) kernels.encode(selector.view(), runs, count, chunks[0]->num_lanes());
  for (int i = 0; i < count; ++i) {
    if (runs[i].turns) kernels.encode(selector.view(), runs + i, 1, chunks[i]->num_lanes());
    chunks[i]->run() = runs[i];
    chunks[i]->store_turns(selector.view());
  }
  return count;
}

bool encode_rest(Chunk& chunk, TableSelector& selector, const LaneKernels& kernels) {
  if (!chunk.in_lanes()) return chunk.encode_one_lane(selector);
  Chunk* alone = &chunk;
  while (chunk.num_left() > 0)
    if (encode_block(&alone, 1, selector, kernels) == 0) return false;
  return true;
}

bool start(Chunk& chunk, TableSelector& selector) {
  return !chunk.in_lanes() || (chunk.start_lanes(selector) && chunk.encode_short_turn(selector));
}

}  // namespace

void encode_chunks(LaneEncodeJob* jobs, int count, const LaneTable& table, const LaneKernels& kernels) {
  TableSelector selector(table);
  std::vector<Chunk> chunks;
  chunks.reserve(static_cast<std::size_t>(count));
  Chunk* in_turns[kMaxRuns];
  int num_in_turns = 0;
  for (int i = 0; i < count; ++i) {
    chunks.emplace_back(jobs[i], table, kernels);
    if (start(chunks.back(), selector) && chunks.back().num_lanes() == kMaxLanes)
      in_turns[num_in_turns++] = &chunks.back();
  }
  const auto ready = [](const Chunk* chunk) { return chunk->num_left() > 0; };
  while (num_in_turns > 1 && std::all_of(in_turns, in_turns + num_in_turns, ready))
    num_in_turns = encode_block(in_turns, num_in_turns, selector, kernels);
  for (Chunk& chunk : chunks)
    if (chunk.ok() && encode_rest(chunk, selector, kernels)) chunk.finish();
}

}  // namespace scalecodec
