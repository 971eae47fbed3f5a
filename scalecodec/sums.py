"""In which order another program adds up the products of a dense layer: measured, so that it can be done again.

A float32 sum depends on its order, and libraries choose theirs by processor, version, sizes and threads. It shows from
outside: where +2^60 and -2^60 meet, all that was added to either before is gone. So of a sum of ones, what survives
tells how many terms lie under the first addition that joins two given ones, and these counts for all pairs are the tree
of additions (FPRev: Peichen Xie et al., *Revealing floating-point accumulation orders in software/hardware
implementations*, arXiv:2411.00442). Whether a product was rounded before it was added shows in its lost low bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["SumOrder", "measure_orders"]

# weight [num_outputs, num_inputs], bias [num_outputs], inputs [num_inputs] -> outputs [num_outputs], all float32
Layer = Callable[[Tensor, Tensor, Tensor], Tensor]

_LARGE = 2.0**60
_ODD = 1 + 2.0**-12  # its square is no float32
_START, _CONTINUE, _ADD, _BIAS = range(4)  # kinds of steps, csrc/context_sums.hpp
_TRIALS = 8  # that two orders pass for one
_MOST_GROUPS = 8
_FEW, _SHORT = 8, 16  # 16 rows of float32 are whole cache lines, however long
_MOST_PAIRS = 16  # for each input: more than orders of real programs need


@dataclass(frozen=True, eq=False)
class SumOrder:
    """The order in which some outputs of a layer add up, as the core takes it (``csrc/context_sums.hpp``).

    ``outputs`` int32, at least one; ``inputs`` int32 [num_inputs], each once, as runs take them; ``steps`` int32
    [num_steps, 4]: kind (0 a run from zero, 1 a run that goes on, 2 another slot added, 3 the bias), slot, number of
    inputs or other slot, and whether products are fused into sums. Slot 0 is the result.

    Raises TypeError where they are no integers within int32.
    """

    outputs: NDArray[np.int32]
    inputs: NDArray[np.int32]
    steps: NDArray[np.int32]

    def __post_init__(self) -> None:
        for name in ("outputs", "inputs", "steps"):
            value = np.asarray(getattr(self, name))
            if value.size and (value.dtype.kind not in "iu" or value.max() >= 2**31 or value.min() < -(2**31)):
                raise TypeError(f"{name} must be integers within int32, got {value.dtype}")
            object.__setattr__(self, name, np.require(value, np.int32, "C"))


# A leaf, or what is added up from the left: the first two with each other, the next to their sum, and so on.
_Node = int | list[Any]


class _Prober:
    """Asks some outputs of a layer about pairs of their terms, one pair an output. The bias is the last term."""

    def __init__(self, layer: Layer, num_inputs: int, num_outputs: int, outputs: Tensor) -> None:
        self.layer, self.num_inputs, self.num_outputs, self.outputs = layer, num_inputs, num_outputs, outputs
        self.num_terms = num_inputs + 1
        self.pairs_left = _MOST_PAIRS * self.num_terms

    def joined(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """How many terms each pair's first common sum has."""
        self.pairs_left -= len(pairs)
        if self.pairs_left < 0:
            raise ValueError("the order of sums is too unlike a few chains to be measured")
        survivors = self._ask(pairs, 1.0, _LARGE, 1.0)
        if not all(value.is_integer() for value in survivors):  # nor NaN, nor infinite
            raise ValueError("the outputs are no sums of their products")
        return [self.num_terms - int(value) for value in survivors]

    def fused(self, pairs: Sequence[tuple[int, int]]) -> list[int]:
        """Which of each pair is multiplied and added at once, onto a sum with the other: 1 the first, -1 the second."""
        return [int(np.sign(value)) for value in self._ask(pairs, 0.0, _ODD, _ODD)]

    def _ask(self, pairs: Sequence[tuple[int, int]], rest: float, size: float, value: float) -> list[float]:
        """Terms ``rest`` but for +size and -size at each pair; inputs are ``value``."""
        answers: list[float] = []
        for first in range(0, len(pairs), len(self.outputs)):
            some = torch.tensor(pairs[first : first + len(self.outputs)])
            rows = self.outputs[: len(some)]
            terms = torch.full((self.num_outputs, self.num_terms), rest, dtype=torch.float32)
            terms[rows, some[:, 0]] = size
            terms[rows, some[:, 1]] = -size
            weight, bias = terms[:, :-1].contiguous(), terms[:, -1] * value
            answers += self.layer(weight, bias, torch.full((self.num_inputs,), value, dtype=torch.float32))[
                rows
            ].tolist()
        return answers


