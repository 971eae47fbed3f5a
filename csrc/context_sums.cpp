/// Orders of sums: checked, split, and their slots given out.
#include "context_sums.hpp"

#include <algorithm>

namespace scalecodec {

namespace {

constexpr std::uint32_t kNone = ~std::uint32_t{0} - 2;

/// One half of the plan, with the order's own slots.
class Half {
 public:
  void run(std::uint32_t source, std::uint32_t slot, const std::uint32_t* inputs, std::uint32_t count,
           bool fused) {
    part_.inputs.insert(part_.inputs.end(), inputs, inputs + count);
    if (!part_.ops.empty() && source == slot) {
      SumOp& last = part_.ops.back();
      if (last.target == slot && !last.adds && (last.fused == fused || last.count == 0)) {
        last.count += count;  // it goes on where it stopped
        last.fused = fused;
        return;
      }
    }
    part_.ops.push_back({source, slot, count, fused, false});
  }

  /// `source` is not read again.
  void add(std::uint32_t source, std::uint32_t slot) {
    if (!part_.ops.empty() && part_.ops.back().target == source && !part_.ops.back().adds) {
      part_.ops.back().target = slot;  // straight from the registers
      part_.ops.back().adds = true;
    } else {
      part_.ops.push_back({source, slot, 0, true, true});
    }
  }

  void bias(std::uint32_t slot) {
    if (!part_.ops.empty()) {
      SumOp& last = part_.ops.back();
      if (last.source == SumOp::kZero && last.target == slot && last.count == 0 && !last.adds) {
        last.source = SumOp::kBias;
        return;
      }
    }
    part_.ops.push_back({SumOp::kBias, slot, 0, true, true});
  }

  SumPart& part() { return part_; }

