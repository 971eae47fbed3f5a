/// Integer arrays of any width, in blocks: int32 is used in place, and nothing is ever converted whole.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace scalecodec {

enum class IntegerType : std::uint8_t { kInt8, kInt16, kInt32, kInt64, kUint8, kUint16, kUint32, kUint64 };

constexpr std::size_t kBlock = 512;  // elements converted at a time: 2 KiB of stack, in L1

/// Calls `action` with a null pointer of the type's element, as a compile-time tag.
template <class Action>
auto with_type(IntegerType type, Action&& action) {
  switch (type) {
    case IntegerType::kInt8:
      return action(static_cast<std::int8_t*>(nullptr));
    case IntegerType::kInt16:
      return action(static_cast<std::int16_t*>(nullptr));
    case IntegerType::kInt32:
      return action(static_cast<std::int32_t*>(nullptr));
    case IntegerType::kInt64:
      return action(static_cast<std::int64_t*>(nullptr));
    case IntegerType::kUint8:
      return action(static_cast<std::uint8_t*>(nullptr));
    case IntegerType::kUint16:
      return action(static_cast<std::uint16_t*>(nullptr));
    case IntegerType::kUint32:
      return action(static_cast<std::uint32_t*>(nullptr));
    default:
      return action(static_cast<std::uint64_t*>(nullptr));
  }
}

/// The values that both types have: a power of two of them from `kLeast` on, so that many can be checked by
/// one `or`.
template <class To, class From>
struct Common {
  using Bits = std::make_unsigned_t<From>;
  using Least = std::numeric_limits<std::conditional_t<(sizeof(To) < sizeof(From)), To, From>>;
  static constexpr bool kBothSigned = std::is_signed_v<To> && std::is_signed_v<From>;
  static constexpr Bits kLeast = kBothSigned ? static_cast<Bits>(Least::min()) : Bits{0};
  static constexpr Bits kLargest = static_cast<Bits>(std::min<std::uint64_t>(
      std::numeric_limits<From>::max(), static_cast<std::uint64_t>(std::numeric_limits<To>::max())));
  static constexpr Bits kRange = static_cast<Bits>(kLargest - kLeast);

  static Bits place(From value) { return static_cast<Bits>(static_cast<Bits>(value) - kLeast); }
};

template <class To, class From>
bool fits(From value) {
  return Common<To, From>::place(value) <= Common<To, From>::kRange;
}

/// Copy `count` elements and return the number before the first that does not fit `To`.
template <class To, class From>
std::size_t convert(const From* from, std::size_t count, To* to) {
  if constexpr (std::is_same_v<To, From>) {
    std::copy(from, from + count, to);
    return count;
  }
  using Values = Common<To, From>;
  typename Values::Bits places = 0;
  for (std::size_t i = 0; i < count; ++i) {
    places = static_cast<typename Values::Bits>(places | Values::place(from[i]));
    to[i] = static_cast<To>(from[i]);
  }
  if (places <= Values::kRange) return count;
  return static_cast<std::size_t>(std::find_if_not(from, from + count, fits<To, From>) - from);
}

/// A read-only C-contiguous array in native byte order.
struct IntegerSource {
  const void* data;
  IntegerType type;
  std::size_t size;

  /// Copy elements [first, first + count) as int32; returns how many came before one that does not fit.
  std::size_t load(std::size_t first, std::size_t count, std::int32_t* to) const {
    return with_type(type, [&](auto* tag) {
      using Element = std::remove_pointer_t<decltype(tag)>;
      return convert(static_cast<const Element*>(data) + first, count, to);
    });
  }

  /// The same, in place where the elements are int32; else `scratch`, which must have room for `count`.
  const std::int32_t* view(std::size_t first, std::size_t count, std::int32_t* scratch,
                           std::size_t& fitting) const {
    fitting = count;
    if (type == IntegerType::kInt32) return static_cast<const std::int32_t*>(data) + first;
    fitting = load(first, count, scratch);
    return scratch;
  }
};

/// A writable C-contiguous array in native byte order.
struct IntegerSink {
  void* data;
  IntegerType type;
  std::size_t size;

  /// Where to put int32 values for elements from `first` on before `store`: in place, or `scratch`.
  std::int32_t* target(std::size_t first, std::int32_t* scratch) const {
    return type == IntegerType::kInt32 ? static_cast<std::int32_t*>(data) + first : scratch;
  }

  /// Take `count` values from their target; returns how many came before one that the type cannot hold.
  std::size_t store(std::size_t first, std::size_t count, const std::int32_t* from) const {
    if (type == IntegerType::kInt32) return count;
    return with_type(type, [&](auto* tag) {
      using Element = std::remove_pointer_t<decltype(tag)>;
      return convert(from, count, static_cast<Element*>(data) + first);
    });
  }
};

}  // namespace scalecodec