def _tree(prober: _Prober, terms: list[int]) -> _Node:
    """The tree over ``terms``, which are all those under one sum."""
    first, others = terms[0], terms[1:]
    groups: dict[int, list[int]] = {}
    for term, size in zip(others, prober.joined([(first, other) for other in others]), strict=True):
        groups.setdefault(size, []).append(term)
    chain: list[Any] = [first]
    reached = 1
    for size, group in sorted(groups.items()):
        reached += len(group)
        if size != reached:
            raise ValueError("the outputs are not all summed in one order")
        chain.append(_tree(prober, group) if len(group) > 1 else group[0])
    return chain if len(chain) > 1 else first


def _first_of(node: _Node) -> int:
    while not isinstance(node, int):
        node = node[0]
    return node


def _chains(node: _Node) -> Iterator[list[Any]]:
    if not isinstance(node, int):
        yield node
        for item in node:
            yield from _chains(item)


def _products(prober: _Prober, tree: _Node) -> set[int]:
    """Which terms are fused. Where that is the first of a chain, it changes places with the second: it came behind."""
    asked = [
        (chain, at, item)
        for chain in _chains(tree)
        for at, item in enumerate(chain)
        if isinstance(item, int) and item != prober.num_inputs
    ]
    signs = prober.fused([(item, _first_of(chain[at == 0])) for chain, at, item in asked])
    for (chain, at, _), sign in zip(asked, signs, strict=True):
        if at == 0 and sign > 0:
            chain[0], chain[1] = chain[1], chain[0]
    return {item for (_, _, item), sign in zip(asked, signs, strict=True) if sign > 0}


class _Writer:
    """Writes a tree down as steps."""

    def __init__(self, fused: set[int], bias: int) -> None:
        self.fused, self.bias = fused, bias
        self.inputs: list[int] = []
        self.steps: list[list[int]] = []
        self.num_slots = 0

    def write(self, node: _Node, slot: int | None = None) -> int:
        """Steps of ``node`` into ``slot``, or a new one; returns it."""
        if slot is None:
            slot = self.num_slots
            self.num_slots += 1
        head, *rest = [node] if isinstance(node, int) else node
        if isinstance(head, int):
            self.steps.append([_START, slot, 0, 1])
            self._take(head, slot)
        else:
            self.write(head, slot)
        for item in rest:
            if isinstance(item, int):
                self._take(item, slot)
            else:
                self.steps.append([_ADD, slot, self.write(item), 1])
        return slot

    def _take(self, term: int, slot: int) -> None:
        if term == self.bias:
            self.steps.append([_BIAS, slot, 0, 1])
            return
        self.inputs.append(term)
        kind, last_slot, count, fused = self.steps[-1]
        wanted = int(term in self.fused)
        if kind in (_START, _CONTINUE) and last_slot == slot and (count == 0 or fused == wanted):
            self.steps[-1][2:] = [count + 1, wanted if count else 1]
        elif kind == _START and last_slot == slot and count == 1:
            self.steps[-1][2:] = [2, wanted]  # a product alone is rounded either way
        else:
            self.steps.append([_CONTINUE, slot, 1, wanted])


def _alike(layer: Layer, num_inputs: int, num_outputs: int) -> list[Tensor]:
    """The outputs, by what they make of the same numbers."""
    noise = torch.Generator().manual_seed(0)
    trials = []
    for _ in range(_TRIALS):
        row, inputs, offset = (
            torch.randn(n, generator=noise, dtype=torch.float32) for n in (num_inputs, num_inputs, 1)
        )
        weight, bias = row.expand(num_outputs, -1).contiguous(), offset.expand(num_outputs).contiguous()
        trials.append(layer(weight, bias, inputs))
    _, kinds = torch.stack(trials, 1).unique(dim=0, return_inverse=True)
    groups = [torch.nonzero(kinds == kind).flatten() for kind in range(int(kinds.max()) + 1)]
    if len(groups) > _MOST_GROUPS:
        raise ValueError("the outputs are summed in too many orders")
    return sorted(groups, key=len, reverse=True)


