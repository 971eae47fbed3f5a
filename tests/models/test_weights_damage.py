"""Damaged and hostile weight files are an error, early and cheap."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save

from scalecodec.errors import BitstreamError
from scalecodec.models import load, save_weights
from scalecodec.models.weights import load_weights, read_metadata
from tests.codec_kit import small_model, weight_file


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    model = small_model(channels=4, latent_channels=6)
    return weight_file(model, tmp_path_factory.mktemp("weights") / "model.safetensors")


@pytest.fixture
def refused(tmp_path):
    """Say that a file of these bytes is refused, and why."""

    def check(data, words="damaged weight file"):
        path = tmp_path / "bad.safetensors"
        path.write_bytes(data)
        for name in (path, os.fspath(path)):
            with pytest.raises(BitstreamError, match=words) as caught:
                load(name)
            assert str(path) in str(caught.value)

    return check


# Damage


def test_every_kind_of_truncation(stored, refused):
    data = stored[0]
    header_size = 8 + int.from_bytes(data[:8], "little")
    for end in (*range(0, 12), *range(12, header_size, 997), *range(header_size, len(data), 4999), len(data) - 1):
        refused(data[:end], "not a safetensors file|damaged")
    refused(data + b"\0", "not a safetensors file|damaged")


def test_flipped_bits(stored, tmp_path):
    data, tensors, _ = stored
    header_size = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:header_size])
    places = [*range(0, 8), *range(8, header_size, 61)]
    for name in tensors:  # two bytes of every tensor: constants, tables and scales as well as weights
        start, end = header[name]["data_offsets"]
        places += [header_size + start, header_size + end - 1]
    path = tmp_path / "bad.safetensors"
    for number, place in enumerate(places):
        damaged = bytearray(data)
        damaged[place] ^= 1 << number % 8
        path.write_bytes(damaged)
        with pytest.raises(BitstreamError):
            load_weights(path)


NO_WEIGHTS = {
    "nothing": b"",
    "text": b"text",
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "an archive": b"PK\x03\x04" + bytes(100),
    "ones": b"\xff" * 100,
    "a header of exabytes": (2**63 - 1).to_bytes(8, "little") + b"{}",
    "no tensors": (2).to_bytes(8, "little") + b"{}",
    "null": (4).to_bytes(8, "little") + b"null",
}


@pytest.mark.parametrize("data", NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_what_is_no_weight_file(refused, data):
    refused(data, "not a safetensors file|no weights of scalecodec")


def test_what_is_no_file(tmp_path):
    for name in (tmp_path, tmp_path / "absent", "no-such-name", ""):
        with pytest.raises(ValueError, match=r"no weights named .*; the zoo has"):
            load(name)
    with pytest.raises(FileNotFoundError):
        read_metadata(tmp_path / "absent")
    with pytest.raises(TypeError):
        load(None)


# Files that mean harm


HUGE = {"channels": 4096, "latent_channels": 4096}
METADATA = {
    "another format": {"format": "scalecodec-weights-2"},
    "another model": {"model": "vbr"},
    "another model id": {"model_id": "00" * 8},
    "other tables": {"table_id": "00" * 8},
    **{
        f"config {text[:40]}": {"config": text}
        for text in (
            *("", "{", "null", "[]", "4", "NaN", "[" * 100_000, '{"channels": ' + "1" * 5000 + "}"),
            *('{"width": 4}', '{"channels": 0}', '{"channels": -4}', '{"channels": true}', '{"channels": 4.0}'),
            *('{"channels": "4"}', '{"channels": [4]}', '{"channels": 8, "latent_channels": 6}', "{}"),
            json.dumps(HUGE),
        )
    },
}


@pytest.mark.parametrize("changes", METADATA.values(), ids=METADATA)
def test_hostile_metadata(stored, refused, changes):
    _, tensors, metadata = stored
    refused(save(tensors, metadata | changes), "damaged weight file|no weights of scalecodec")


@pytest.mark.parametrize("name", ["scalable", "frequency"])
def test_sizes_that_are_too_many_together(stored, refused, name):
    """Each is allowed, and nothing is made of them."""
    _, _, metadata = stored
    sizes = {"channels": 640, "layer0": 640, "layer1": 640} | ({"features0": 640} if name == "scalable" else {})
    data = save({"x": torch.zeros(1)}, metadata | {"model": name, "config": json.dumps(sizes)})
    refused(data, "parameters, of which at most 160000000 are allowed")


@pytest.mark.parametrize("missing", ["format", "model", "config", "model_id", "table_id", None])
def test_missing_metadata(stored, refused, missing):
    _, tensors, metadata = stored
    left = {name: value for name, value in metadata.items() if name != missing} if missing else None
    refused(save(tensors, left), "no weights of scalecodec")


def int32(*values):
    return torch.tensor(values, dtype=torch.int32)


BIAS, KERNEL, LENGTH, CDF = "g_a.0.bias", "g_a.0.weight", "entropy_bottleneck._cdf_length", "_quantized_cdf"
SCALES = "gaussian_conditional.scale_table"
TENSORS = {
    "a missing bias": {BIAS: None},
    "missing tables": {"entropy_bottleneck." + CDF: None},
    "a tensor too many": {"g_a.9.bias": torch.zeros(4)},
    "another shape": {BIAS: torch.zeros(5)},
    "a scalar": {BIAS: torch.zeros(())},
    "no values": {BIAS: torch.zeros(0)},
    "double": {BIAS: torch.zeros(4, dtype=torch.float64)},
    "bfloat16": {BIAS: torch.zeros(4, dtype=torch.bfloat16)},
    "integers": {BIAS: torch.zeros(4, dtype=torch.int64)},
    "bits": {BIAS: torch.zeros(4, dtype=torch.bool)},
    "complex": {BIAS: torch.zeros(4, dtype=torch.complex64)},
    "float32 kernel": {KERNEL: torch.zeros(4, 3, 5, 5)},
    "NaN": {BIAS: torch.full((4,), float("nan"))},
    "infinite kernel": {KERNEL: torch.full((4, 3, 5, 5), float("inf"), dtype=torch.float16)},
    "NaN scale": {SCALES: torch.full((64,), float("nan"))},
    "scales that fall": {SCALES: torch.linspace(9, 1, 64)},
    "negative scales": {SCALES: torch.linspace(-9, 9, 64)},
    "more scales than tables": {SCALES: torch.linspace(1, 9, 65)},
    "no scales": {SCALES: torch.zeros(0)},
    "no lengths": {LENGTH: int32()},
    "negative lengths": {LENGTH: int32(-5, 5, 5, 5)},
    "short lengths": {LENGTH: int32(2, 2, 2, 2)},
    "long lengths": {LENGTH: torch.full((4,), 2**31 - 1, dtype=torch.int32)},
    "lengths of 1": {LENGTH: int32(1, 1, 1, 1)},
    "lengths in two dimensions": {LENGTH: torch.full((4, 1), 20, dtype=torch.int32)},
    "terabytes of padding": {
        LENGTH: torch.cat([torch.full((300_000,), 2, dtype=torch.int32), int32(1_000_002)]),
        "entropy_bottleneck." + CDF: torch.zeros(1_000_000, dtype=torch.uint16),
    },
    "tables that do not rise": {"entropy_bottleneck." + CDF: 0},
    "one table too few": {"entropy_bottleneck._offset": int32(0, 0, 0)},
    "offsets beyond int32": {"entropy_bottleneck._offset": torch.full((4,), 2**31 - 1, dtype=torch.int32)},
}


# Where a later check would refuse the file too, but too late or for another reason.
WORDS = {
    "double": r"wanted torch.float32 \(4,\)",
    "bits": r"wanted torch.float32 \(4,\)",
    "another shape": r"wanted torch.float32 \(4,\)",
    "a missing bias": "missing or unknown tensors: g_a.0.bias",
    "a tensor too many": "missing or unknown tensors: g_a.9.bias",
    "NaN": "g_a.0.bias is not finite",
    "scales that fall": "ascend",
    "more scales than tables": "64 coding tables, wanted 65",
    "lengths of 1": "at least one symbol",
    "terabytes of padding": "300001 tables of up to 1000002 entries are too many",
}


@pytest.mark.parametrize("name", TENSORS)
def test_hostile_tensors(stored, refused, name):
    _, tensors, metadata = stored
    changes = TENSORS[name]
    changed = dict(tensors)
    for tensor, value in changes.items():
        if value is None:
            del changed[tensor]
        else:
            changed[tensor] = torch.zeros_like(tensors[tensor]) if isinstance(value, int) else value
    refused(save(changed, metadata), WORDS.get(name, "damaged weight file"))


def test_right_ids_do_not_help_scales_that_fit_no_table(tmp_path):
    path = tmp_path / "bad.safetensors"

    def falls(model):
        model.gaussian_conditional.scale_table = model.gaussian_conditional.scale_table.flip(0)

    def is_longer(model):
        model.gaussian_conditional.scale_table = torch.linspace(0.11, 300, 65)

    for change, words in ((falls, "ascend"), (is_longer, "64 coding tables, wanted 65")):
        change(model := small_model(channels=4, latent_channels=6))
        save_weights(model, path)
        with pytest.raises(BitstreamError, match=words):
            load(path)


GROWTH = """
import resource, sys
from scalecodec.errors import BitstreamError
from scalecodec.models import load
load(sys.argv[1])
for path in sys.argv[2:]:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        load(path)
    except BitstreamError:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts KiB")
def test_a_small_file_takes_no_gigabytes(stored, tmp_path):
    data, tensors, metadata = stored
    paths = [tmp_path / f"{name}.safetensors" for name in ("good", "huge", "large")]
    paths[0].write_bytes(data)
    paths[1].write_bytes(save(tensors, metadata | {"config": json.dumps(HUGE)}))
    paths[2].write_bytes(save(tensors, metadata | {"config": '{"channels": 640, "latent_channels": 640}'}))
    command = [sys.executable, "-c", GROWTH, *map(os.fspath, paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    huge, large = map(int, done.stdout.split())
    assert huge < 16 << 10
    assert large < 800 << 10
