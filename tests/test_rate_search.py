"""The search for the largest file within a budget: never over, near it, and in few encodings."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scalecodec.rate_search import largest_within

NUM = 256


class Encoder:
    """Files of given sizes, filled with their setting's number; counts the calls."""

    def __init__(self, sizes):
        self.sizes, self.calls = sizes, []

    def __call__(self, setting):
        self.calls.append(setting)
        return bytes([setting % 256]) * self.sizes[setting]


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


@pytest.mark.parametrize("sizes", CURVES.values(), ids=CURVES)
def test_on_curves_of_photographs_it_is_near_and_quick(sizes):
    calls = []
    for step in range(200):
        budget = round(sizes[0] * (sizes[-1] / sizes[0]) ** (step / 199))
        encode = Encoder(sizes)
        size = len(largest_within(encode, NUM, budget))
        assert 0.98 * budget <= size <= budget or size == max(one for one in sizes if one <= budget)
        assert len(set(encode.calls)) == len(encode.calls), "a setting was encoded twice"
        calls.append(len(encode.calls))
    assert max(calls) <= 8
    assert sum(calls) / len(calls) <= 6


@given(data=st.data())
def test_on_any_growing_curve_it_is_the_largest_or_near(data):
    sizes = sorted(data.draw(st.lists(st.integers(1, 10**6), min_size=1, max_size=NUM)))
    budget = data.draw(st.integers(sizes[0], 2 * sizes[-1]))
    encode = Encoder(sizes)
    blob = largest_within(encode, len(sizes), budget)
    best = max(size for size in sizes if size <= budget)
    assert len(blob) == best or 0.98 * budget <= len(blob) <= budget
    assert len(encode.calls) <= 15


@given(sizes=st.lists(st.integers(1, 1000), min_size=1, max_size=40), budget=st.integers(1, 1000))
def test_whatever_the_sizes_it_ends_and_is_never_over(sizes, budget):
    encode = Encoder(sizes)
    if sizes[0] > budget:
        with pytest.raises(ValueError, match=rf"target_bytes is {budget}, .* {sizes[0]} bytes at the least"):
            largest_within(encode, len(sizes), budget)
        assert encode.calls == [0]
    else:
        blob = largest_within(encode, len(sizes), budget)
        assert len(blob) <= budget
        assert len(blob) == sizes[blob[0]]
        assert len(encode.calls) <= 15


def test_cliffs_and_plateaus_do_not_make_it_creep():
    flat_then_steep = [100 + i // 2 for i in range(250)] + [10 ** (3 + i // 2) for i in range(6)]
    steep_then_flat = [100, 10**4, *(10**5 + 10 * i for i in range(254))]
    for sizes in (flat_then_steep, steep_then_flat):
        for budget in {size + extra for size in sizes for extra in (0, 1)}:
            encode = Encoder(sizes)
            size = len(largest_within(encode, NUM, budget))
            assert size == max(one for one in sizes if one <= budget) or size >= 0.98 * budget
            assert len(encode.calls) <= 15


def test_a_budget_above_the_largest_file_takes_that_one_at_once():
    encode = Encoder(photograph(400, 5))
    assert len(largest_within(encode, NUM, 10**9)) == encode.sizes[-1]
    assert encode.calls == [0, 255]
    encode = Encoder([7])
    assert len(largest_within(encode, 1, 7)) == 7
