"""Sums in any order, in plain loops: what the core computes and what is measured from outside are held against them."""

from __future__ import annotations

import random

import numpy as np
import torch

START, CONTINUE, ADD, BIAS = range(4)


def fma(one, other, sums):
    """``one * other + sums`` rounded once to float32: in float64 the product is exact, and a sum that is rounded to odd
    (Boldo and Melquiond 2008) may be rounded again.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        product = np.asarray(one, np.float64) * np.asarray(other, np.float64)
        addend = np.asarray(sums, np.float64)
        total = product + addend
        back = total - product
        error = (product - (total - back)) + (addend - back)
        inexact = np.isfinite(total) & (error != 0)
        even = total.view(np.int64) % 2 == 0
        odd = np.where(inexact & even, np.nextafter(total, np.copysign(np.inf, error)), total)
        return odd.astype(np.float32)


def by_steps(order, weight, bias, inputs):
    """All outputs by the steps of one SumOrder: weight [num_outputs, num_inputs], float32 arrays."""
    slots, taken = {}, iter(order.inputs)
    for kind, slot, value, fused in order.steps.tolist():
        if kind == START:
            slots[slot] = np.zeros(len(weight), np.float32)
        if kind in (START, CONTINUE):
            for i in (next(taken) for _ in range(value)):
                if fused:
                    slots[slot] = fma(weight[:, i], inputs[i], slots[slot])
                else:
                    slots[slot] = slots[slot] + weight[:, i] * inputs[i]
        elif kind == ADD:
            slots[slot] = slots[slot] + slots.pop(value)
        else:
            slots[slot] = slots[slot] + bias
    return slots[0]


def chain_of(terms, fused):
    """One after the other: a tree as `by_tree` takes it, of the terms that need no other."""
    tree = terms[0]
    for term in terms[1:]:
        tree = ("onto", tree, term) if fused and isinstance(term, int) else ("sum", tree, term)
    return tree


def random_tree(terms, bias, rng: random.Random):
    """Chains of a few lengths, fused or not, summed up as they come; the bias, the last term, anywhere."""
    terms = list(terms)
    if rng.random() < 0.7:
        rng.shuffle(terms)
    parts = []
    while terms:
        count = rng.choice([1, 2, 3, len(terms) // 2 + 1, len(terms)])
        parts.append(chain_of(terms[:count], rng.random() < 0.6))
        del terms[:count]
    parts.insert(rng.randrange(len(parts) + 1), bias)
    while len(parts) > 1:
        one = parts.pop(rng.randrange(len(parts)))
        at = rng.randrange(len(parts))
        parts[at] = ("sum", parts[at], one)
    return parts[0]


def by_tree(tree, weight, bias, inputs):
    """All outputs by a tree of ("sum", one, other) and, fused, ("onto", sum, input); one number more is the bias."""
    if isinstance(tree, int):
        return bias if tree == len(inputs) else weight[:, tree] * inputs[tree]
    kind, one, other = tree
    total = by_tree(one, weight, bias, inputs)
    if kind == "onto" and other != len(inputs):
        return fma(weight[:, other], inputs[other], total)
    return total + by_tree(other, weight, bias, inputs)


def layer_of(trees):
    """A layer for `measure_orders`, every output by its tree."""

    def layer(weight, bias, inputs):
        arrays = weight.numpy(), bias.numpy(), inputs.numpy()
        outputs = [
            by_tree(tree, arrays[0][o : o + 1], arrays[1][o : o + 1], arrays[2])[0] for o, tree in enumerate(trees)
        ]
        return torch.tensor(np.array(outputs, np.float32))

    return layer
