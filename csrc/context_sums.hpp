/// In which order a layer adds up its products, and the plan that a kernel follows to do so.
///
/// A sum is a list of steps over slots. A run takes inputs one by one onto its slot: fused, each
/// `sum = fma(weight, input, sum)`, else `sum = sum + round(weight * input)`. Slots are added to each other,
/// and the bias to one of them; slot 0 is the sum in the end. Any order of binary additions can be said so.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace scalecodec {

struct SumStep {
  enum Kind : std::int32_t {
    kStart,     // a run of `value` inputs, from zero; every slot is started once
    kContinue,  // another `value` inputs onto the slot
    kAdd,       // slot `value` onto the slot; `value` is not named again
    kBias       // the bias onto the slot, once in all
  };
  Kind kind;
  std::uint32_t slot, value;
  bool fused;
};

struct SumOrder {
  std::vector<std::uint32_t> inputs;  // each once, in the order in which runs take them
  std::vector<SumStep> steps;
};

/// Chains of `chain` inputs or what is left, each from zero, onto the bias; anew behind each stretch.
SumOrder chained_order(const std::vector<std::size_t>& stretches, std::size_t chain);

/// Some outputs of a layer, which add up alike.
struct OutputSums {
  std::vector<std::uint32_t> outputs;
  SumOrder order;
};

/// What makes the order none of `num_inputs` inputs; null where nothing does.
const char* fault_of(const SumOrder& order, std::size_t num_inputs);

/// Slots of one tile at a time: what a kernel can hold beside the weights in the caches.
constexpr std::size_t kMostSlots = 96;

/// `sum = source; for each of `count` inputs: sum goes on; target = sum`, or `target += sum`.
struct SumOp {
  static constexpr std::uint32_t kZero = ~std::uint32_t{0}, kBias = kZero - 1;
  std::uint32_t source, target;  // slots
  std::uint32_t count;
  bool fused, adds;
};

struct SumPart {
  std::vector<std::uint32_t> inputs;
  std::vector<SumOp> ops;
  std::size_t num_slots = 0;  // the kept ones first
};

/// The same additions, those that need only inputs below `num_early` first: they can be done for many
/// positions before the rest is known for one. Where `num_early` is 0 there is no early part.
struct SumPlan {
  SumPart early, late;
  std::size_t num_kept = 0;  // slots that the early part leaves to the late one
  std::uint32_t result = 0;  // slot of the late part
};

/// Requires: no fault.
SumPlan plan_sums(const SumOrder& order, std::size_t num_early);

}  // namespace scalecodec
