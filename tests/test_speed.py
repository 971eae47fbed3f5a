"""What is measured (the draws), that it is right before it counts, and how it is shown."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

import scalecodec as sc
from scalecodec import speed
from scalecodec.speed import Trial, WrongResultError, measure, rivals, trial, workloads

TINY = speed.Plan(symbols=1000, thread_symbols=20_000, seconds=0, thread_seconds=0)


# The draws


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("name", workloads.SETS)
def test_draws_depend_on_nothing_but_their_arguments(name, smooth):
    first, again, other = (workloads.latents(name, 5000, seed, smooth=smooth) for seed in (3, 3, 4))
    for array, same, different in zip(first, again, other, strict=True):
        assert array.dtype == np.int32
        assert array.shape == (5000,)
        np.testing.assert_array_equal(array, same)
        assert not np.array_equal(array, different)
    assert 0 <= first.indexes.min() <= first.indexes.max() < 64


@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize(("name", "bits"), [("low", 0.353), ("mid", 1.209), ("mix", 1.954)])
def test_the_sets_have_their_rates(name, bits, smooth):
    latents = workloads.latents(name, 300_000, 0, smooth=smooth)
    data = sc.rans64.encode(*latents, sc.CdfTable.gaussian(workloads.SCALE_TABLE))
    assert 8 * len(data) / 300_000 == pytest.approx(bits, rel=0.02)


def test_a_few_symbols_are_beyond_their_tables():
    table = sc.CdfTable.gaussian(workloads.SCALE_TABLE)
    for name in workloads.SETS:
        latents = workloads.latents(name, 1_000_000, 0)
        last = -table.offset[latents.indexes]
        assert 1e-6 <= np.mean(np.abs(latents.symbols) > last) < 1e-4


def test_scales_are_at_least_what_the_symbols_were_drawn_by():
    latents = workloads.latents("mix", 300_000, 1)
    # Table scales lie 13 % apart: on average 6 % above those drawn by, so 0.89 of the variance.
    near = np.abs(latents.symbols) < 8 * latents.scales
    wide = near & (latents.scales > 4)
    assert np.mean((latents.symbols[wide] / latents.scales[wide]) ** 2) == pytest.approx(0.89, abs=0.02)


def test_smooth_scales_are_like_their_neighbours_and_as_many_of_each():
    rough, smooth = (workloads.latents("mid", 300_000, 0, smooth=smooth) for smooth in (False, True))
    histograms = [np.bincount(one.indexes, minlength=64) / 300_000 for one in (rough, smooth)]
    np.testing.assert_allclose(*histograms, atol=0.003)
    ranks = [one.indexes.astype(float) for one in (rough, smooth)]
    along, apart = ([np.corrcoef(r[:-step], r[step:])[0, 1] for r in ranks] for step in (1, 1536))
    assert abs(along[0]) < 0.01
    assert along[1] > 0.85
    assert abs(apart[1]) < 0.1, "channels have nothing to do with each other"


@pytest.mark.parametrize("count", [10, 1000, 9999, 10_000, 300_000])
def test_small_inputs_are_many(count):
    sets = workloads.varied("mid", count)
    assert len(sets) == max(2, 640_000 // count)
    assert {one.symbols.shape for one in sets} == {(count,)}
    assert len({one.symbols.tobytes() + one.indexes.tobytes() for one in sets[:200]}) == min(len(sets), 200)


# Only what is right is timed


class Fake(rivals.Rans64):
    """rans64 under another name, with faults to order."""

    def __init__(self, name="fake", stream="fake", spoil=None):
        super().__init__()
        self.name = self.label = name
        self.stream, self.spoil = stream, spoil
        self.is_running = False
        self.calls = []

    @contextmanager
    def running(self):
        self.is_running = True
        yield
        self.is_running = False

    def encode(self, prepared):
        assert self.is_running
        self.calls.append(("encode", prepared))
        data = super().encode(prepared)
        return data + b"\0\0\0\0" if self.spoil == "bytes" else data

    def decode(self, data, prepared):
        assert self.is_running
        self.calls.append(("decode", prepared))
        symbols = sc.rans64.decode(data, prepared.indexes, self.table, strict=False)
        if self.spoil == "symbols":
            symbols[-1] += 1
        return symbols[:-1] if self.spoil == "count" else symbols


@pytest.fixture
def sets():
    return workloads.varied("mid", 100)[:5]


@pytest.mark.parametrize("spoil", ["symbols", "count"])
def test_a_wrong_result_is_refused(sets, spoil):
    with pytest.raises(WrongResultError, match="fake: what it decodes is not what it encoded"):
        Trial(Fake(spoil=spoil), sets)


def test_coders_of_one_stream_must_agree(sets):
    right, wrong = Trial(Fake("right"), sets), Trial(Fake("wrong", spoil="bytes"), sets)
    trial.require_same_streams([right, Trial(Fake("also right"), sets)])
    trial.require_same_streams([right, Trial(Fake("other", stream="other", spoil="bytes"), sets)])
    with pytest.raises(WrongResultError, match="wrong and right write different bytes"):
        trial.require_same_streams([right, wrong])


def test_a_trial_takes_its_inputs_in_turn(sets):
    coder = Fake()
    one = Trial(coder, sets, seconds=60)
    assert [item.latents for item in one.items] == sets
    assert one.num_symbols == 100
    coder.calls.clear()
    with coder.running():
        one.sample(iter(range(100)).__next__)  # a clock that ticks once a look
    for kind in ("encode", "decode"):
        given = [id(prepared) for what, prepared in coder.calls if what == kind]
        assert len(given) > 5
        assert all(len(set(given[i : i + 5])) == 5 for i in range(len(given) - 4))
    encodes = sum(what == "encode" for what, _ in coder.calls)
    (seconds,) = one.encode_seconds
    assert encodes / 2 < 1 / seconds < encodes, "the first calls, a quarter, warm up"
    assert one.encode_ns() == pytest.approx(seconds * 1e9 / 100)


def test_a_slow_coder_gets_by_with_two_inputs(sets):
    assert len(Trial(Fake(), sets, seconds=0).items) == 2
    assert len(Trial(Fake(), sets[:1], seconds=0).items) == 1


# The whole


def test_measure_everything_that_is_here():
    shares = []
    result = measure(TINY, lambda done, text: shares.append(done))
    assert shares[0] == 0
    assert shares[-1] == 1
    assert shares == sorted(shares)
    assert [row.latents for row in result.rows] == sorted(
        (row.latents for row in result.rows), key=list(workloads.SETS).index
    )
    for name in workloads.SETS:
        rows = {row.coder: row for row in result.rows if row.latents == name}
        assert {*rivals.OURS} <= rows.keys() <= {*rivals.OURS, *rivals.RIVALS}
        best = [rows[rival] for rival in rivals.RIVALS[:3] if rival in rows]
        for row in rows.values():
            assert (row.threads, row.clock, row.symbols) == (1, "thread", 1000)
            assert row.rounds >= 3
            assert 0 < row.bytes < 1000
            for way in ("encode", "decode"):
                ratio = getattr(row, f"{way}_ratio")
                fastest = min((getattr(one, f"{way}_ns") for one in best), default=None)
                assert ratio == (None if fastest is None else fastest / getattr(row, f"{way}_ns"))
        assert len({row.bytes for row in rows.values() if row.coder.startswith("lanes")}) == 1
    for one, several in zip(result.thread_rows[::2], result.thread_rows[1::2], strict=True):
        assert (one.threads, one.encode_ratio, one.decode_ratio) == (1, 1, 1)
        assert several.threads > 1
        assert (one.coder, one.latents, one.bytes) == (several.coder, several.latents, several.bytes)
        assert several.encode_ratio == one.encode_ns / several.encode_ns
        assert {one.clock, several.clock} == {"wall"}
    json.loads(speed.report.to_json(result), parse_constant=pytest.fail)


def test_kernel_sets_are_forced():
    for backend in sc.backends.available():
        with rivals.make_coder(f"lanes-{backend}").running():
            assert sc.backends.active() == backend


@pytest.fixture
def alone(monkeypatch):
    """No rival is installed, and there is one core."""
    for name in ("compressai", "compressai.ans", "compressai.entropy_models", "constriction"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(sys.modules["scalecodec.speed.measure"], "_num_cores", lambda: 1)


def test_no_rival_is_needed(alone):
    result = measure(TINY)
    assert {row.coder for row in result.rows} == {*rivals.OURS}
    assert {row.encode_ratio for row in result.rows} == {None}
    assert result.thread_rows == []
    assert len(result.missing) == 3
    assert all(line.startswith("cannot import ") for line in result.missing)
    lines = speed.report.table(result).splitlines()
    assert len(lines) == 1 + len(workloads.SETS) * (1 + 2 + len(rivals.OURS)) + 1 + 3
    with pytest.raises(ValueError, match="no coder named 'gzip'; there are lanes-"):
        rivals.make_coder("gzip")


def test_a_rival_that_errs_ends_it(alone, monkeypatch):
    make = rivals.make_coder
    wrong = {"compressai-lists": Fake("a rival", "rans64", "symbols")}
    monkeypatch.setattr(
        sys.modules["scalecodec.speed.measure"], "make_coder", lambda name: wrong.get(name) or make(name)
    )
    with pytest.raises(WrongResultError, match="a rival: what it decodes"):
        measure(TINY)


@pytest.mark.parametrize("plan", [{"symbols": 9}, {"symbols": 10_000_001}, {"thread_symbols": 0}])
def test_counts_out_of_range(plan):
    with pytest.raises(ValueError, match=r"symbols must lie in \[10, 10000000\], got"):
        measure(replace(TINY, **plan))


# What is shown


@pytest.fixture
def result():
    def row(label, threads, times, ratios, clock="thread"):
        return speed.Row("mid", label, label, threads, clock, 1000, 151.5, *times, *ratios, 5)

    return speed.Result(
        {"processor": "a processor", "cores": 2},
        2.25,
        [row("ours", 1, (1.0, 0.5), (40.0, 60.0)), row("theirs", 1, (40.0, 30.0), (1.0, 1.0))],
        [row("ours", 1, (1.0, 0.5), (1.0, 1.0), "wall"), row("ours", 2, (0.5, 0.3), (2.0, 5 / 3), "wall")],
        ["cannot import others: No module named 'others'"],
    )


def test_the_table(result):
    assert speed.report.table(result).splitlines() == [
        "1,000 symbols, a table each of 64 Gaussians; nanoseconds a symbol, one thread (processor time)",
        "",
        "mid     encode     x  decode     x  bytes  bit a symbol",
        "-------------------------------------------------------",
        "ours      1.00  40.0    0.50  60.0    152        1.2120",
        "theirs   40.00   1.0   30.00   1.0    152        1.2120",
        "",
        "x: times as fast as the best rival that uses a table a symbol, as ours do.",
        "",
        "1,000 symbols, one thread and 2; nanoseconds a symbol (wall clock)",
        "",
        "      latents  encode, 1  encode, 2    x  decode, 1  decode, 2    x",
        "-------------------------------------------------------------------",
        "ours      mid       1.00       0.50  2.0       0.50       0.30  1.7",
        "",
        "Load average 2.2 before: what else was running may have held the threads back.",
        "",
        "cannot import others: No module named 'others'",
    ]
    assert "Load average" not in speed.report.table(replace(result, load=0.1))


def test_the_plot(tmp_path, result, monkeypatch):
    speed.report.plot(result, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"scalecodec-core\[demo\]"):
        speed.report.plot(result, tmp_path / "other.png")
    assert [path.name for path in tmp_path.iterdir()] == ["bench.png"]
