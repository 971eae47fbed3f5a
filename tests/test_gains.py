"""The gain table is frozen: streams carry an index of it, so no bit of it may ever change."""

from __future__ import annotations

import hashlib
import math
from decimal import Decimal, localcontext
from itertools import pairwise

import numpy as np
import pytest

from scalecodec.gains import GAIN_TABLE, NUM_GAINS, UNIT_GAIN_INDEX, check_gain_index, nearest_gain_index

TABLE_SHA256 = "e1500fdf44d789425c54208d0a9aef5419a6671d397f2f21ab70b81b412261d5"


def test_no_bit_of_the_table_has_changed():
    assert hashlib.sha256(np.array(GAIN_TABLE, dtype="<f8").tobytes()).hexdigest() == TABLE_SHA256


def test_the_table_is_log_spaced_about_one():
    assert (NUM_GAINS, len(GAIN_TABLE), UNIT_GAIN_INDEX) == (256, 256, 255)
    assert GAIN_TABLE[UNIT_GAIN_INDEX] == 1.0
    assert [GAIN_TABLE[UNIT_GAIN_INDEX - 64 * octave] for octave in (1, 2, 3)] == [0.5, 0.25, 0.125]
    with localcontext(prec=40):
        ratio = Decimal(2) ** (Decimal(1) / 64)
        for low, high in pairwise(GAIN_TABLE):
            assert low < high
            assert abs(Decimal(high) / Decimal(low) / ratio - 1) < Decimal("1e-15")
        for index, gain in enumerate(GAIN_TABLE):  # errors of the single steps do not add up either
            assert abs(Decimal(gain) / ratio ** (index - UNIT_GAIN_INDEX) - 1) < Decimal("1e-15")


def test_every_gain_is_nearest_to_itself():
    assert [nearest_gain_index(gain) for gain in GAIN_TABLE] == list(range(NUM_GAINS))
    assert nearest_gain_index(1) == UNIT_GAIN_INDEX


@pytest.mark.parametrize("share", [-0.49, 0.49])
def test_nearest_is_nearest_in_the_log_domain(share):
    for index, gain in enumerate(GAIN_TABLE):
        assert nearest_gain_index(gain * 2 ** (share / 64)) == index
        assert nearest_gain_index(np.float64(gain) * 2 ** (share / 64)) == index


@pytest.mark.parametrize(
    "bad",
    [math.nan, math.inf, -math.inf, 0, 0.0, -1.0, 10**400, 5e-324, True, False, "1", None, 1j, np.ones(1)],
    ids=repr,
)
def test_what_is_no_gain_is_refused(bad):
    with pytest.raises(ValueError, match="gain must"):
        nearest_gain_index(bad)


def test_gains_outside_the_table_are_refused():
    half_step = 2 ** (1 / 128)
    for inside, outside in ((1.0001, 0.9999), (0.9999, 1.0001)):
        end = GAIN_TABLE[0] / half_step if inside > 1 else GAIN_TABLE[-1] * half_step
        assert nearest_gain_index(end * inside) in (0, NUM_GAINS - 1)
        with pytest.raises(ValueError, match=r"gain must lie in \[0.0632, 1.0000\]"):
            nearest_gain_index(end * outside)


def test_an_index_is_an_int_of_the_table():
    assert [check_gain_index(index) for index in (0, 100, 255)] == [0, 100, 255]
    for bad in (-1, 256, 2**70, True, 1.0, "1", None, math.nan):
        with pytest.raises(ValueError, match="gain_index must be an integer"):
            check_gain_index(bad)
