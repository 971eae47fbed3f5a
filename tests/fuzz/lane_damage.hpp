/// A lane stream and what edits make of it: fields of heads, states, words, the directory, bytes anywhere,
/// indexes.
#pragma once

#include "lane_cases.hpp"
#include "lane_step.hpp"

namespace fuzz {

constexpr std::size_t kEditBytes = 4, kMaxEdits = 40, kMaxPieces = 40, kMaxIndexes = 40000;

/// A case and its stream.
struct Base {
  Case made;
  TypedBlock indexes;
  std::vector<Piece> pieces;

  explicit Base(Reader reader) : made(reader), indexes(made.index_type, made.indexes) {
    if (!made.is_raw) made.is_ours ? encode_ours() : encode_as_told();
  }

 private:
  void encode_as_told() {
    std::vector<LaneEncodeJob> jobs =
        encode_jobs(made, {made.symbols.data(), IntegerType::kInt32, made.symbols.size()},
                    {made.indexes.data(), IntegerType::kInt32, made.indexes.size()});
    encode_all(jobs, made.set->lanes(), *kernel_sets().back().lanes);
    for (const LaneEncodeJob& job : jobs) {
      require(job.result.ok(), "what can be encoded is");
      pieces.push_back(cut_head(job.out, job.range.size));
    }
  }

  void encode_ours() {
    LaneEncodeTask task{{made.symbols.data(), IntegerType::kInt32, made.symbols.size()},
                        {made.indexes.data(), IntegerType::kInt32, made.indexes.size()},
                        {},
                        {}};
    lanes_encode(&task, 1, made.set->lanes(), *kernel_sets().back().lanes, 1);
    require(task.result.ok(), "what can be encoded is");
    const std::uint8_t* next = task.out.data();
    const std::uint8_t* const end = next + task.out.size();
    std::vector<std::uint64_t> lengths(1);
    if (*next == kManyChunks) {
      require(read_varint(++next, end, lengths[0]), "an encoder's directory is read");
      lengths.resize(static_cast<std::size_t>(lengths[0]));
      for (std::size_t i = 0; i + 1 < lengths.size(); ++i)
        require(read_varint(next, end, lengths[i]), "an encoder's directory is read");
    }
    for (std::size_t i = 0; i < lengths.size(); ++i) {
      const std::uint8_t* chunk_end = i + 1 < lengths.size() ? next + lengths[i] : end;
      pieces.push_back(
          cut_head(Input(next, chunk_end), chunk_range(i, lengths.size(), made.symbols.size()).size));
      next = chunk_end;
    }
  }
};

/// Four bytes of an input.
struct Edit {
  std::uint32_t kind, sort, where, value;

  explicit Edit(Reader& reader) {
    const std::uint32_t byte = reader.byte();
    kind = byte % 8;
    sort = byte / 8;
    where = reader.half();
    value = reader.byte();
  }
  int signed_value() const { return static_cast<std::int8_t>(value); }
  std::size_t place_in(std::size_t size) const { return size ? where % size : 0; }
};

/// A state of the kinds that matter: edges, and anything.
inline std::uint32_t some_state(std::uint32_t seed) {
  constexpr std::uint32_t kEdges[] = {kLaneStateLow,     kLaneStateLow + 1, 2 * kLaneStateLow - 1,
                                      2 * kLaneStateLow, (1u << 24) - 1,    1u << 24,
                                      (1u << 31) - 1,    1u << 31,          0xffffffff};
  const std::uint32_t state =
      seed % 4 ? static_cast<std::uint32_t>(Random{seed}.bits()) : kEdges[seed / 4 % std::size(kEdges)];
  return std::max(state, kLaneStateLow);
}

/// One field, whatever it does to the others.
inline void edit_head(Piece& piece, std::size_t num_symbols, const Edit& edit) {
  constexpr std::size_t kLanes[] = {1, 4, 8, 32};
  LaneHead head;
  const std::uint8_t* next = piece.head.data();
  if (!read_head(next, next + piece.head.size(), num_symbols, head) && head.states[0] == 0) return;
  switch (edit.sort % 8) {
    case 0:
      head.num_lanes = kLanes[edit.value % 4];
      head.side_bytes = head.num_lanes == 1 ? edit.where % 64 : 0;
      break;
    case 1:
      head.place = static_cast<int>(edit.value);
      break;
    case 2:
      head.tail_size = (head.tail_size + static_cast<std::size_t>(edit.signed_value())) & 0xffff;
      break;
    case 3:
      head.tail_size = edit.where;
      break;
    case 4:
      head.tail_words = edit.value % 32;
      break;
    case 5:
      head.states[edit.where % head.num_lanes] = some_state(edit.value);
      break;
    case 6:
      head.side_bytes = (head.side_bytes + static_cast<std::size_t>(edit.signed_value())) & 0xffff;
      break;
    default:
      for (std::size_t lane = 0; lane < kMaxLanes; ++lane)
        head.states[lane] = some_state(edit.where + static_cast<std::uint32_t>(lane));
  }
  for (std::uint32_t& state : head.states) state = std::max(state, kLaneStateLow);
  piece.head.clear();
  write_head(head, piece.head);
}

/// A chunk of a tail only, whose states hold next to nothing.
inline void empty_lanes(Piece& piece, std::size_t num_symbols, const Edit& edit) {
  constexpr std::size_t kLanes[] = {4, 8, 32};
  LaneHead head;
  head.num_lanes = kLanes[edit.value % 3];
  head.tail_words = edit.value / 3 % 3;
  head.tail_size = num_symbols;
  for (std::uint32_t& state : head.states) state = kLaneStateLow;
  ++head.states[edit.where % (head.tail_words + 2)];
  piece = {};
  write_head(head, piece.head);
}

inline void edit_body(Piece& piece, const Edit& edit) {
  Input& body = piece.body;
  const std::size_t at = edit.place_in(body.size());
  const std::size_t count = std::min<std::size_t>(body.size() - at, 2 + edit.value % 64);
  const auto from = body.begin() + static_cast<std::ptrdiff_t>(at);
  const auto to = from + static_cast<std::ptrdiff_t>(count);
  Random random{edit.where};
  switch (edit.sort % 6) {
    case 0:
      std::fill(from, to, static_cast<std::uint8_t>(edit.value % 2 ? 255 : 0));
      break;
    case 1:
      std::generate(from, body.end(), [&] { return static_cast<std::uint8_t>(random.bits()); });
      break;
    case 2:
      if (count >= 2) body.erase(from, from + 2);
      break;
    case 3:
      body.insert(from, 2, static_cast<std::uint8_t>(edit.value));
      break;
    case 4:
      if (count > 2) std::rotate(from, from + 2, to);
      break;
    default:
      append_random(random, 1 + edit.value % 16, body);
  }
}

/// What the edits of an input make of its base.
struct Damaged {
  std::vector<Piece> pieces;
  std::vector<int> lies;
  Input bytes;
  std::size_t num_indexes;
  std::unique_ptr<TypedBlock> indexes;  // null if they are the base's
  std::size_t num_tasks = 1, task = 0;  // the damaged one among several

