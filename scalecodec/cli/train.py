"""scalecodec train: train a model on a folder of photographs; several processes under torchrun."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path
from typing import Any

from .terminal import add_json, clock, progress, show

_HELP = {
    "model": "name of the model",
    "start": "weights to begin from: in the zoo, a weight file (a plain mean-scale model's begins a layered one; else "
    "of another kind of model: its g_a and g_s), or a state dict in safetensors",
    "offsets": "reconstruction offsets",
    "hyper_step": "a step of the hyper-latent that follows the rate",
    "objective": "random (a gain a crop), sum (of the losses at all levels) or moo (their min-norm point)",
    "levels": "gains that sum and moo weigh",
    "normalisation": "of gradients, for moo: none, l2 or loss",
    "gain": "train for this one gain (0: for all)",
    "tilt": "of random gains: above 1, low ones come more often",
    "channels": "channels inside the transforms (N)",
    "latent_channels": "channels of the latent (M)",
    "layers": "of a layered model: latent channels of each layer, base first, as in 96,32 (denoise-fine: the base's)",
    "shared": "one hyperprior for all layers",
    "tasks": "networks that the layers but the last are for, NAME:WEIGHTS:LAYER with commas between them; NAME: "
    "squeezenet, fastestdet",
    "task_weight": "of a task's relative error, beside the picture's",
    "blind": "of a disentangled model: zeros for features in its encoder, to see what they are worth",
    "only": "train only weights whose names begin so; with tasks. a codec's files stay good",
    "steps": "updates in all",
    "minutes": "end by the clock where that comes first (0: do not)",
    "batch": "crops a process and step",
    "crop": "side of a crop in pixels, a multiple of 64",
    "learning_rate": "peak learning rate of Adam, for all but convolution kernels",
    "kernel_rate": "peak spectral norm of one update of a convolution kernel (Muon)",
    "warmup": "steps of linear warm-up",
    "lambda_max": "Lagrangian at gain 1",
    "clip_norm": "gradient norm to clip at",
    "precision": "float32, bfloat16 or auto",
    "workers": "processes that load pictures, 0: none",
    "seed": "seed of weights, crops, gains and noise",
    "log_every": "steps a row of the log",
    "checkpoint_every": "steps a checkpoint",
}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "train",
        help="train a model, or go on with a run",
        description="Train on a folder of photographs. The same OUT again resumes. Several GPUs or processes: "
        "torchrun --nproc-per-node N -m scalecodec train DATA OUT",
    )
    parser.add_argument("data", help="folder of pictures")
    parser.add_argument("out", help="folder for checkpoint, log, weights and plot")
    from scalecodec.train.config import TrainConfig

    for field in fields(TrainConfig):
        if field.name in _HELP:
            name = "--" + field.name.replace("_", "-")
            how: dict[str, Any] = {"default": field.default, "help": _HELP[field.name]}
            if isinstance(field.default, bool):
                how["action"] = argparse.BooleanOptionalAction
            else:
                how["type"] = type(field.default)
            names = ("--from", name) if field.name == "start" else (name,)
            parser.add_argument(*names, dest=field.name, **how)
    parser.add_argument("--validate", help="folder of pictures for the R-D curve at the end (default: the data's)")
    add_json(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    from scalecodec.eval.task_networks import named
    from scalecodec.train import TrainConfig, train
    from scalecodec.train.data import image_paths

    settings = {field.name: getattr(options, field.name) for field in fields(TrainConfig)}
    networks = [named(text) for text in options.tasks.split(",") if text]
    if options.validate:
        image_paths(options.validate)  # before hours of training
    model = train(TrainConfig(**settings), _progress, networks)
    if model is None:  # one of torchrun's other processes
        return
    from scalecodec import models
    from scalecodec.eval import Point, report
    from scalecodec.train.curve import rd_curve

    models.freeze(model)
    out = Path(options.out)
    weights = out / f"{options.model}.safetensors"
    models.save_weights(model, weights)
    points = rd_curve(model, options.validate or options.data)
    curve = [Point("estimated", p["gain"], 1, p["bpp"], p["psnr_db"], None, None, 0.0, 0.0) for p in points]
    report.plot(curve, out / "rate_distortion.png")
    lines = [f"gain {point['gain']:.3f}  {point['bpp']:.4f} bpp  {point['psnr_db']:.2f} dB" for point in points]
    show(options, {"weights": str(weights), "points": points}, "\n".join([*lines, str(weights)]))


def _progress(row: dict[str, Any]) -> None:
    # None where every update since the last row was skipped
    quality = "no update" if row["bpp"] is None else f"{row['bpp']:.3f} bpp  {row['psnr_db']:.2f} dB"
    text = f"step {row['step']}  {quality}  {row['crops_per_second']:.0f} crops/s  {clock(row['seconds_left'])} left"
    progress(row["done"], text)
