"""Writes tests/golden/features_estimates_v1, once: activations of codecs with estimates, and what they decode to.

    python -m tests.golden.make_features

An earlier form of it, before there were estimates, wrote features_v1.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import torch

from scalecodec import features
from scalecodec.features import FeatureCodec, Histogram, Quantizer
from tests.features import page

FOLDER = Path(__file__).parent / "features_estimates_v1"
SHAPES = {
    "planes": (2, 6, 13, 11),
    "channels": (1, 20, 60, 56),
    "rows": (5, 7),
    "one": (1,),
    "none": (0, 3),
    "scalar": (),
}


def tensors():
    generator = torch.Generator().manual_seed(20261130)
    for name, shape in SHAPES.items():
        x = torch.randn(shape, generator=generator)
        yield name, torch.relu(x if len(shape) < 4 else 3 * torch.nn.functional.avg_pool2d(x, 3, 1, 1))


def main():
    FOLDER.mkdir()
    inputs = dict(tensors())
    designed = features.design(Histogram(inputs["channels"]), 4, target_bits=0.8)
    quantizers = {"designed": designed, "wide": Quantizer.uniform(-0.5, 2.0, 200), "one": Quantizer([0.25], [])}
    files, arrays = {}, {}
    for name in ("planes", "channels", "rows", "one", "scalar"):
        for label, quantizer in quantizers.items():
            if name == "channels" and label != "designed":
                continue
            dtype = (torch.float32, torch.float16, torch.bfloat16)[len(files) // 2 % 3]
            codec = FeatureCodec(quantizer).calibrate([inputs[name]])
            files[f"{name}-{label}.scq"] = codec.to_bytes()
            files[f"{name}-{label}-calibrated.scf"] = codec.encode(inputs[name].to(dtype))
    for file, data in files.items():
        (FOLDER / file).write_bytes(data)
        if file.endswith(".scf"):
            arrays[file] = page.decode(data, files[file.replace("-calibrated.scf", ".scq")])[2]
    np.savez_compressed(FOLDER / "decoded.npz", **arrays)
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(FOLDER.iterdir())}
    (FOLDER / "manifest.json").write_text(json.dumps(sums, indent=1) + "\n")


if __name__ == "__main__":
    main()
