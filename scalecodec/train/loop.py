"""The training loop: one or several processes, CPU or CUDA, resumable to the step."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from scalecodec.models import CompressionModel
from scalecodec.models.scalable import Front

from .checkpoint import load_checkpoint, read_scalars, save_checkpoint
from .config import TrainConfig
from .data import RandomCrops
from .distributed import World, world
from .losses import RateDistortion, psnr_of
from .objectives import backward
from .optimizers import make_optimizers, set_rates
from .start import new_model


def _autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    if precision == "auto":
        fast = torch.cuda.is_bf16_supported() if device.type == "cuda" else torch.cpu._is_avx512_bf16_supported()
        precision = "bfloat16" if fast else "float32"
    return torch.bfloat16 if precision == "bfloat16" else None


_SETTLED = (
    *("model", "channels", "latent_channels", "layers", "shared", "tasks", "task_weight", "blind", "only"),
    *("offsets", "hyper_step", "start", "batch", "crop", "seed"),
    *("lambda_max", "objective", "levels", "normalisation", "gain", "tilt"),
)


# What runs did before there was a choice.
_BEFORE = {
    "layers": "",
    "shared": False,
    "tasks": "",
    "task_weight": 1.0,
    "blind": False,
    "only": "",
    "offsets": False,
    "hyper_step": False,
    "start": "",
    "objective": "random",
    "levels": 5,
    "normalisation": "loss",
    "gain": 0.0,
    "tilt": 1.0,
}


def _check_resumable(config: TrainConfig, saved: dict[str, Any]) -> None:
    """A run may be made longer or logged otherwise; what it learns may not change half-way."""
    for name in _SETTLED:
        if name == "task_weight" and not config.tasks:  # it weighs nothing
            continue
        then = saved.get(name, _BEFORE.get(name))
        if then != getattr(config, name):
            raise ValueError(f"{config.out} holds a run with {name} {then!r}, got {getattr(config, name)!r}")


class Trainer:
    """State of one run in one process: model, optimizers, step and clock."""

    def __init__(self, config: TrainConfig, here: World, fronts: Sequence[Front] = ()) -> None:
        self.config, self.here = config, here
        torch.manual_seed(config.seed)
        self.model = new_model(config, fronts)
        self.model.to(here.device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub
        for name, parameter in self.model.named_parameters():
            # Quantiles are solved for at the end; no gradient reaches them.
            parameter.requires_grad_(name.startswith(config.only) and not name.endswith("quantiles"))
        self.trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        if not self.trained:
            raise ValueError(f"only must begin names of {config.model}'s weights, got {config.only!r}")
        self.optimizers = make_optimizers(self.model, config)
        self.dtype = _autocast_dtype(config.precision, here.device)
        self.step, self.seconds = 0, 0.0
        self.folder = Path(config.out)
        if scalars := read_scalars(self.folder):
            _check_resumable(config, scalars["config"])
            load_checkpoint(self.folder, self.model, self.optimizers, scalars)
            self.step, self.seconds = scalars["step"], scalars["seconds"]
        self.parallel: nn.Module = here.wrap(self.model)

    def done(self) -> float:
        """Share of the run that is over, by steps or by the clock."""
        by_clock = self.seconds / (60 * self.config.minutes) if self.config.minutes else 0.0
        return max(self.step / self.config.steps, by_clock)

    def crops(self) -> DataLoader[Tensor]:
        """The batches still to come, this process's share."""
        config, here = self.config, self.here
        per_step = config.batch * here.size
        left = (config.steps - self.step) * per_step
        dataset = RandomCrops(config.data, config.crop, left, config.seed, first=self.step * per_step)
        return DataLoader(
            dataset,
            batch_size=config.batch,
            sampler=range(here.rank, left, here.size),
            num_workers=config.workers,
            pin_memory=here.device.type == "cuda",
            persistent_workers=config.workers > 0,
        )

    def train_step(self, x: Tensor) -> tuple[RateDistortion, float]:
        """One update; returns the loss and the gradient norm (not finite: the update was skipped)."""
        # Noise and gains follow from (seed, step, rank): a resumed run repeats the uninterrupted one.
        torch.manual_seed(self.config.seed * 1_000_003 + self.step * 1009 + self.here.rank)
        x = x.to(self.here.device, memory_format=torch.channels_last, non_blocking=True)
        set_rates(self.optimizers, self.config, self.step, self.done())
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        result = backward(self._forward, x, self.trained, self.config, self.here.agree)
        norm = float(nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_norm))
        if math.isfinite(norm):
            for optimizer in self.optimizers:
                optimizer.step()
        return result, norm

    def _forward(self, x: Tensor, gain: Tensor) -> dict[str, Any]:
        with torch.autocast(self.here.device.type, self.dtype, enabled=self.dtype is not None):
            return self.parallel(x, gain)

    def save(self) -> None:
        """Checkpoint, from the main process."""
        if self.here.is_main:
            scalars = {"step": self.step, "seconds": self.seconds, "config": asdict(self.config)}
            save_checkpoint(self.folder, self.model, self.optimizers, scalars)
        self.here.barrier()


