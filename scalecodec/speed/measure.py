"""Every coder in turn, in one run: only so are the ratios worth something on a machine that others use too.

One thread is timed by its own processor time, several by the wall clock.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

from scalecodec import backends
from scalecodec.batches import MAX_THREADS

from .rivals import OURS, RIVALS, Coder, Lanes, make_coder
from .trial import Trial, WrongResultError, require_same_streams
from .workloads import SETS, latents, varied

__all__ = ["FULL", "QUICK", "Plan", "Result", "Row", "WrongResultError", "measure"]

SYMBOLS_RANGE = (10, 10_000_000)  # CompressAI crashes on one symbol; ten million take gigabytes of its lists
_MIN_ROUNDS, _MAX_ROUNDS = 3, 51
_PACKAGES = ("numpy", "torch", "compressai", "constriction")

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    symbols : in a call of the comparison with other coders
    thread_symbols : in a call of the comparison of thread counts
    seconds, thread_seconds : of measuring on each set of latents; three rounds are made, however long they take
    """

    symbols: int = 300_000
    thread_symbols: int = 4_000_000
    seconds: float = 4.0
    thread_seconds: float = 1.0


FULL = Plan()
QUICK = Plan(100_000, 1_000_000, 0.3, 0.1)


@dataclass(frozen=True)
class Row:
    """One coder on one set of latents.

    Attributes
    ----------
    latents : name of the set
    coder, label : the coder, for programs and for people
    threads : how many it was given
    clock : "thread" (processor time) or "wall"
    symbols, bytes : of a call; bytes is the mean over what was coded
    encode_ns, decode_ns : nanoseconds a symbol, median over `rounds`
    encode_ratio, decode_ratio : how many times as long the best rival takes that uses a table a symbol; None without
        rivals. For several threads: how many times as long the same takes with one thread.
    """

    latents: str
    coder: str
    label: str
    threads: int
    clock: str
    symbols: int
    bytes: float
    encode_ns: float
    decode_ns: float
    encode_ratio: float | None
    decode_ratio: float | None
    rounds: int


@dataclass(frozen=True)
class Result:
    """What `measure` found.

    Attributes
    ----------
    machine : processor, cores, kernel sets, versions
    load : the load average (of a minute) before
    rows : all coders, with one thread
    thread_rows : ours, in pairs: with one thread and with all cores; empty where there is one core
    missing : which rivals are not here, and why
    """

    machine: dict[str, object]
    load: float
    rows: list[Row]
    thread_rows: list[Row]
    missing: list[str]


def measure(plan: Plan = FULL, progress: Progress = lambda done, text: None) -> Result:
    """Check every coder on every set of latents, and time it.

    Parameters
    ----------
    plan : Plan
    progress : called with the share that is done and with what is going on

    Raises
    ------
    ValueError
        The plan's symbols are out of range.
    WrongResultError
        A coder, ours or a rival, does not give back what it was given.
    """
    for count in (plan.symbols, plan.thread_symbols):
        if not SYMBOLS_RANGE[0] <= count <= SYMBOLS_RANGE[1]:
            raise ValueError(f"symbols must lie in [{SYMBOLS_RANGE[0]}, {SYMBOLS_RANGE[1]}], got {count}")
    load = os.getloadavg()[0]
    progress(0, "loading other coders")
    coders, missing = _coders()
    rows, thread_rows = [], []
    several = min(_num_cores(), MAX_THREADS)
    with _one_torch_thread():
        for number, name in enumerate(SETS):
            begin = number / len(SETS)
            progress(begin, f"{name}, {len(coders)} coders")
            rows += _compare(coders, name, plan)
            if several > 1:
                progress(begin + 0.8 / len(SETS), f"{name}, {several} threads")
                thread_rows += _compare_threads(several, name, plan)
    progress(1, "done")
    return Result(_machine(), load, rows, thread_rows, missing)


def _coders() -> tuple[list[Coder], list[str]]:
    """All that can run here, and why the others cannot."""
    coders, missing = [], []
    for name in (*OURS, *RIVALS):
        try:
            coders.append(make_coder(name))
        except ImportError as error:
            missing.append(str(error))
    return coders, list(dict.fromkeys(missing))


def _compare(coders: Sequence[Coder], name: str, plan: Plan) -> list[Row]:
    sets = varied(name, plan.symbols)
    trials = [Trial(coder, sets, plan.seconds / 20) for coder in coders]
    require_same_streams(trials)
    _take_turns(trials, plan.seconds, time.thread_time)
    best = [trial for trial in trials if trial.coder.is_rival and not trial.coder.is_static]
    encode = min((trial.encode_ns() for trial in best), default=None)
    decode = min((trial.decode_ns() for trial in best), default=None)
    num_items = min(len(trial.items) for trial in trials)
    return [_row(name, trial, 1, "thread", encode, decode, num_items) for trial in trials]


def _compare_threads(several: int, name: str, plan: Plan) -> list[Row]:
    sets = [latents(name, plan.thread_symbols, 0)]
    pairs = [[Trial(Lanes(backend, n), sets) for n in (1, several)] for backend in backends.available()]
    trials = [trial for pair in pairs for trial in pair]
    require_same_streams(trials)
    _take_turns(trials, plan.thread_seconds, time.perf_counter)
    return [
        _row(name, trial, threads, "wall", pair[0].encode_ns(), pair[0].decode_ns(), 1)
        for pair in pairs
        for trial, threads in zip(pair, (1, several), strict=True)
    ]


def _take_turns(trials: Sequence[Trial], seconds: float, clock: Callable[[], float]) -> None:
    end = time.perf_counter() + seconds
    for number in range(_MAX_ROUNDS):
        if number >= _MIN_ROUNDS and time.perf_counter() > end:
            break
        for trial in trials:
            with trial.coder.running():
                trial.sample(clock)


def _row(
    name: str, trial: Trial, threads: int, clock: str, encode: float | None, decode: float | None, num_items: int
) -> Row:
    """``encode`` and ``decode``: the nanoseconds that its own are compared with."""
    return Row(
        latents=name,
        coder=trial.coder.name,
        label=trial.coder.label,
        threads=threads,
        clock=clock,
        symbols=trial.num_symbols,
        bytes=sum(len(item.data) for item in trial.items[:num_items]) / num_items,
        encode_ns=trial.encode_ns(),
        decode_ns=trial.decode_ns(),
        encode_ratio=None if encode is None else encode / trial.encode_ns(),
        decode_ratio=None if decode is None else decode / trial.decode_ns(),
        rounds=len(trial.encode_seconds),
    )


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _num_cores() -> int:
    """Those this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _machine() -> dict[str, object]:
    versions: dict[str, str | None] = {"python": platform.python_version()}
    for package in ("scalecodec-core", *_PACKAGES):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "processor": _processor(),
        "cores": _num_cores(),
        "kernel_sets": list(backends.available()),
        "versions": versions,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
