"""The search for the largest file within a budget: never over, near it, and in few encodings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecodec.rate_search import largest_within

NUM = 256


class Encoder:
    """Files of given sizes, filled with their setting's number; their log size falls by give * shrink. Counts calls."""

    def __init__(self, sizes, give=0.0):
        self.sizes, self.give, self.calls = sizes, give, []

    def __call__(self, setting, shrink):
        assert 0 <= shrink <= 0.12
        self.calls.append((setting, shrink))
        return bytes([setting % 256]) * max(1, round(self.sizes[setting] * math.exp(-self.give * shrink)))


def photograph(least, octaves, bend=0.0, constant=0):
    """Sizes as they grow with the gain: nearly exponential, flatter or steeper at one end, over a constant part."""
    return [
        constant + round(least * 2 ** (octaves * (i / 255 + bend * math.sin(math.pi * i / 255)))) for i in range(NUM)
    ]


CURVES = {
    "straight": photograph(400, 5),
    "steep at first": photograph(300, 4, bend=0.25),
    "steep at last": photograph(300, 4, bend=-0.25),
    "over an alpha plane": photograph(500, 5, constant=9000),
    "in words of four bytes": [size // 4 * 4 for size in photograph(200, 6)],
}


@pytest.mark.parametrize("give", [0.3, 1.2, 3.0])
@pytest.mark.parametrize("sizes", CURVES.values(), ids=CURVES)
def test_on_curves_of_photographs_it_is_near_and_quick(sizes, give):
    calls, missed = [], 0
    for step in range(200):
        budget = round(sizes[0] * (sizes[-1] / sizes[0]) ** (step / 199))
        encode = Encoder(sizes, give)
        size = len(largest_within(encode, NUM, budget))
        assert size <= budget
        missed += size < 0.99 * budget
        assert len(set(encode.calls)) == len(encode.calls), "a setting was encoded twice"
        calls.append(len(encode.calls))
    assert missed <= 4, "of 200"
    assert sum(calls) / len(calls) <= 6
    assert max(calls) <= 11


def test_on_the_curve_of_kodak_six_encodings_do():
    """Its means over 24 pictures, and what its pictures shrink by at low, middling and high rates."""
    measured = [0.126, 0.211, 0.324, 0.472, 0.626, 0.802, 1.008, 1.222, 1.464]
    rates = np.interp(np.arange(NUM), np.linspace(0, 255, 9), measured)
    for scale in (49152, 8000):
        sizes = np.rint(rates * scale).astype(int).tolist()
        for share in np.linspace(0.001, 0.999, 150):
            budget = round(sizes[0] * (sizes[-1] / sizes[0]) ** share)
            encode = Encoder(sizes, give=3.0 - 2.6 * share)
            assert 0.99 * budget <= len(largest_within(encode, NUM, budget)) <= budget
            assert len(encode.calls) <= 6


@given(data=st.data())
def test_on_any_growing_curve_it_is_the_largest_or_near(data):
    sizes = sorted(data.draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=NUM)))
    budget = data.draw(st.integers(sizes[0], 2 * sizes[-1]))
    encode = Encoder(sizes)
    blob = largest_within(encode, len(sizes), budget)
    best = max(size for size in sizes if size <= budget)
    assert len(blob) == best or 0.99 * budget <= len(blob) <= budget
    assert len(encode.calls) <= 18


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=40), budget=st.integers(1, 1000))
def test_whatever_the_sizes_it_ends_and_is_never_over(sizes, budget):
    encode = Encoder(sizes)
    if min(sizes) > budget:
        with pytest.raises(ValueError, match=rf"target_bytes is {budget}, .* {sizes[0]} bytes at the least"):
            largest_within(encode, len(sizes), budget)
    elif sizes[0] <= budget:
        blob = largest_within(encode, len(sizes), budget)
        assert len(blob) <= budget
        assert len(blob) == sizes[blob[0]]
    assert len(encode.calls) <= 18


def test_cliffs_and_plateaus_do_not_make_it_creep():
    flat_then_steep = [100 + i // 2 for i in range(250)] + [10 ** (3 + i // 2) for i in range(6)]
    steep_then_flat = [100, 10**4, *(10**5 + 10 * i for i in range(254))]
    for sizes in (flat_then_steep, steep_then_flat):
        for budget in {size + extra for size in sizes for extra in (0, 1)}:
            encode = Encoder(sizes)
            size = len(largest_within(encode, NUM, budget))
            assert size == max(one for one in sizes if one <= budget) or size >= 0.99 * budget
            assert len(encode.calls) <= 18


def test_a_budget_above_the_largest_file_takes_that_one_at_once():
    encode = Encoder(photograph(400, 5))
    assert len(largest_within(encode, NUM, 10**9)) == encode.sizes[-1]
    assert encode.calls == [(127, 0.0), (255, 0.0)]
    encode = Encoder([7])
    assert len(largest_within(encode, 1, 7)) == 7
