"""The core on other processors, under emulation: golden streams and integer networks, on aarch64 and big-endian s390x.

    pip install ziglang && apt-get install qemu-user
    python tests/run_foreign.py [aarch64 s390x] [--driver]

``--driver`` runs the whole driver of the core as well, some minutes each. ``native`` is this machine, with ``c++``.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from scalecodec.kernels import integer_conv_ref  # noqa: E402

from tests.golden.folder import Folder  # noqa: E402
from tests.integer_kit import random_layers  # noqa: E402

TARGETS = ("aarch64", "s390x")
SIZES = (((6, 40, 33), (2, 2), 12), ((17, 20), (3,), 16), ((96, 64, 30, 20), (2, 1, 1), 8), ((1, 1), (1,), 16))


def words(*parts: object) -> str:
    return " ".join(" ".join(map(str, np.ravel(part).tolist())) for part in parts)  # type: ignore[arg-type]


def streams() -> Iterator[str]:
    for kind, folder in (("lanes", Folder("lanes_v1", "lanes")), ("rans64", Folder("rans64_v1", "rans64"))):
        for name in folder.records:
            symbols, indexes, tables, data, record = folder.stream(name)
            cdf, lengths, offsets = tables.padded()
            sizes = int(record.get("ours", 1)), *cdf.shape
            yield f"{kind} {words(sizes, cdf, lengths, offsets, len(symbols), indexes, symbols, len(data), list(data))}"


def networks() -> Iterator[str]:
    for seed, (sizes, strides, bits) in enumerate(SIZES):
        rng = np.random.default_rng(seed)
        layers = random_layers(seed, sizes, strides, bits)
        x = rng.integers(-40000, 40000, (1, sizes[0], 4, 7)).astype(np.int32)
        output = integer_conv_ref.run(32767, layers, x)
        thresholds = np.unique(rng.choice(output.ravel(), 63))
        counts = np.searchsorted(thresholds, output.ravel(), side="left")
        text = [words(32767, len(layers))]
        for layer in layers:
            text.append(words(layer.num_inputs, layer.num_outputs, layer.stride, layer.limits))
            for phase in layer.phases:
                numbers = phase.bias, phase.multiplier, phase.negative, phase.shift
                text.append(words(phase.weight.shape[1:3], phase.start, phase.weight, *numbers))
        yield f"network {' '.join(text)} {words(4, 7, len(thresholds), x, thresholds, output, counts)}"


def build(target: str, sources: Iterable[Path], out: Path) -> None:
    compiler = (
        ["c++"] if target == "native" else [sys.executable, "-m", "ziglang", "c++", f"--target={target}-linux-musl"]
    )
    flags = ["-std=c++17", "-O2", "-w", "-ffp-contract=off", "-pthread", f"-I{ROOT / 'csrc'}"]
    subprocess.run([*compiler, *flags, *map(str, sources), "-o", str(out)], check=True)


def main(arguments: list[str]) -> int:
    targets = [name for name in arguments if not name.startswith("--")] or list(TARGETS)
    core = [path for path in sorted((ROOT / "csrc").glob("*.cpp")) if not path.name.startswith("module")]
    programs = {"foreign": [ROOT / "tests" / "core" / "foreign.cpp"]}
    if "--driver" in arguments:
        programs["driver"] = sorted((ROOT / "tests" / "core").glob("driver*.cpp"))
    text = "\n".join([*streams(), *networks()])
    failed = 0
    with tempfile.TemporaryDirectory() as room:
        for target in targets:
            for name, sources in programs.items():
                program = Path(room) / f"{name}-{target}"
                build(target, [*core, *sources], program)
                emulator = [] if target == "native" else [f"qemu-{target}"]
                done = subprocess.run(
                    [*emulator, str(program)], input=text, text=True, capture_output=True, check=False
                )
                failed |= done.returncode != 0
                last = (done.stdout or done.stderr).strip().splitlines()[-8 if done.returncode else -1 :]
                sys.stdout.write(f"{target}, {name}: {' | '.join(last)}\n")
                sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
