/// The rans64 stream: byte-identical to CompressAI's coder (FORMAT.md, section 2), checked at every step.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cdf.hpp"
#include "integers.hpp"
#include "rans.hpp"
#include "status.hpp"

namespace scalecodec {

/// Writes one stream. It runs backwards: the last symbols of the stream go in first.
class Rans64Encoder {
 public:
  /// Code all of `symbols`, last first, each with its table. Symbols given here decode before those of
  /// earlier calls. Requires: both sources of one size. On failure (range, memory) the encoder must not be
  /// used further.
  Result encode_reverse(const IntegerSource& symbols, const IntegerSource& indexes, const CdfTable& table);

  /// The same with a table a symbol, in their order: nothing is prepared for a single use. Requires: as many
  /// tables as symbols, all checked.
  Result encode_reverse(const IntegerSource& symbols, const RowsView& tables);

  /// Flush the state; the stream is `bytes()` from then on. Call once.
  Result finish();

  const std::uint8_t* bytes() const { return buffer_.data() + position_; }
  std::size_t num_bytes() const { return buffer_.size() - position_; }

 private:
  Status reserve(std::size_t num_words);
  template <class Put>
  Result encode_blocks(const IntegerSource& symbols, Put&& put);
  void put_block(const std::int32_t* symbols, const std::int32_t* indexes, std::size_t count,
                 const CdfTable& table);

  std::vector<std::uint8_t> buffer_;  // filled from its end
  std::size_t position_ = 0;
  State state_ = kStateLow;
};

/// Reads one stream, in order, over any number of calls. Holds a view: the bytes must outlive it.
class Rans64Decoder {
 public:
  Result start(const std::uint8_t* bytes, std::size_t num_bytes);

  /// Decode one symbol for every index. On failure the output's content is unspecified and decoding must not
  /// go on.
  Result decode(const IntegerSource& indexes, const CdfTable& table, const IntegerSink& out);

  /// The same with a table a symbol. Requires: as many tables as `out` has room for, all checked.
  Result decode(const RowsView& tables, const IntegerSink& out);

  /// The free integrity check: all words read, and the state back where the encoder began.
  Result finish() const;

 private:
  Status get_block(const std::int32_t* indexes, std::size_t count, const CdfTable& table,
                   std::int32_t* symbols, std::size_t& done);
  Status get_one(const std::int32_t* cdf, const SymbolRange& range, std::int32_t& symbol);
  Status get_escape(const SymbolRange& range, std::int32_t& symbol);

  const std::uint8_t* next_ = nullptr;
  const std::uint8_t* end_ = nullptr;
  State state_ = 0;
};

}  // namespace scalecodec
