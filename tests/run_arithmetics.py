"""How many table indexes another arithmetic changes: of the integer form none, of the float network some.

    python tests/run_arithmetics.py FOLDER... [--model NAME] [--every N]

Every picture's hyper-latent is coded at four gains; then its indexes are computed again in each of the ways of
``scalecodec.verify``, and in batches of two, by integers and, for contrast, by the float network.
"""

from __future__ import annotations

import argparse
import copy
import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scalecodec import image, models
from scalecodec.eval import find_images
from scalecodec.gains import nearest_gain_index
from scalecodec.streams import LANES
from scalecodec.verify import arithmetics

GAINS = (0.064, 0.16, 0.4, 1.0)


def hyper_strings(model: Any, path: Any) -> list[tuple[int, list[bytes], tuple[int, int]]]:
    """Gain index, strings and size of a picture's hyper-latent, at each gain; sides cut to multiples of 64."""
    samples = image.read(path).samples
    height, width = (side // 64 * 64 for side in samples.shape[:2])
    x = torch.from_numpy(samples[:height, :width].astype(np.float32) / 255).permute(2, 0, 1)[None].expand(-1, 3, -1, -1)
    y = model.g_a(x)
    indexes = map(nearest_gain_index, GAINS)
    return [(index, *model._encode_hyper(y, index, LANES)[:2]) for index in indexes]


def indexes_of(model: Any, gain_index: int, strings: list[bytes], size: tuple[int, int], batch: int = 1) -> Tensor:
    return model._known(strings * batch, size, gain_index, LANES, ValueError)[0][:1]


@torch.no_grad()
def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--model", default="vbr-mean")
    parser.add_argument("--every", type=int, default=1, help="take every Nth picture")
    options = parser.parse_args(arguments)
    integer = models.load(options.model)
    floats = copy.deepcopy(integer)
    floats.integers = None
    ways = [(way, [way.prepare(copy.deepcopy(model)) for model in (integer, floats)]) for way in arithmetics()]
    paths = [path for folder in options.folders for path in find_images(folder)][:: options.every]
    total, changed, hit = 0, [0, 0], [set(), set()]  # type: ignore[var-annotated]
    for number, path in enumerate(paths):
        for gain_index, strings, size in hyper_strings(integer, path):
            plain = [indexes_of(model, gain_index, strings, size) for model in (integer, floats)]
            total += plain[0].numel() * (len(ways) + 1)
            for way, twins in [*ways, (None, [integer, floats])]:
                for kind, twin in enumerate(twins):
                    if way is None:
                        other = indexes_of(twin, gain_index, strings, size, batch=2)
                    else:
                        with way.around():
                            other = indexes_of(twin, gain_index, strings, size)
                    differ = int((other.int() != plain[kind].int()).sum())
                    changed[kind] += differ
                    hit[kind] |= {path} if differ else set()
        if number % 20 == 19 or number + 1 == len(paths):
            sys.stdout.write(
                f"{number + 1} pictures, {len(GAINS)} gains, {len(ways) + 1} arithmetics, {total} indexes: "
                f"{changed[0]} changed by integers, {changed[1]} by floats (in {len(hit[1])} pictures)\n"
            )
            sys.stdout.flush()
    return changed[0] != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
