"""What layered models are worth: the acceptance lists for frequency bands, denoising and tasks, in figures.

    python -m tests.run_layered frequency FOLDER [--model NAME] [--plain NAME] [--every N]
    python -m tests.run_layered denoise FOLDER [--model NAME] [--plain NAME] [--every N] [--real FOLDER]
    python -m tests.run_layered tasks FOLDER --model FILE --task NAME:WEIGHTS:LAYER [--task ...] [--every N]

FOLDER has 8-bit RGB photographs that no model was trained on; ``--real`` pairs of a noisy and a clean picture of one
scene, names ending in ``real`` and ``mean``; ``--task`` is given in the order of the model's tasks.
"""

from __future__ import annotations

import argparse
import sys

from scalecodec import image, models
from scalecodec.eval import find_images
from scalecodec.eval.task_networks import named
from tests.layered_figures.denoise import denoise
from tests.layered_figures.frequency import frequency
from tests.layered_figures.tasks import tasks


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("frequency", "denoise", "tasks"))
    parser.add_argument("folder")
    parser.add_argument("--model", help="default: the one of that name")
    parser.add_argument("--plain", default="vbr-mean", help="a model of one layer to stand beside it")
    parser.add_argument("--every", type=int, default=1, help="take every Nth picture")
    parser.add_argument("--real", help="folder of noisy and clean pictures")
    parser.add_argument("--task", action="append", default=[], metavar="NAME:WEIGHTS:LAYER")
    options = parser.parse_args(arguments)
    pictures = [image.read(path).samples for path in find_images(options.folder)[:: options.every]]
    if options.what == "tasks" and not (options.model and options.task):
        parser.error("tasks wants --model and --task")
    model = models.load(options.model or {"denoise": "denoise-fine"}.get(options.what, options.what))
    if options.what == "frequency":
        frequency(pictures, model, models.load(options.plain))
    elif options.what == "denoise":
        denoise(pictures, model, models.load(options.plain), options.real)
    else:
        tasks(pictures, model, models.load(options.plain), [named(text) for text in options.task])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