  Damaged(const Base& base, Reader reader);

 private:
  void edit_chunks(const Edit& edit);
  void edit_bytes(const Edit& edit);
};

inline void Damaged::edit_chunks(const Edit& edit) {
  const std::size_t at = edit.where / 256 % pieces.size(), other = edit.value % pieces.size();
  const std::size_t num_symbols = chunk_range(at, pieces.size(), num_indexes).size;
  if (edit.kind <= 1) return edit_head(pieces[at], num_symbols, edit);
  if (edit.kind == 2) return edit_body(pieces[at], edit);
  switch (edit.sort % 8) {
    case 0:
      std::swap(pieces[at], pieces[other]);
      break;
    case 1:
      std::swap(pieces[at].body, pieces[other].body);
      break;
    case 2:
      if (pieces.size() > 1) pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(at));
      break;
    case 3:
      empty_lanes(pieces[at], num_symbols, edit);
      break;
    case 4:
      pieces.insert(pieces.end(),
                    std::min<std::size_t>(edit.value % 32, kMaxPieces - std::min(kMaxPieces, pieces.size())),
                    Piece(pieces[at]));
      lies.resize(pieces.size());
      break;
    default:
      lies[at] += edit.signed_value();
  }
}

inline void Damaged::edit_bytes(const Edit& edit) {
  if (bytes.empty()) return;
  // Every fourth one is among the last bytes, every fourth one among the first.
  const std::size_t place = edit.place_in(std::min<std::size_t>(bytes.size(), edit.sort & 2 ? 24 : 65536));
  const std::size_t at = edit.sort & 1 ? bytes.size() - 1 - place : place;
  const auto here = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  switch (edit.sort / 4) {
    case 0:
      *here = static_cast<std::uint8_t>(edit.value);
      break;
    case 1:
      bytes.resize(at);
      break;
    case 2:
      bytes.insert(here, static_cast<std::uint8_t>(edit.value));
      break;
    case 3:
      bytes.erase(here);
      break;
    default:
      *here ^= static_cast<std::uint8_t>(1u << edit.value % 8);
  }
}

/// More or fewer indexes than there are symbols, others, hostile ones.
inline void edit_indexes(const Edit& edit, std::size_t num_tables, std::vector<std::int32_t>& indexes) {
  const std::int32_t hostile[] = {-1, static_cast<std::int32_t>(num_tables), 65536,
                                  std::numeric_limits<std::int32_t>::min()};
  const std::size_t size = indexes.size(), change = edit.value % 40;
  std::int32_t* const at = indexes.data() + edit.place_in(size);
  switch (edit.sort % 4) {
    case 0:
      indexes.resize(std::min(size + change, kMaxIndexes));
      break;
    case 1:
      indexes.resize(size - std::min(size, change));
      break;
    case 2:
      if (size) *at = static_cast<std::int32_t>(edit.value % num_tables);
      break;
    default:
      if (size) *at = hostile[edit.value % 4];
  }
}

inline Damaged::Damaged(const Base& base, Reader reader)
    : pieces(base.pieces), lies(pieces.size()), num_indexes(base.indexes.size) {
  if (base.made.is_raw) {
    bytes.assign(reader.next, reader.end);
    return;
  }
  std::vector<Edit> later;
  for (std::size_t i = 0; i < kMaxEdits && !reader.is_done(); ++i) {
    const Edit edit(reader);
    edit.kind <= 3 ? edit_chunks(edit) : later.push_back(edit);
  }
  bytes = join(pieces, lies);
  std::vector<std::int32_t> changed;
  for (const Edit& edit : later) {
    if (edit.kind <= 5) edit_bytes(edit);
    if (edit.kind == 6 && edit.sort < 8) {
      if (changed.empty()) changed = base.made.indexes;
      edit_indexes(edit, base.made.set->size(), changed);
      indexes = std::make_unique<TypedBlock>(base.made.index_type, changed);
      num_indexes = changed.size();
    }
    if (edit.kind == 7 && edit.sort == 0) num_tasks = 1 + edit.value % 6, task = edit.where % num_tasks;
  }
}

}  // namespace fuzz