 private:
  SumPart part_;
};

bool is_slot(std::uint32_t source) {
  return source < kNone;
}

/// The part's slots by numbers as small as can be: kept ones have theirs, others get one from the first op
/// that writes them to the last that reads them.
void number_slots(SumPart& part, std::vector<std::uint32_t> numbers, std::size_t num_kept,
                  std::uint32_t result) {
  std::vector<std::size_t> last_named(numbers.size());
  for (std::size_t i = 0; i < part.ops.size(); ++i) {
    if (is_slot(part.ops[i].source)) last_named[part.ops[i].source] = i;
    last_named[part.ops[i].target] = i;
  }
  if (result != kNone) last_named[result] = part.ops.size();
  std::vector<std::uint32_t> free;
  part.num_slots = num_kept;
  for (std::size_t i = 0; i < part.ops.size(); ++i) {
    SumOp& op = part.ops[i];
    const std::uint32_t source = op.source, target = op.target;
    if (is_slot(source)) op.source = numbers[source];
    if (numbers[target] == kNone) {
      if (free.empty()) free.push_back(static_cast<std::uint32_t>(part.num_slots++));
      numbers[target] = free.back();
      free.pop_back();
    }
    op.target = numbers[target];
    if (is_slot(source) && source != target && last_named[source] == i && numbers[source] >= num_kept)
      free.push_back(numbers[source]);
  }
}

}  // namespace

SumOrder chained_order(const std::vector<std::size_t>& stretches, std::size_t chain) {
  SumOrder order;
  order.steps = {{SumStep::kStart, 0, 0, true}, {SumStep::kBias, 0, 0, true}};
  std::uint32_t next = 0, slot = 1;
  for (std::size_t left : stretches)
    for (; left > 0; ++slot) {
      const auto count = static_cast<std::uint32_t>(std::min(left, chain));
      order.steps.push_back({SumStep::kStart, slot, count, true});
      order.steps.push_back({SumStep::kAdd, 0, slot, true});
      for (std::uint32_t i = 0; i < count; ++i) order.inputs.push_back(next++);
      left -= count;
    }
  return order;
}

const char* fault_of(const SumOrder& order, std::size_t num_inputs) {
  std::vector<bool> seen(num_inputs);
  for (const std::uint32_t input : order.inputs) {
    if (input >= num_inputs || seen[input]) return "a sum must take each input once";
    seen[input] = true;
  }
  if (order.inputs.size() != num_inputs) return "a sum must take every input";
  // Slots are numbered as they are started, so that a list of them cannot be made large.
  enum State : char { kFresh, kOpen, kTaken };
  std::vector<char> slots(order.steps.size(), kFresh);
  const auto is_open = [&](std::uint32_t slot) { return slot < slots.size() && slots[slot] == kOpen; };
  std::size_t taken = 0, biases = 0;
  for (const SumStep& step : order.steps) {
    if (step.kind == SumStep::kStart) {
      if (step.slot >= slots.size() || slots[step.slot] != kFresh) return "a slot must be started once";
      slots[step.slot] = kOpen;
    } else if (!is_open(step.slot)) {
      return "a step must go on with a slot that was started and not added to another";
    }
    switch (step.kind) {
      case SumStep::kStart:
      case SumStep::kContinue:
        if (step.value > num_inputs - taken) return "runs must take as many inputs as there are";
        taken += step.value;
        break;
      case SumStep::kAdd:
        if (step.value == step.slot || !is_open(step.value)) return "a slot must be added to another one";
        slots[step.value] = kTaken;
        break;
      case SumStep::kBias:
        ++biases;
        break;
      default:
        return "a step must be a start, a run, a sum or the bias";
    }
  }
  if (taken != num_inputs || biases != 1) return "a sum must take every input, and the bias once";
  if (!is_open(0)) return "a sum must end in slot 0";
  if (std::count(slots.begin(), slots.end(), kOpen) != 1) return "no slot may be left over";
  const SumPlan plan = plan_sums(order, num_inputs);
  return std::max(plan.early.num_slots, plan.late.num_slots) > kMostSlots
             ? "a sum must not have so many slots at a time"
             : nullptr;
}

SumPlan plan_sums(const SumOrder& order, std::size_t num_early) {
  const std::size_t num_slots = order.steps.size();
  Half early, late;
  std::vector<bool> is_late(num_slots, num_early == 0);
  const std::uint32_t* next = order.inputs.data();
  for (const SumStep& step : order.steps) {
    switch (step.kind) {
      case SumStep::kStart:
      case SumStep::kContinue: {
        const std::uint32_t* end = next + step.value;
        std::uint32_t source = step.kind == SumStep::kStart ? SumOp::kZero : step.slot;
        if (!is_late[step.slot]) {
          const std::uint32_t* first_late =
              std::find_if(next, end, [&](std::uint32_t input) { return input >= num_early; });
          if (first_late != next || next == end) {
            early.run(source, step.slot, next, static_cast<std::uint32_t>(first_late - next), step.fused);
            source = step.slot;
            next = first_late;
          }
          is_late[step.slot] = next != end;
        }
        if (next != end || (is_late[step.slot] && step.value == 0))
          late.run(source, step.slot, next, static_cast<std::uint32_t>(end - next), step.fused);
        next = end;
        break;
      }
      case SumStep::kAdd:
        is_late[step.slot] = is_late[step.slot] || is_late[step.value];
        (is_late[step.slot] ? late : early).add(step.value, step.slot);
        break;
      case SumStep::kBias:
        (is_late[step.slot] ? late : early).bias(step.slot);
        break;
    }
  }
  // What the early part writes and the late one names, or takes as the result, is kept.
  std::vector<bool> written(num_slots), named(num_slots);
  for (const SumOp& op : early.part().ops) written[op.target] = true;
  for (const SumOp& op : late.part().ops) {
    named[op.target] = true;
    if (is_slot(op.source)) named[op.source] = true;
  }
  named[0] = true;
  SumPlan plan;
  std::vector<std::uint32_t> numbers(num_slots, kNone);
  for (std::size_t slot = 0; slot < num_slots; ++slot)
    if (written[slot] && named[slot]) numbers[slot] = static_cast<std::uint32_t>(plan.num_kept++);
  plan.early = std::move(early.part());
  plan.late = std::move(late.part());
  number_slots(plan.early, numbers, plan.num_kept, kNone);
  number_slots(plan.late, numbers, plan.num_kept, 0);
  plan.result = numbers[0];
  if (plan.result == kNone)
    for (const SumOp& op : plan.late.ops) plan.result = op.target;  // the last that was written
  return plan;
}

}  // namespace scalecodec
