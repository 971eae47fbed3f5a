"""Training: data, loss, loop, checkpoints."""

from .config import TrainConfig
from .loop import train

__all__ = ["TrainConfig", "train"]
