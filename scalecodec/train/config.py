"""Everything that decides a training run, in one frozen record."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from scalecodec.gains import nearest_gain_index

# Lagrangian at unit gain: the highest of the eight levels of arXiv:2402.18930 (loss: bpp + lambda * 255^2 * MSE).
LAMBDA_MAX = 0.18
OBJECTIVES = ("random", "sum", "moo")
NORMALISATIONS = ("none", "l2", "loss")


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run; saved beside its checkpoints.

    ``batch`` is per process; ``crop`` in pixels, a multiple of 64; ``minutes`` (0: none) ends the run, and its learning
    rate schedule, by the clock where that comes before ``steps``; ``precision`` "float32", "bfloat16" or "auto"
    (bfloat16 where the machine has instructions for it).

    ``layers``, of a layered model, is the latent channels of each layer, base first, as in "96,32" (of denoise-fine the
    base's alone); ``latent_channels`` is of the others. ``shared``: whether the layers share a hyperprior. ``tasks``:
    names of the networks of which the layers but the last are to give inner tensors, with commas between them;
    ``task_weight``: what a relative error of theirs weighs beside one of the picture. ``blind``, of a disentangled
    model: its base gets zeros for features. ``only`` (empty: all) is how the names of the weights begin that are
    trained, as in "tasks.": the others stay as ``start`` has them.

    ``start`` names weights to begin from: in the zoo, a weight file, or a state dict of CompressAI's in safetensors.
    ``objective``: "random" (a gain an item, or ``gain`` where it is not 0), "sum" of the losses at ``levels`` gains, or
    "moo", their min-norm point after ``normalisation`` "none", "l2" or "loss". Random gains are at ``u ** tilt`` of the
    table, u uniform: above 1 low ones come more often. ``offsets`` and ``hyper_step``: whether
    the model has reconstruction offsets and a step of the hyper-latent.
    """

    data: str
    out: str
    model: str = "vbr-mean"
    start: str = ""
    offsets: bool = True
    hyper_step: bool = True
    objective: str = "random"
    levels: int = 5
    normalisation: str = "loss"
    gain: float = 0.0
    tilt: float = 1.0
    channels: int = 96
    latent_channels: int = 128
    layers: str = ""
    shared: bool = False
    tasks: str = ""
    task_weight: float = 0.03
    blind: bool = False
    only: str = ""
    steps: int = 100_000
    minutes: float = 0.0
    batch: int = 8
    crop: int = 128
    learning_rate: float = 5e-4
    kernel_rate: float = 0.01
    warmup: int = 500
    lambda_max: float = LAMBDA_MAX
    clip_norm: float = 1.0
    precision: str = "auto"
    workers: int = 0
    seed: int = 0
    log_every: int = 50
    checkpoint_every: int = 1000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "int" and type(value) is not int:
                raise TypeError(f"{field.name} must be an int, got {value!r}")
            if isinstance(value, int | float) and not 0 <= value < math.inf:
                raise ValueError(f"{field.name} must be finite and not negative, got {value}")
        for name in (
            "channels",
            "latent_channels",
            "levels",
            "steps",
            "batch",
            "crop",
            "log_every",
            "checkpoint_every",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("learning_rate", "lambda_max", "clip_norm", "tilt"):
            if getattr(self, name) == 0:
                raise ValueError(f"{name} must not be 0: nothing would be learned")
        if self.layers and not all(part.isdecimal() and int(part) > 0 for part in self.layers.split(",")):
            raise ValueError(f"layers must be channels of each, as in 96,32, got {self.layers!r}")
        if self.crop % 64:
            raise ValueError(f"crop must be a multiple of 64, got {self.crop}")
        if self.objective not in OBJECTIVES:
            raise ValueError(f"objective must be one of {', '.join(OBJECTIVES)}, got {self.objective!r}")
        if self.normalisation not in NORMALISATIONS:
            raise ValueError(f"normalisation must be one of {', '.join(NORMALISATIONS)}, got {self.normalisation!r}")
        if self.gain:
            nearest_gain_index(self.gain)
            if self.objective != "random":
                raise ValueError(f"a fixed gain leaves nothing for objective {self.objective!r} to weigh")
        if self.precision not in ("auto", "float32", "bfloat16"):
            raise ValueError(f"precision must be auto, float32 or bfloat16, got {self.precision!r}")