def train(
    config: TrainConfig,
    progress: Callable[[dict[str, Any]], None] = lambda row: None,
    fronts: Sequence[Front] = (),
) -> CompressionModel | None:
    """Train, or resume, the run that ``config.out`` holds.

    Writes ``log.jsonl`` (one row a ``log_every`` steps and at the last: step, share done, loss, bpp, psnr_db, learning
    rate, crops a second, seconds left, updates skipped for a gradient that was not finite) and the checkpoint;
    ``progress`` gets every row. ``fronts``: the front halves of the networks that ``config.tasks`` names: callables
    from pictures [B, 3, H, W] in [0, 1] to the tensor that a layer is to give.

    Returns
    -------
    CompressionModel or None
        The trained model with its tables filled, in evaluation mode; None in all processes but the main one.
    """
    Path(config.out).mkdir(parents=True, exist_ok=True)
    with world() as here:
        trainer = Trainer(config, here, fronts)
        with (Path(config.out) / "log.jsonl").open("a", encoding="utf-8") as log:

            def report(row: dict[str, Any]) -> None:
                log.write(json.dumps(row) + "\n")
                log.flush()
                progress(row)

            _run(trainer, report)
        trainer.save()
        if not here.is_main:
            return None
        model = trainer.model.to("cpu").eval()
        model.update(force=True, update_quantiles=True)
        return model


def _run(trainer: Trainer, report: Callable[[dict[str, Any]], None]) -> None:
    config, here = trainer.config, trainer.here
    window: list[tuple[float, float, float]] = []  # loss, bpp, mse of the updates since the last row
    since, skipped, clock = trainer.step, 0, time.monotonic()
    for x in trainer.crops() if trainer.done() < 1 else ():
        result, norm = trainer.train_step(x)
        if math.isfinite(norm):
            window.append((result.loss.item(), result.bpp.item(), result.mse.item()))
        else:
            skipped += 1
        trainer.step += 1
        if trainer.step % config.log_every == 0 or trainer.step == config.steps:
            now = time.monotonic()
            # One clock for all: the learning rate follows from it, and the weights must stay equal.
            elapsed = here.agree(now - clock)
            trainer.seconds += elapsed
            if here.is_main:
                report({**_row(trainer, window, trainer.step - since, elapsed), "skipped": skipped})
            clock, since, window = now, trainer.step, []
            if trainer.done() >= 1:
                break
        if trainer.step % config.checkpoint_every == 0:
            trainer.save()


def _row(trainer: Trainer, window: list[tuple[float, float, float]], steps: int, elapsed: float) -> dict[str, Any]:
    """One row of the log over the last ``steps``; null where all their updates were skipped."""
    done = trainer.done()
    means: list[float | None] = [math.fsum(values) / len(window) for values in zip(*window, strict=True)]
    loss, bpp, mse = means or [None] * 3
    return {
        "step": trainer.step,
        "done": round(done, 5),
        "loss": loss,
        "bpp": bpp,
        "psnr_db": None if mse is None else psnr_of(mse),
        "learning_rate": trainer.optimizers[0].param_groups[0]["lr"],
        "crops_per_second": steps * trainer.config.batch * trainer.here.size / max(elapsed, 1e-6),
        "seconds_left": trainer.seconds * (1 / done - 1),
    }