@torch.no_grad()
def measure_orders(layer: Layer, num_inputs: int, num_outputs: int) -> list[SumOrder]:
    """The orders in which the outputs of ``layer`` add up: ``sum(weight * inputs) + bias``.

    Parameters
    ----------
    layer : callable
        Takes weight [num_outputs, num_inputs], bias [num_outputs] and inputs [num_inputs], float32, and gives the
        outputs. Called some tens of times, and where few outputs have an order of their own some num_inputs times, then
        with fewer outputs.
    num_inputs : int; where it is 0 there is only the bias
    num_outputs : int, at least 1

    Returns
    -------
    list of SumOrder
        Every output in one of them. This is what sums of ones and zeros tell: try them on other numbers before they
        are trusted.

    Raises
    ------
    ValueError
        The outputs are no sums, or their orders take too long to find.
    """
    if num_inputs == 0:
        bias_alone = np.array([[_START, 0, 0, 1], [_BIAS, 0, 0, 1]], np.int32)
        return [SumOrder(np.arange(num_outputs, dtype=np.int32), np.empty(0, np.int32), bias_alone)]
    orders = []
    for outputs in _alike(layer, num_inputs, num_outputs):
        # Few outputs are asked few pairs at a time, and a whole layer for each is slow: a short one with the same rest
        # adds up their like, most often as the whole one does.
        short = _SHORT + num_outputs % _SHORT
        if len(outputs) <= _FEW and short < num_outputs:
            last = outputs - (num_outputs - short)
            if int(last[0]) >= 0:
                order = _measure(layer, num_inputs, short, last)
                order = replace(order, outputs=outputs.numpy())
                if _holds(order, layer, num_inputs, num_outputs):
                    orders.append(order)
                    continue
        orders.append(_measure(layer, num_inputs, num_outputs, outputs))
    return orders


def _measure(layer: Layer, num_inputs: int, num_outputs: int, outputs: Tensor) -> SumOrder:
    prober = _Prober(layer, num_inputs, num_outputs, outputs)
    tree = _tree(prober, list(range(num_inputs + 1)))
    writer = _Writer(_products(prober, tree), num_inputs)
    writer.write(tree)
    return SumOrder(outputs.numpy(), np.array(writer.inputs), np.array(writer.steps).reshape(-1, 4))


def _holds(order: SumOrder, layer: Layer, num_inputs: int, num_outputs: int) -> bool:
    """Whether ``layer`` adds up its outputs so, on random numbers."""
    noise = torch.Generator().manual_seed(1)
    weight = torch.randn(num_outputs, num_inputs, generator=noise, dtype=torch.float32)
    bias, inputs = (torch.randn(n, generator=noise, dtype=torch.float32) for n in (num_outputs, num_inputs))
    wanted = layer(weight, bias, inputs).numpy()[order.outputs]
    found = _add_up(order, weight.numpy()[order.outputs], bias.numpy()[order.outputs], inputs.numpy())
    return bool((found == wanted).all())


def _add_up(order: SumOrder, weight: NDArray[Any], bias: NDArray[Any], inputs: NDArray[Any]) -> NDArray[Any]:
    """All outputs by the steps. Fused products go through float64, whose second rounding shows once in 2^29."""
    slots: dict[int, NDArray[Any]] = {}
    taken = iter(order.inputs)
    for kind, slot, value, fused in order.steps.tolist():
        if kind == _START:
            slots[slot] = np.zeros(len(weight), np.float32)
        if kind == _ADD:
            slots[slot] = slots[slot] + slots[value]
        elif kind == _BIAS:
            slots[slot] = slots[slot] + bias
        else:
            for i in (next(taken) for _ in range(value)):
                exact = weight[:, i].astype(np.float64) * np.float64(inputs[i])
                product = exact if fused else exact.astype(np.float32)
                slots[slot] = (slots[slot] + product).astype(np.float32)
    return slots[0]
